//! RevRag's JSON, field by field as its two pages write it. Names that look odd are theirs.
//!
//! "Single trigger" is the page of `trigger/single`, "campaign page" the one of `records/push-bulk`.

use serde::Serialize;
use serde_json::{Map, Value};

/// An item of `GET /agents` (single trigger page, "Get All Agents").
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Agent {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) variables: Vec<Variable>,
}

/// A variable that an agent expects.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Variable {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) default_value: Option<String>,
}

/// The reply of `trigger/single` (single trigger page, "Trigger Single Call").
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Triggered {
    pub(super) success: bool,
    pub(super) message: &'static str,
    pub(super) to_phone_number: String,
    pub(super) agent_id: String,
    pub(super) call_id: String,
}

/// The reply of `push-bulk` (campaign page, "Push Records", "Response").
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Pushed {
    pub(super) accepted: usize,
    pub(super) rejected: usize,
    pub(super) results: Vec<PushResult>,
}

/// What became of one record, in the order of the request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct PushResult {
    /// Exactly as it was sent.
    pub(super) phone_number: String,
    pub(super) accepted: bool,
    pub(super) run_id: Option<String>,
    pub(super) status: Option<&'static str>,
    pub(super) error: Option<String>,
}

/// A record (campaign page, "Get Record Status").
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Record {
    /// The `run_id` of the push.
    pub(super) id: String,
    pub(super) campaign_id: String,
    pub(super) workspace_id: String,
    pub(super) phone_number: String,
    pub(super) status: &'static str,
    pub(super) variables: Map<String, Value>,
    pub(super) app_user_id: Option<String>,
    pub(super) app_session_id: Option<String>,
    pub(super) attempt_count: u32,
    pub(super) max_attempts: u32,
    pub(super) call_history: Vec<HistoryEntry>,
    pub(super) next_attempt_at: Option<String>,
    pub(super) dnc_at: Option<String>,
    pub(super) dnc_reason: Option<String>,
    /// Not theirs: why a record ended without another call. Left out where it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) final_reason: Option<String>,
    pub(super) created_at: String,
    pub(super) updated_at: String,
}

/// One attempt of a record. Theirs are `call_id` and `status`; the other keys are additions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct HistoryEntry {
    pub(super) call_id: String,
    pub(super) status: &'static str,
    pub(super) attempt_no: u32,
    pub(super) disconnection_reason: Option<&'static str>,
    pub(super) outcome: Option<&'static str>,
    pub(super) sip_code: Option<u16>,
    pub(super) sip_reason: Option<String>,
}

/// A page of records (campaign page, "List Records").
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct RecordPage {
    pub(super) items: Vec<Record>,
    pub(super) total: u64,
    pub(super) has_more: bool,
    pub(super) page: u64,
    pub(super) page_size: u32,
}

/// A campaign's status (campaign page, "Get Campaign Status").
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct CampaignStatus {
    pub(super) campaign_id: String,
    pub(super) status: &'static str,
    pub(super) stats: Stats,
}

/// Counts by record status; the eight after `total_records` add up to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Stats {
    pub(super) total_records: u64,
    pub(super) queued: u64,
    pub(super) in_progress: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) dnc: u64,
    pub(super) rescheduled: u64,
    pub(super) retry_pending: u64,
    pub(super) follow_up_pending: u64,
}

/// A call: the union of both pages' "Get Call Status", and the body of `call.ended`. A key that does not apply is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct CallStatus {
    /// Two vocabularies, by the call's origin: the single trigger page's `QUEUED`, `RUNNING`, `ENDED`; the campaign page's
    /// lower-case words.
    pub(super) call_status: &'static str,
    pub(super) call_id: String,
    pub(super) agent_id: String,
    pub(super) from_number: Option<String>,
    pub(super) to_number: String,
    /// "LLM-generated call summary (when a transcript exists)".
    pub(super) summary: Option<String>,
    pub(super) start_time: Option<String>,
    pub(super) end_time: Option<String>,
    /// "Call duration in seconds".
    pub(super) duration: i64,
    pub(super) disconnection_reason: Option<&'static str>,
    /// "MP4 format" for single calls, `.mp3` in the campaign page's example.
    pub(super) recording_url: Option<String>,
    pub(super) transcription: Option<Transcription>,
    pub(super) custom_variables: Vec<CustomVariable>,
    /// "The request body uses `variable_fields`; the response key has an extra `s`".
    pub(super) variables_fields: Option<Map<String, Value>>,
    pub(super) custom_metadata: Option<Map<String, Value>>,
    pub(super) campaign_id: Option<String>,
    pub(super) attempt_no: Option<u32>,
    pub(super) app_user_id: Option<String>,
    pub(super) app_session_id: Option<String>,
}

/// "Turn-by-turn messages".
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Transcription {
    pub(super) messages: Vec<Message>,
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Message {
    /// `assistant` or `user`.
    pub(super) role: &'static str,
    pub(super) content: String,
    /// When it began, in seconds since the answer. Theirs speak of timestamps and show none.
    pub(super) timestamp: f64,
}

/// A value found out on the call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct CustomVariable {
    pub(super) key: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) value: Value,
}
