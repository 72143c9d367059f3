//! What the command line prints: text for people, one JSON value a line for programs.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the one place that prints"
)]

use serde_json::{Value, json};

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// JSON instead of text.
    pub(crate) json: bool,
}

impl Output {
    /// A text as it is (`--json` does not change it).
    pub(crate) fn text(self, text: &str) {
        println!("{}", text.trim_end());
    }

    /// Progress, for people only.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }

    /// Progress that replaces itself on one line of a terminal.
    pub(crate) fn progress(self, line: &str) {
        use std::io::Write;
        if !self.json {
            print!("\r\u{1b}[2K{line}");
            // A terminal that is gone needs no progress.
            drop(std::io::stdout().flush());
        }
    }

    /// A result, for programs only.
    pub(crate) fn value(self, value: &Value) {
        if self.json {
            println!("{value}");
        }
    }

    /// A warning; on standard error, so that results stay clean.
    pub(crate) fn warn(self, text: &str) {
        eprintln!("warning: {text}");
    }

    /// What went wrong.
    pub(crate) fn error(self, error: &anyhow::Error) {
        if self.json {
            println!("{}", json!({"error": format!("{error:#}")}));
        } else {
            eprintln!("error: {error:#}");
        }
    }

    /// A table: the first row is the head. With `--json` an array of objects keyed by the head.
    pub(crate) fn table(self, head: &[&str], rows: &[Vec<String>]) {
        if self.json {
            let objects: Vec<Value> = rows
                .iter()
                .map(|row| {
                    head.iter()
                        .zip(row)
                        .map(|(key, cell)| ((*key).to_owned(), Value::String(cell.clone())))
                        .collect()
                })
                .collect();
            println!("{}", Value::Array(objects));
            return;
        }
        let widths: Vec<usize> = head
            .iter()
            .enumerate()
            .map(|(column, title)| {
                let cells = rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count());
                cells.chain([title.chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: Vec<&str>| {
            let padded: Vec<String> = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}", width = *width))
                .collect();
            println!("{}", padded.join("  ").trim_end());
        };
        line(head.to_vec());
        for row in rows {
            line(row.iter().map(String::as_str).collect());
        }
    }
}
