//! Between our words and RevRag's, both ways. Pure.

use super::body::PushRecord;
use super::wire;
use crate::RecordingUrls;
use carillon_app::NewRecord;
use carillon_domain::agent::Agent;
use carillon_domain::call::{Call, CallState, Origin, Outcome};
use carillon_domain::campaign::Campaign;
use carillon_domain::conversation::Speaker;
use carillon_domain::phone::{PhoneNumber, parse_for_regions};
use carillon_domain::record::{Attempt, Record, RecordStatus};
use carillon_domain::script::Conversation;
use carillon_domain::time::UnixMicros;
use carillon_domain::workspace::{StatusStyle, Workspace};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// RevRag's two vocabularies on one endpoint (contracts 1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vocabulary {
    /// The single trigger page's "Call Status Values" and "Disconnection Reason Values".
    Upper,
    /// The campaign page's.
    Lower,
}

impl Vocabulary {
    /// The one that answers about `origin` use in this workspace.
    pub(super) fn of(style: StatusStyle, origin: &Origin) -> Self {
        match (style, origin) {
            (StatusStyle::Upper, _) | (StatusStyle::ByOrigin, Origin::Single { .. }) => Self::Upper,
            (StatusStyle::Lower, _) | (StatusStyle::ByOrigin, Origin::Campaign { .. }) => Self::Lower,
        }
    }

    fn of_records(style: StatusStyle) -> Self {
        match style {
            StatusStyle::Upper => Self::Upper,
            StatusStyle::ByOrigin | StatusStyle::Lower => Self::Lower,
        }
    }

    fn pick(self, upper: &'static str, lower: &'static str) -> &'static str {
        match self {
            Self::Upper => upper,
            Self::Lower => lower,
        }
    }

    /// A call counts as ended when its post-call work is done, so that whoever sees `ENDED` sees all of it.
    pub(super) fn call_status(self, call: &Call) -> &'static str {
        match call.state {
            CallState::Queued => self.pick("QUEUED", "queued"),
            CallState::Dialing
            | CallState::Ringing
            | CallState::InCall
            | CallState::HangingUp
            | CallState::PostCall => self.pick("RUNNING", "in_progress"),
            CallState::Closed => self.final_status(call.outcome()),
        }
    }

    fn final_status(self, outcome: Option<Outcome>) -> &'static str {
        let answered = outcome.is_some_and(Outcome::implies_answer);
        self.pick("ENDED", if answered { "completed" } else { "failed" })
    }

    /// The ten "Disconnection Reason Values"; the campaign page has the same ten in lower case.
    pub(super) fn reason(self, outcome: Outcome) -> &'static str {
        match outcome {
            Outcome::CalleeHungUp => self.pick("USER_HANGUP", "user_hangup"),
            // "Callee rejected the call (busy)": busy and declined are one to them.
            Outcome::Busy | Outcome::Declined => self.pick("USER_REJECTED", "user_rejected"),
            Outcome::MaxDuration => self.pick("MAX_DURATION", "max_duration"),
            Outcome::Voicemail => self.pick("VOICEMAIL_REACHED", "voicemail_reached"),
            Outcome::AgentHungUp | Outcome::Transferred => self.pick("AGENT_HANGUP", "agent_hangup"),
            Outcome::Silence => self.pick("SILENCE_TIMEOUT", "silence_timeout"),
            Outcome::NoAnswer => self.pick("CALL_NOT_PICKED", "call_not_picked"),
            Outcome::Unknown | Outcome::InternalError | Outcome::Cancelled => {
                self.pick("ERROR_OCCURRED", "error_occurred")
            }
            Outcome::NotConnected | Outcome::InvalidNumber | Outcome::Refused => {
                self.pick("CALL_NOT_CONNECTED", "call_not_connected")
            }
            Outcome::Dropped => self.pick("CALL_DROPPED", "call_dropped"),
        }
    }
}

/// An id as they write it: a bare UUID, or one behind a word (`agent_…`, `call_…`) as in some of their examples.
pub(super) fn id(text: &str, word: &str) -> Option<Uuid> {
    let bare = text
        .strip_prefix(word)
        .and_then(|rest| rest.strip_prefix('_'))
        .unwrap_or(text);
    Uuid::try_parse(bare).ok()
}

