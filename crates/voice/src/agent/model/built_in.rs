//! The tools that every agent of a model knows: end the call, promise a callback, note that no more calls are wanted, or that a
//! person is.

use super::super::brain::Decision;
use super::prompt::local_time;
use carillon_domain::model_agent::Permissions;
use carillon_domain::time::UnixMicros;
use carillon_interfaces::language_model::ToolDescription;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::time::Duration;

const OUTCOME_BYTES_MAX: usize = 40;
const CALLBACK_LEAD: Duration = Duration::from_secs(60);
const CALLBACK_HORIZON: Duration = Duration::from_secs(90 * 24 * 3_600);

/// What a call of a built-in tool comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// The call ends.
    HangUp {
        /// How it ended.
        outcome: String,
        /// Last words that the model put into the call.
        goodbye: Option<String>,
    },
    /// Something is decided; the text tells the model.
    Decided(Decision, String),
    /// Nothing is done; the text tells the model why.
    Refused(String),
}

/// The descriptions of those that the agent may use.
pub(super) fn descriptions(may: Permissions) -> Vec<ToolDescription> {
    let tool = |name: &str, description: &str, parameters: Value| ToolDescription {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters,
    };
    let mut tools = vec![tool(
        "end_call",
        "Hangs up. Call it when the conversation is over and you have said goodbye, or with your last words as `goodbye`.",
        json!({
            "type": "object",
            "properties": {
                "outcome": { "type": "string", "description": "How the call ended, in one or two words, such as `agreed` or `not_interested`." },
                "goodbye": { "type": "string", "description": "Last words to say, if you have not said them yet." },
            },
        }),
    )];
    if may.schedule_callback {
        tools.push(tool(
            "schedule_callback",
            "Notes that the callee wants to be called again at a time. Give `at` or `in_minutes`. If they named no time, ask for one first.",
            json!({
                "type": "object",
                "properties": {
                    "at": { "type": "string", "description": "The callee's local date and time, such as 2026-11-23T17:00." },
                    "in_minutes": { "type": "integer", "description": "Minutes from now." },
                },
            }),
        ));
    }
    if may.do_not_call {
        tools.push(tool(
            "do_not_call",
            "Notes that the callee must never be called again. Use it whenever they ask not to be called, then say goodbye.",
            json!({ "type": "object", "properties": {} }),
        ));
    }
    if may.transfer_request {
        tools.push(tool(
            "transfer_request",
            "Notes that the callee wants to speak with a person.",
            json!({
                "type": "object",
                "properties": { "to": { "type": "string", "description": "Whom they asked for, if they said." } },
            }),
        ));
    }
    tools
}

/// Does what a built-in tool is for; `None`: there is no such tool, or the agent may not use it.
pub(super) fn run(name: &str, arguments: &str, may: Permissions, now: UnixMicros, zone: &TimeZone) -> Option<Done> {
    // Models leave the arguments out where none are needed, or write nonsense; only a time is really needed.
    let arguments: Value = serde_json::from_str(arguments).unwrap_or(Value::Null);
    let text = |name: &str| {
        arguments
            .get(name)
            .and_then(Value::as_str)
            .map(str::trim)
            .filter(|text| !text.is_empty())
    };
    Some(match name {
        "end_call" => Done::HangUp {
            outcome: text("outcome")
                .map(outcome_name)
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "completed".to_owned()),
            goodbye: text("goodbye").map(str::to_owned),
        },
        "schedule_callback" if may.schedule_callback => match callback_time(&arguments, now, zone) {
            Ok(at) => Done::Decided(
                Decision::CallBack(at),
                format!("Noted: a call on {}. Confirm it to the callee.", local_time(at, zone)),
            ),
            Err(why) => Done::Refused(why),
        },
        "do_not_call" if may.do_not_call => Done::Decided(
            Decision::DoNotCall,
            "Noted. Confirm in one sentence that they will not be called again, say goodbye, and call end_call."
                .to_owned(),
        ),
        "transfer_request" if may.transfer_request => Done::Decided(
            Decision::TransferRequested {
                to: text("to").map(|to| to.chars().take(120).collect()),
            },
            "Noted; a person will see it. Nobody can be put through during this call: say so.".to_owned(),
        ),
        _ => return None,
    })
}

/// An outcome as a name: small letters, digits and `_`.
fn outcome_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        if name.len() >= OUTCOME_BYTES_MAX {
            break;
        }
    }
    name.trim_end_matches('_').to_owned()
}

