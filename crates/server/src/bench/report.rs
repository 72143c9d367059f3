//! Figures with the conditions under which they were measured: machine, command, date.

use crate::cli::output::Output;
use serde_json::{Map, Value, json};

/// Under which conditions the figures were measured.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    machine: String,
    command: String,
    date: String,
    build: &'static str,
}

impl Conditions {
    /// Those of this process, now.
    pub(crate) fn here() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self {
            machine: machine(),
            command: format!("carillon {}", arguments.join(" ")),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
        }
    }
}

/// Processor, cores, memory and kernel, as Linux tells them.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory_kb: Option<u64> = memory.and_then(|text| text.split_whitespace().next()?.parse().ok());
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{cpu}, {cores} cores, {} GiB, Linux {}",
        memory_kb.unwrap_or(0) >> 20,
        kernel.split('-').next().unwrap_or_default().trim()
    )
}

/// One measurement's figures.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    name: &'static str,
    title: &'static str,
    notes: Vec<String>,
    rows: Vec<Map<String, Value>>,
}

impl Report {
    /// An empty one.
    pub(crate) fn new(name: &'static str, title: &'static str) -> Self {
        Self {
            name,
            title,
            notes: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Adds what a reader must know to read the figures.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Adds a row; columns are named in the first one.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (&'static str, Value)>) {
        self.rows.push(
            cells
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        );
    }

    /// Prints it.
    pub(crate) fn print(&self, conditions: &Conditions, out: Output) {
        let Conditions {
            machine,
            command,
            date,
            build,
        } = conditions;
        out.value(&json!({
            "measure": self.name,
            "machine": machine,
            "command": command,
            "date": date,
            "build": build,
            "notes": self.notes,
            "rows": self.rows,
        }));
        if out.json {
            return;
        }
        out.note("");
        out.note(self.title);
        out.note(&format!("  {date} · `{command}` ({build} build) · {machine}"));
        for note in &self.notes {
            out.note(&format!("  {note}"));
        }
        let head: Vec<&str> = self
            .rows
            .first()
            .map(|row| row.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| {
                head.iter()
                    .map(|name| row.get(*name).map_or_else(String::new, cell))
                    .collect()
            })
            .collect();
        out.table(&head, &rows);
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A figure with so many decimals that it can be read; null if there is none.
pub(crate) fn figure(value: impl Into<Option<f64>>) -> Value {
    let Some(value) = value.into().filter(|value| value.is_finite()) else {
        return Value::Null;
    };
    let decimals = match value.abs() {
        1_000.0.. => 0,
        100.0.. => 1,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let scale = 10_f64.powi(decimals);
    let rounded = (value * scale).round() / scale;
    if decimals == 0 {
        json!(rounded as i64)
    } else {
        json!(rounded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_about_three_digits() {
        // value, as shown
        let rows = [
            (Some(6_683.4), "6683"),
            (Some(14.84), "14.8"),
            (Some(4.056), "4.06"),
            (Some(0.5714), "0.571"),
            (None, "null"),
        ];
        for (value, shown) in rows {
            assert_eq!(figure(value).to_string(), shown, "{value:?}");
        }
    }
}
