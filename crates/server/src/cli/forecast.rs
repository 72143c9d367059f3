//! `carillon forecast`.

use super::api_client::{ApiClient, ServerArgs};
use super::output::Output;
use clap::Args;
use serde_json::Value;
use std::process::ExitCode;

/// What a campaign will probably do if it is started now. What is not said of the callees is assumed.
#[derive(Args, Debug)]
pub(crate) struct ForecastArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The campaign's id.
    campaign: String,
    /// Share of attempts that somebody answers, 0 to 1 [default: 0.3].
    #[arg(long)]
    answer_rate: Option<f64>,
    /// Share of attempts that end busy [default: 0.05].
    #[arg(long)]
    busy_rate: Option<f64>,
    /// Share of attempts that the network does not connect; the rest ring out [default: 0.05].
    #[arg(long)]
    not_connected_rate: Option<f64>,
    /// Mean seconds to an answer [default: 12].
    #[arg(long)]
    ring_s: Option<u32>,
    /// Mean seconds of an answered call [default: 60].
    #[arg(long)]
    talk_s: Option<u32>,
    /// Chooses who answers; the same seed gives the same forecast [default: 1].
    #[arg(long)]
    seed: Option<u64>,
    /// Days to look ahead, at most 400 [default: 60].
    #[arg(long)]
    days: Option<u32>,
    /// Records to imagine beside those that are there: a draft has none yet [default: 0].
    #[arg(long)]
    imagined_records: Option<u32>,
    /// Show every hour, however many there are.
    #[arg(long)]
    hours: bool,
}

/// As many hours are shown without being asked for.
const HOURS_SHOWN: usize = 24;
/// As many numbers are listed.
const NUMBERS_SHOWN: usize = 20;

/// Runs `carillon forecast`.
pub(crate) async fn forecast(args: &ForecastArgs, out: Output) -> anyhow::Result<ExitCode> {
    let client = ApiClient::of(&args.server)?;
    let forecast = client
        .get(&format!("/campaigns/{}/forecast?{}", args.campaign, query(args)))
        .await?;
    if out.json {
        out.value(&forecast);
    } else {
        tell(&forecast, args.hours, out);
    }
    Ok(ExitCode::SUCCESS)
}

fn query(args: &ForecastArgs) -> String {
    let text = |number: Option<u64>| number.map(|number| number.to_string());
    let share = |share: Option<f64>| share.map(|share| share.to_string());
    let asked = [
        ("answer_rate", share(args.answer_rate)),
        ("busy_rate", share(args.busy_rate)),
        ("not_connected_rate", share(args.not_connected_rate)),
        ("ring_s", text(args.ring_s.map(u64::from))),
        ("talk_s", text(args.talk_s.map(u64::from))),
        ("seed", text(args.seed)),
        ("days", text(args.days.map(u64::from))),
        ("imagined_records", text(args.imagined_records.map(u64::from))),
    ];
    let parts: Vec<String> = asked
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")))
        .collect();
    parts.join("&")
}

fn tell(forecast: &Value, all_hours: bool, out: Output) {
    let text = |name: &str| super::cells(forecast, &[name]).remove(0);
    let number = |name: &str| forecast.get(name).and_then(Value::as_u64).unwrap_or(0);
    let starts = match text("starts_at").as_str() {
        "-" => "nobody is called".to_owned(),
        at => at.to_owned(),
    };
    let ends = match (
        text("ends_at").as_str(),
        forecast.get("cut_off") == Some(&Value::Bool(true)),
    ) {
        ("-", _) => "not within the days looked at".to_owned(),
        (at, true) => format!("{at}, by its end date, before its records are done"),
        (at, false) => at.to_owned(),
    };
    let calls = format!(
        "{}, {} answered, {} min of talk, at most {} at once",
        text("calls"),
        text("answered"),
        number("talk_s").div_ceil(60),
        text("peak_lines")
    );
    for (name, value) in [
        ("Records", text("records")),
        ("First call", starts),
        ("Done", ends),
        ("Calls", calls),
        ("Records end", counts(forecast.get("statuses"))),
        ("Assumed", counts(forecast.get("assumptions"))),
    ] {
        out.note(&format!("{name:<12} {value}"));
    }
    let slot = |slot: &Value| super::cells(slot, &["starts", "calls", "answered", "peak_lines"]);
    let zone = text("time_zone");
    let list = |name: &str| forecast.get(name).cloned().unwrap_or(Value::Null);
    let (days, hours) = (list("days"), list("hours"));
    table(
        out,
        "",
        &[&format!("day ({zone})"), "calls", "answered", "lines"],
        super::rows(&days, slot),
    );
    let hours_there = hours.as_array().map_or(0, Vec::len);
    if all_hours || hours_there <= HOURS_SHOWN {
        table(
            out,
            "",
            &[&format!("hour ({zone})"), "calls", "answered", "lines"],
            super::rows(&hours, slot),
        );
    } else {
        out.note(&format!("\n{hours_there} hours with calls: --hours shows them."));
    }
    let held = super::rows(&list("held"), |held| {
        super::cells(held, &["gate", "records", "first_opens_at", "last_opens_at", "reason"])
    });
    table(
        out,
        "What holds records now:",
        &["gate", "records", "opens first", "opens last", "reason"],
        held,
    );
    let waits = super::rows(&list("waits"), |wait| {
        super::cells(wait, &["gate", "seconds", "reason"])
    });
    table(
        out,
        "What the whole campaign waits for while records are due:",
        &["gate", "seconds", "reason"],
        waits,
    );
    let never = super::rows(&list("never_called"), |never| {
        super::cells(never, &["phone", "gate", "record_id"])
    });
    let title = format!("{} records will never be called:", number("never_called_total"));
    let more = never.len() > NUMBERS_SHOWN;
    let never = never.into_iter().take(NUMBERS_SHOWN).collect();
    table(out, &title, &["phone", "gate", "record"], never);
    if more {
        out.note("and more: --json lists up to a thousand.");
    }
}

/// A table under its title; nothing at all without rows.
fn table(out: Output, title: &str, head: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    out.note("");
    if !title.is_empty() {
        out.note(title);
    }
    out.table(head, &rows);
}

/// An object of numbers on one line.
fn counts(object: Option<&Value>) -> String {
    let Some(Value::Object(fields)) = object else {
        return "-".to_owned();
    };
    let parts: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join(", ")
    }
}
