//! `carillon talk`: a conversation with a flow in the terminal, without telephone or speech.

use super::output::Output;
use anyhow::{Context, bail};
use carillon_domain::campaign::calling_window::ZoneName;
use carillon_domain::flow::{Flow, FlowContext, FlowInput, FlowOutput, FlowResult, FlowRun, Severity, lint};
use carillon_domain::time::UnixMicros;
use carillon_interfaces::clock::{Clock as _, SystemClock};
use clap::Args;
use serde_json::{Map, Value, json};
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A conversation by text.
///
/// Each line is one turn of the callee. An empty line is silence, a line that begins with `#` is keys (`#1`), and the end of the
/// input hangs up.
#[derive(Args, Debug)]
pub(crate) struct TalkArgs {
    /// The flow, a JSON file (docs/flows.md).
    #[arg(long)]
    flow: PathBuf,
    /// A variable of the call, as `name=value`; may be given several times.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// The callee's time zone: "tomorrow at five" is by this clock.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// Whom the call is for.
    #[arg(long)]
    callee: Option<String>,
    /// For whom we call.
    #[arg(long)]
    company: Option<String>,
    /// Only look for what is wrong with the flow.
    #[arg(long)]
    check: bool,
}

/// Talks until the flow or the input ends. Fails if the flow has errors.
pub(crate) fn talk(args: &TalkArgs, out: Output) -> anyhow::Result<ExitCode> {
    let flow = read_flow(&args.flow)?;
    let findings = lint(&flow);
    for finding in &findings {
        let word = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        out.warn(&format!(
            "{word} at {}: {} {}",
            finding.path, finding.problem, finding.fix
        ));
    }
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        bail!("the flow has errors; see above");
    }
    if args.check {
        out.note("Nothing is wrong with the flow.");
        out.value(&json!({"findings": findings}));
        return Ok(ExitCode::SUCCESS);
    }
    let context = FlowContext {
        zone: ZoneName::parse(&args.zone)?,
        callee_name: args.callee.clone(),
        company: args.company.clone(),
        has_model: false,
    };
    let mut run = FlowRun::new(flow, &variables(&args.variables)?, context)?;
    if std::io::stdin().is_terminal() {
        out.note("Type what the callee says. Empty line: silence. #12: keys. Ctrl-D: hang up.");
    }
    let result = converse(&mut run, std::io::stdin().lock(), out)?;
    report(&result, out);
    Ok(ExitCode::SUCCESS)
}

fn read_flow(path: &Path) -> anyhow::Result<Flow> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    serde_path_to_error::deserialize(&mut reader).with_context(|| format!("{} is no flow", path.display()))
}

/// `name=value` pairs; a value that is JSON is taken as such, anything else as text.
fn variables(pairs: &[String]) -> anyhow::Result<Map<String, Value>> {
    pairs
        .iter()
        .map(|pair| {
            let (name, value) = pair
                .split_once('=')
                .with_context(|| format!("`{pair}` is no variable; write name=value"))?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            Ok((name.to_owned(), value))
        })
        .collect()
}

/// One line, one turn.
fn converse(run: &mut FlowRun, input: impl BufRead, out: Output) -> anyhow::Result<FlowResult> {
    let mut lines = input.lines();
    let mut outputs = run.handle(now(), FlowInput::Start);
    loop {
        if let Some(result) = say(outputs, out) {
            return Ok(result);
        }
        let spoken = say(run.handle(now(), FlowInput::SpeechFinished), out);
        if let Some(result) = spoken {
            return Ok(result);
        }
        outputs = match lines.next().transpose()? {
            None => run.handle(now(), FlowInput::HungUp),
            Some(line) => {
                let line = line.trim();
                out.value(&json!({"callee": line}));
                run.handle(now(), turn(line))
            }
        };
    }
}

/// What a line means.
fn turn(line: &str) -> FlowInput {
    match line.strip_prefix('#') {
        _ if line.is_empty() => FlowInput::Silence,
        Some(keys) if !keys.is_empty() && keys.chars().all(|key| key.is_ascii_digit() || key == '*') => {
            FlowInput::Keys(keys.to_owned())
        }
        _ => FlowInput::Heard { text: line.to_owned() },
    }
}

/// Prints what is said; returns the result if that was the end.
fn say(outputs: Vec<FlowOutput>, out: Output) -> Option<FlowResult> {
    for output in outputs {
        match output {
            FlowOutput::Say { text, .. } => {
                out.note(&format!("agent: {text}"));
                out.value(&json!({"agent": text}));
            }
            FlowOutput::Transfer(request) => out.note(&format!("(to be connected with {:?})", request.to)),
            // Without a model the flow takes the node's other exit.
            FlowOutput::AskModel { .. } | FlowOutput::Wait => {}
            FlowOutput::Finish { result } => return Some(*result),
        }
    }
    None
}

fn report(result: &FlowResult, out: Output) {
    out.value(&json!({"result": result}));
    out.note("");
    out.note(&format!("outcome: {}", result.outcome));
    for (name, value) in &result.values {
        out.note(&format!("  {name} = {value}"));
    }
    if result.do_not_call {
        out.note("  not to be called again");
    }
    for (what, at) in [("call back", result.call_back_at), ("follow up", result.follow_up_at)] {
        if let Some(at) = at {
            out.note(&format!("  {what} at {}", in_utc(at)));
        }
    }
    if let Some(summary) = &result.summary {
        out.note(&format!("summary: {summary}"));
    }
    for note in &result.notes {
        out.warn(note);
    }
}

fn in_utc(at: UnixMicros) -> String {
    jiff::Timestamp::from_microsecond(at.micros()).map_or_else(|_| "-".to_owned(), |at| at.to_string())
}

fn now() -> UnixMicros {
    SystemClock.now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_words_keys_or_silence() {
        let heard = |text: &str| FlowInput::Heard { text: text.to_owned() };
        let rows = [
            ("", FlowInput::Silence),
            ("yes please", heard("yes please")),
            ("#12", FlowInput::Keys("12".to_owned())),
            ("#", heard("#")),
            ("#one", heard("#one")),
        ];
        for (line, expected) in rows {
            assert_eq!(turn(line), expected, "{line:?}");
        }
    }

    #[test]
    fn variables_are_text_unless_they_are_json() {
        let pairs = ["name=Ann".to_owned(), "age=41".to_owned(), "note=a=b".to_owned()];
        let read = variables(&pairs).unwrap();
        assert_eq!(Value::Object(read), json!({"name": "Ann", "age": 41, "note": "a=b"}));
        assert!(variables(&["name".to_owned()]).is_err());
    }
}
