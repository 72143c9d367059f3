//! Entities that say only what matters: every field has a plausible value, ids never repeat in a process.

use crate::store::{ApiKey, CommitError, Store};
use carillon_domain::agent::{Agent, Clip, VariableDeclaration, Variables};
use carillon_domain::call::{Call, CallState, DialogFacts, Origin, SipIdentity};
use carillon_domain::campaign::calling_window::ZoneName;
use carillon_domain::campaign::{Campaign, CampaignPolicy, CampaignStatus};
use carillon_domain::do_not_call::{DoNotCallEntry, DoNotCallScope};
use carillon_domain::ids::{
    AgentId, ApiKeyId, CallId, CampaignId, ClipId, DeliveryId, EndpointId, RecordId, TrunkId, WorkspaceId,
};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::pii::Secret;
use carillon_domain::record::{AttemptKind, Record, RecordState, Waiting};
use carillon_domain::script::{Script, ScriptResult};
use carillon_domain::time::UnixMicros;
use carillon_domain::transition::{Change, Transition};
use carillon_domain::trunk::{Codec, Credentials, NumberFormat, Transport, Trunk};
use carillon_domain::webhook::{Delivery, DeliveryAttempt, DeliveryState, Dialect, Endpoint, Reply};
use carillon_domain::workspace::{Mode, StatusStyle, Workspace};
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// A UUID that no other call in this process got, after all those before.
pub fn next_id() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
    // Version and variant bits of UUIDv7; the counter fills the ends, so that first and last bytes differ.
    Uuid::from_u128((n << 80) | (0x7000 << 64) | (0x8000 << 48) | n)
}

/// Second `s` of a fixed day.
pub fn at(s: i64) -> UnixMicros {
    UnixMicros(1_780_000_000_000_000 + s * 1_000_000)
}

/// The `n`th Indian mobile number.
pub fn phone(n: u64) -> PhoneNumber {
    PhoneNumber::from_e164_shape(&format!("+91{:010}", 9_000_000_000 + n)).expect("the shape is right")
}

/// An id of a workspace.
pub fn workspace_id() -> WorkspaceId {
    WorkspaceId::new(next_id())
}

/// A workspace.
pub fn workspace() -> Workspace {
    Workspace {
        id: workspace_id(),
        name: "Acme".into(),
        mode: Mode::Sandbox,
        region: "IN".into(),
        allowed_regions: vec!["IN".into()],
        max_concurrent_calls: 30,
        status_style: StatusStyle::default(),
        version: 0,
    }
}

/// An agent with an announcement.
pub fn agent(workspace_id: WorkspaceId) -> Agent {
    Agent {
        workspace_id,
        id: AgentId::new(next_id()),
        name: "Reminder".into(),
        variables: vec![VariableDeclaration {
            name: "name".into(),
            kind: "string".into(),
            default_value: None,
        }],
        script: announcement(),
        caller_id: Some(phone(1)),
        trunk_id: None,
        ring_timeout_s: 30,
        max_duration_s: 120,
        record_calls: true,
        active: true,
        created_at: at(0),
        version: 0,
    }
}

fn announcement() -> Script {
    Script::Announce {
        clip: ClipId::new(next_id()),
        times: 2,
        gap_ms: 500,
    }
}

/// A clip.
pub fn clip(workspace_id: WorkspaceId) -> Clip {
    let id = ClipId::new(next_id());
    Clip {
        workspace_id,
        id,
        name: "Welcome".into(),
        duration_ms: 2_000,
        created_at: at(0),
        version: 0,
    }
}