/// Records keep six digits after the second (campaign page, "Get Record Status").
pub(super) fn record_time(at: UnixMicros) -> String {
    timestamp(at, "%Y-%m-%dT%H:%M:%S%.6f+00:00")
}

/// Calls keep none (campaign page, "Get Call Status").
pub(super) fn call_time(at: UnixMicros) -> String {
    timestamp(UnixMicros::from_seconds(at.seconds()), "%Y-%m-%dT%H:%M:%S+00:00")
}

fn timestamp(at: UnixMicros, format: &str) -> String {
    let clamped = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or(if at.micros() < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    clamped.strftime(format).to_string()
}

pub(super) fn agent(agent: &Agent) -> wire::Agent {
    let variables = agent.variables.iter().map(|declared| wire::Variable {
        name: declared.name.clone(),
        kind: declared.kind.clone(),
        default_value: declared.default_value.clone(),
    });
    wire::Agent {
        id: agent.id.to_string(),
        name: agent.name.clone(),
        variables: variables.collect(),
    }
}

/// A pushed record with its number read, or why that record is rejected.
pub(super) fn new_record(pushed: PushRecord, workspace: &Workspace) -> (String, Result<NewRecord, String>) {
    let PushRecord {
        phone_number,
        variables,
        app_user_id,
        app_session_id,
    } = pushed;
    let record = match parse_for_regions(&phone_number, &workspace.region, &workspace.allowed_regions) {
        Ok(phone) => Ok(NewRecord {
            phone,
            variables,
            app_user_id,
            app_session_id,
        }),
        Err(_) => Err(invalid_number(&phone_number, workspace)),
    };
    (phone_number, record)
}

/// The campaign page's own words in India.
fn invalid_number(text: &str, workspace: &Workspace) -> String {
    if workspace.region == "IN" {
        format!("Invalid Indian phone number: {text}")
    } else {
        format!("Invalid phone number: {text}")
    }
}

/// The number of a single call: anything of E.164's shape (their own example, `+1234567890`, is in no numbering plan), or
/// a number as it is dialled at home.
pub(super) fn single_number(text: &str, workspace: &Workspace) -> Option<PhoneNumber> {
    let compact: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.'))
        .collect();
    let every_region: [&str; 0] = [];
    PhoneNumber::from_e164_shape(&compact).or_else(|| parse_for_regions(text, &workspace.region, &every_region).ok())
}

/// A record, with what is known of its calls.
pub(super) fn record(record: &Record, calls: &[Call], style: StatusStyle) -> wire::Record {
    wire::Record {
        id: record.id.to_string(),
        campaign_id: record.campaign_id.to_string(),
        workspace_id: record.workspace_id.to_string(),
        phone_number: record.phone.as_str().to_owned(),
        status: record.status().as_str(),
        variables: record.variables.clone(),
        app_user_id: record.app_user_id.clone(),
        app_session_id: record.app_session_id.clone(),
        attempt_count: record.attempt_count(),
        max_attempts: record.max_attempts,
        call_history: history(record, calls, Vocabulary::of_records(style)),
        next_attempt_at: record.next_attempt_at().map(record_time),
        dnc_at: record.dnc_at.map(record_time),
        dnc_reason: record.dnc_reason.clone(),
        final_reason: record.final_reason.clone(),
        created_at: record_time(record.created_at),
        updated_at: record_time(record.updated_at),
    }
}

/// "One entry per attempt". What a gate refused before anything was sent was none.
fn history(record: &Record, calls: &[Call], vocabulary: Vocabulary) -> Vec<wire::HistoryEntry> {
    let dialled = record
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome != Some(Outcome::Refused));
    dialled
        .map(|attempt| {
            history_entry(
                attempt,
                calls.iter().find(|call| call.id == attempt.call_id),
                vocabulary,
            )
        })
        .collect()
}

fn history_entry(attempt: &Attempt, call: Option<&Call>, vocabulary: Vocabulary) -> wire::HistoryEntry {
    let status = match (attempt.outcome, call) {
        (Some(outcome), _) => vocabulary.final_status(Some(outcome)),
        (None, Some(call)) => vocabulary.call_status(call),
        (None, None) => vocabulary.pick("RUNNING", "in_progress"),
    };
    let end = call.and_then(|call| call.end.as_ref());
    wire::HistoryEntry {
        call_id: attempt.call_id.to_string(),
        status,
        attempt_no: attempt.number,
        disconnection_reason: attempt.outcome.map(|outcome| vocabulary.reason(outcome)),
        outcome: attempt.outcome.map(Outcome::as_str),
        sip_code: end.and_then(|end| end.sip_code),
        sip_reason: end.map(|end| end.reason.clone()),
    }
}