fn callback_time(arguments: &Value, now: UnixMicros, zone: &TimeZone) -> Result<UnixMicros, String> {
    let minutes = arguments.get("in_minutes").and_then(|minutes| match minutes {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    });
    let at = arguments
        .get("at")
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let at = match (at, minutes) {
        (Some(text), _) => moment(text, zone)?,
        (None, Some(minutes)) => {
            now + Duration::from_secs(minutes.saturating_mul(60).min(CALLBACK_HORIZON.as_secs() * 2))
        }
        (None, None) => {
            return Err(
                "Not noted: no time was given. Ask the callee when, then give `at` or `in_minutes`.".to_owned(),
            );
        }
    };
    let its_now = local_time(now, zone);
    if at < now + CALLBACK_LEAD {
        return Err(format!("Not noted: that is in the past. It is now {its_now}."));
    }
    if at > now + CALLBACK_HORIZON {
        return Err(format!(
            "Not noted: that is more than 90 days away. It is now {its_now}."
        ));
    }
    Ok(at)
}

fn moment(text: &str, zone: &TimeZone) -> Result<UnixMicros, String> {
    let stamp = match text.parse::<Timestamp>() {
        Ok(stamp) => stamp,
        Err(_) => {
            let unreadable = || {
                format!(
                    "Not noted: `{}` is no time. Write it as 2026-11-23T17:00.",
                    text.chars().take(40).collect::<String>()
                )
            };
            // A date alone would be midnight.
            let civil: DateTime = text
                .parse()
                .ok()
                .filter(|_| text.contains(':'))
                .ok_or_else(unreadable)?;
            zone.to_ambiguous_zoned(civil)
                .compatible()
                .map_err(|_| unreadable())?
                .timestamp()
        }
    };
    Ok(UnixMicros(stamp.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 23 November 2026, 07:43 in Kolkata.
    const NOW: UnixMicros = UnixMicros::from_seconds(1_795_400_000);

    fn use_tool(name: &str, arguments: &str) -> Option<Done> {
        run(
            name,
            arguments,
            Permissions::default(),
            NOW,
            &TimeZone::get("Asia/Kolkata").unwrap(),
        )
    }

    #[test]
    fn callbacks_are_in_the_callees_time() {
        for (arguments, expected) in [
            (r#"{"at":"2026-11-23T17:00"}"#, Some(1_795_433_400)),
            (r#"{"at":"2026-11-23 17:00:00"}"#, Some(1_795_433_400)),
            (r#"{"at":"2026-11-23T17:00:00+05:30"}"#, Some(1_795_433_400)),
            (r#"{"at":"2026-11-23T11:30:00Z"}"#, Some(1_795_433_400)),
            (r#"{"in_minutes":30}"#, Some(1_795_401_800)),
            (r#"{"in_minutes":"30"}"#, Some(1_795_401_800)),
            (r#"{"at":"2026-11-22T17:00"}"#, None),
            (r#"{"at":"2027-11-22T17:00"}"#, None),
            (r#"{"at":"2026-11-24"}"#, None),
            (r#"{"at":"tomorrow at five"}"#, None),
            (r#"{"in_minutes":18446744073709551615}"#, None),
            ("{}", None),
            ("nonsense", None),
        ] {
            let done = use_tool("schedule_callback", arguments).unwrap();
            match expected {
                Some(seconds) => {
                    let Done::Decided(Decision::CallBack(at), told) = done else {
                        panic!("{arguments}: {done:?}");
                    };
                    assert_eq!(at.seconds(), seconds, "{arguments}");
                    assert!(told.contains("Asia/Kolkata"), "{told}");
                }
                None => assert!(
                    matches!(&done, Done::Refused(why) if why.starts_with("Not noted")),
                    "{arguments}: {done:?}"
                ),
            }
        }
    }

    #[test]
    fn the_end_of_a_call_has_a_name() {
        for (arguments, expected) in [
            (r#"{"outcome":"Not interested!"}"#, "not_interested"),
            (r#"{"outcome":"…"}"#, "completed"),
            (r#"{"outcome":7}"#, "completed"),
            ("", "completed"),
        ] {
            let done = use_tool("end_call", arguments).unwrap();
            assert!(
                matches!(&done, Done::HangUp { outcome, .. } if outcome == expected),
                "{arguments}: {done:?}"
            );
        }
        let long = format!(r#"{{"outcome":"{}"}}"#, "x".repeat(500));
        assert!(
            matches!(use_tool("end_call", &long), Some(Done::HangUp { outcome, .. }) if outcome.len() <= OUTCOME_BYTES_MAX)
        );
    }

    #[test]
    fn what_is_not_allowed_does_not_exist() {
        let nothing = Permissions {
            schedule_callback: false,
            do_not_call: false,
            transfer_request: false,
        };
        let names: Vec<String> = descriptions(nothing).into_iter().map(|tool| tool.name).collect();
        assert_eq!(names, ["end_call"]);
        for name in ["schedule_callback", "do_not_call", "transfer_request", "rm_rf"] {
            assert_eq!(run(name, "{}", nothing, NOW, &TimeZone::UTC), None, "{name}");
        }
        let all: Vec<String> = descriptions(Permissions::default())
            .into_iter()
            .map(|tool| tool.name)
            .collect();
        assert_eq!(all, carillon_domain::model_agent::BUILT_IN_TOOLS);
        assert!(all.iter().all(|name| use_tool(name, r#"{"in_minutes":5}"#).is_some()));
    }
}