/// A trunk with a password.
pub fn trunk(workspace_id: WorkspaceId) -> Trunk {
    Trunk {
        workspace_id,
        id: TrunkId::new(next_id()),
        name: "main".into(),
        host: "sip.example.net".into(),
        port: 5060,
        transport: Transport::Udp,
        credentials: Some(Credentials {
            username: "acme".into(),
            password: Secret::new("geheim"),
        }),
        domain: None,
        caller_ids: vec![phone(1), phone(2)],
        number_format: NumberFormat::E164,
        codecs: vec![Codec::Pcma, Codec::Pcmu],
        lines: 10,
        calls_per_second: 5,
        assert_identity: false,
        sandbox: false,
        enabled: true,
        version: 0,
    }
}

/// A running campaign.
pub fn campaign(workspace_id: WorkspaceId) -> Campaign {
    Campaign {
        workspace_id,
        id: CampaignId::new(next_id()),
        name: "Spring".into(),
        agent_id: AgentId::new(next_id()),
        status: CampaignStatus::Running,
        policy: CampaignPolicy::always_open(ZoneName::parse("Asia/Kolkata").expect("a known zone")),
        settled: false,
        created_at: at(0),
        updated_at: at(0),
        version: 0,
    }
}

/// A record that waits for its first attempt since `at(0)`.
pub fn record(workspace_id: WorkspaceId, campaign_id: CampaignId) -> Record {
    Record {
        workspace_id,
        id: RecordId::new(next_id()),
        campaign_id,
        phone: phone(7),
        state: waiting(AttemptKind::First, at(0)),
        variables: Variables::new(),
        app_user_id: None,
        app_session_id: None,
        attempts: Vec::new(),
        max_attempts: 3,
        follow_ups: 0,
        callbacks: 0,
        dnc_at: None,
        dnc_reason: None,
        final_reason: None,
        created_at: at(0),
        updated_at: at(0),
        version: 0,
    }
}

/// The state of a record that waits until `due_at`.
pub fn waiting(next: AttemptKind, due_at: UnixMicros) -> RecordState {
    RecordState::Waiting(Waiting {
        next,
        scheduled_at: due_at,
        due_at,
        held_by: None,
    })
}

/// A call by itself, in a state.
pub fn call(workspace_id: WorkspaceId, state: CallState) -> Call {
    let id = CallId::new(next_id());
    Call {
        workspace_id,
        id,
        origin: Origin::Single {
            dialect: Dialect::Revrag,
        },
        agent_id: AgentId::new(next_id()),
        trunk_id: None,
        from: Some(phone(1)),
        to: phone(7),
        script: announcement(),
        variables: Variables::new(),
        custom_metadata: None,
        app_user_id: Some("u-1".into()),
        app_session_id: None,
        record_call: true,
        ring_timeout_s: 30,
        max_duration_s: 120,
        state,
        deadline: (state != CallState::Closed).then_some(at(60)),
        created_at: at(0),
        dialing_at: Some(at(1)),
        ringing_at: None,
        early_media: false,
        answered_at: None,
        ended_at: None,
        dialog: Some(DialogFacts {
            identity: SipIdentity::of(id),
            invite_branch: Some("z9hG4bK1".into()),
            invite_cseq: 1,
            invite_uri: "sip:+919000000007@sip.example.net".into(),
            local_uri: "sip:+919000000001@sip.example.net".into(),
            contact_uri: None,
            remote_uri: "sip:+919000000007@sip.example.net".into(),
            remote_tag: Some("t".into()),
            remote_target: None,
            route_set: vec!["<sip:proxy.example.net;lr>".into()],
            peer: Some("192.0.2.1:5060".into()),
            answered: false,
        }),
        end: None,
        result: ScriptResult::default(),
        recording: None,
        sound_closed: false,
        unknown_settled_by: None,
        version: 0,
    }
}

/// A call for the `attempt`th attempt of a record.
pub fn call_for(record: &Record, attempt: u32, state: CallState) -> Call {
    Call {
        origin: Origin::Campaign {
            campaign_id: record.campaign_id,
            record_id: record.id,
            attempt,
            attempt_kind: AttemptKind::First,
        },
        ..call(record.workspace_id, state)
    }
}