pub(super) fn campaign_status(campaign: &Campaign, counts: &BTreeMap<RecordStatus, u64>) -> wire::CampaignStatus {
    let count = |status| counts.get(&status).copied().unwrap_or(0);
    wire::CampaignStatus {
        campaign_id: campaign.id.to_string(),
        status: campaign.status.as_str(),
        stats: wire::Stats {
            total_records: counts.values().sum(),
            queued: count(RecordStatus::Queued),
            in_progress: count(RecordStatus::InProgress),
            completed: count(RecordStatus::Completed),
            failed: count(RecordStatus::Failed),
            dnc: count(RecordStatus::Dnc),
            rescheduled: count(RecordStatus::Rescheduled),
            retry_pending: count(RecordStatus::RetryPending),
            follow_up_pending: count(RecordStatus::FollowUpPending),
        },
    }
}

/// A call, for its status answer and for the webhook alike.
pub(super) fn call(call: &Call, style: StatusStyle, recordings: &RecordingUrls, now: UnixMicros) -> wire::CallStatus {
    let vocabulary = Vocabulary::of(style, &call.origin);
    let extension = match call.origin {
        Origin::Single { .. } => "mp4",
        Origin::Campaign { .. } => "mp3",
    };
    let closed = call.state == CallState::Closed;
    let marks = call.result.marks.iter().map(|(key, value)| wire::CustomVariable {
        key: key.clone(),
        kind: "string",
        value: Value::String(value.clone()),
    });
    let conversation = call.result.conversation.as_deref();
    let values = conversation.into_iter().flat_map(|conversation| &conversation.values);
    let values = values.map(|(key, value)| wire::CustomVariable {
        key: key.clone(),
        kind: kind_of(value),
        value: value.clone(),
    });
    wire::CallStatus {
        call_status: vocabulary.call_status(call),
        call_id: call.id.to_string(),
        agent_id: call.agent_id.to_string(),
        from_number: call.from.as_ref().map(|number| number.as_str().to_owned()),
        to_number: call.to.as_str().to_owned(),
        summary: conversation.and_then(|conversation| conversation.summary.clone()),
        start_time: call.answered_at.map(call_time),
        end_time: call.ended_at.map(call_time),
        duration: duration_s(call, now),
        disconnection_reason: call
            .outcome()
            .filter(|_| closed)
            .map(|outcome| vocabulary.reason(outcome)),
        recording_url: recordings.url(call, extension),
        transcription: conversation.and_then(transcription),
        custom_variables: marks.chain(values).collect(),
        variables_fields: Some(call.variables.clone()).filter(|sent| !sent.is_empty()),
        custom_metadata: call.custom_metadata.clone(),
        campaign_id: call.campaign_id().map(|id| id.to_string()),
        attempt_no: call.attempt(),
        app_user_id: call.app_user_id.clone(),
        app_session_id: call.app_session_id.clone(),
    }
}

/// What was really heard; without words there is none.
fn transcription(conversation: &Conversation) -> Option<wire::Transcription> {
    let spoken = conversation.transcript.entries().iter();
    let messages: Vec<wire::Message> = spoken
        .filter(|entry| !entry.text.trim().is_empty())
        .map(|entry| wire::Message {
            role: match entry.who {
                Speaker::Agent => "assistant",
                Speaker::Callee => "user",
            },
            content: entry.text.as_str().to_owned(),
            timestamp: entry.begin_ms.0 as f64 / 1_000.0,
        })
        .collect();
    (!messages.is_empty()).then_some(wire::Transcription { messages })
}

/// The type of a value, in their words.
const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) | Value::Null => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "boolean",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The difference of the two times as they are written, so that a receiver who subtracts them finds the same.
fn duration_s(call: &Call, now: UnixMicros) -> i64 {
    call.answered_at.map_or(0, |answered| {
        (call.ended_at.unwrap_or(now).seconds() - answered.seconds()).max(0)
    })
}