/// An entry of the do-not-call list.
pub fn do_not_call(workspace_id: WorkspaceId, phone: PhoneNumber) -> DoNotCallEntry {
    DoNotCallEntry {
        workspace_id,
        phone,
        scope: DoNotCallScope::All,
        reason: "asked for it".into(),
        added_at: at(0),
        call_id: None,
    }
}

/// A webhook endpoint.
pub fn endpoint(workspace_id: WorkspaceId) -> Endpoint {
    Endpoint {
        workspace_id,
        id: EndpointId::new(next_id()),
        url: "https://hooks.example.com/calls".into(),
        secret: Secret::new("whsec"),
        events: vec!["call.ended".into()],
        agent_id: None,
        campaign_id: None,
        dialect: Dialect::Revrag,
        enabled: true,
        created_at: at(0),
        version: 0,
    }
}

/// A delivery that is due at `due_at`.
pub fn delivery(workspace_id: WorkspaceId, due_at: UnixMicros) -> Delivery {
    Delivery {
        workspace_id,
        id: DeliveryId::new(next_id()),
        endpoint_id: EndpointId::new(next_id()),
        event: "call.ended".into(),
        call_id: CallId::new(next_id()),
        body: r#"{"b":1,"a":2}"#.into(),
        state: DeliveryState::Pending { due_at },
        attempts: 0,
        round: 0,
        created_at: at(0),
        version: 0,
    }
}

/// The `number`th request of a delivery.
pub fn delivery_attempt(delivery: &Delivery, number: u32) -> DeliveryAttempt {
    DeliveryAttempt {
        workspace_id: delivery.workspace_id,
        delivery_id: delivery.id,
        number,
        at: at(i64::from(number)),
        duration_ms: 12,
        reply: Reply::Status {
            code: 503,
            retry_after_s: Some(5),
        },
    }
}

/// An API key with a hash of its own.
pub fn api_key(workspace_id: WorkspaceId) -> ApiKey {
    let id = next_id();
    ApiKey {
        workspace_id,
        id: ApiKeyId::new(id),
        name: "server".into(),
        dialect: Dialect::Revrag,
        prefix: "rr_live_ab".into(),
        hash: format!("{:064x}", id.as_u128()),
        created_at: at(0),
        expires_at: None,
        revoked_at: None,
    }
}

/// A transition of these changes.
pub fn transition(workspace_id: WorkspaceId, changes: impl IntoIterator<Item = Change>) -> Transition {
    Transition {
        changes: changes.into_iter().collect(),
        ..Transition::new(workspace_id)
    }
}

/// Commits changes that must succeed.
pub async fn put(store: &dyn Store, workspace_id: WorkspaceId, changes: impl IntoIterator<Item = Change>) {
    let result = store.commit(transition(workspace_id, changes)).await;
    assert_eq!(result, Ok(()));
}

/// Commits changes and returns what came of it.
pub async fn try_put(
    store: &dyn Store,
    workspace_id: WorkspaceId,
    changes: impl IntoIterator<Item = Change>,
) -> Result<(), CommitError> {
    store.commit(transition(workspace_id, changes)).await
}

/// A change that puts the record.
pub fn put_record(record: &Record) -> Change {
    Change::PutRecord(Box::new(record.clone()))
}

/// A change that puts the call.
pub fn put_call(call: &Call) -> Change {
    Change::PutCall(Box::new(call.clone()))
}

/// A change that puts the delivery.
pub fn put_delivery(delivery: &Delivery) -> Change {
    Change::PutDelivery(Box::new(delivery.clone()))
}

/// A change that puts the campaign.
pub fn put_campaign(campaign: &Campaign) -> Change {
    Change::PutCampaign(Box::new(campaign.clone()))
}

/// A change that adds to a counter.
pub fn add(counter: &str, add: i64, max: Option<i64>, floor: Option<i64>) -> Change {
    Change::AddToCounter {
        counter: counter.to_owned(),
        add,
        max,
        floor,
    }
}
