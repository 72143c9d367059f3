//! Every (state, input) pair of a call, as a table.

use super::*;
use crate::ids::{CallId, ClipId};
use crate::transition::Effect;
use proptest::prelude::*;
use uuid::Uuid;

pub(crate) fn call_in(state: CallState) -> Call {
    let id = CallId::new(Uuid::from_u128(7));
    let answered = matches!(state, CallState::InCall | CallState::PostCall);
    Call {
        workspace_id: WorkspaceId::new(Uuid::from_u128(1)),
        id,
        origin: Origin::Campaign {
            campaign_id: CampaignId::new(Uuid::from_u128(2)),
            record_id: RecordId::new(Uuid::from_u128(3)),
            attempt: 1,
            attempt_kind: AttemptKind::First,
        },
        agent_id: AgentId::new(Uuid::from_u128(4)),
        trunk_id: None,
        from: None,
        to: PhoneNumber::from_e164_shape("+919876543210").unwrap(),
        script: Script::Announce {
            clip: ClipId::new(Uuid::nil()),
            times: 1,
            gap_ms: 0,
        },
        variables: Variables::default(),
        custom_metadata: None,
        app_user_id: None,
        app_session_id: None,
        record_call: true,
        ring_timeout_s: 30,
        max_duration_s: 600,
        state,
        deadline: (state != CallState::Closed).then_some(UnixMicros::from_seconds(1_000)),
        created_at: UnixMicros::from_seconds(0),
        dialing_at: (state != CallState::Queued).then_some(UnixMicros::from_seconds(1)),
        ringing_at: None,
        early_media: false,
        answered_at: answered.then_some(UnixMicros::from_seconds(10)),
        ended_at: None,
        dialog: None,
        end: None,
        result: ScriptResult::default(),
        recording: None,
        sound_closed: false,
        unknown_settled_by: None,
        version: 1,
    }
}

fn dialog() -> DialogFacts {
    DialogFacts {
        identity: SipIdentity::of(CallId::new(Uuid::from_u128(7))),
        invite_branch: None,
        invite_cseq: 1,
        invite_uri: "sip:a@b".into(),
        local_uri: "sip:c@d".into(),
        contact_uri: None,
        remote_uri: "sip:a@b".into(),
        remote_tag: Some("t".into()),
        remote_target: None,
        route_set: Vec::new(),
        peer: None,
        answered: false,
    }
}

fn failure(code: u16, rang: bool) -> CallFailure {
    CallFailure {
        code: Some(code),
        reason: "as the wire says".into(),
        reason_header: None,
        retry_after_s: None,
        rang,
        wire: WireState::Final,
    }
}

fn silence() -> CallFailure {
    CallFailure {
        code: None,
        wire: WireState::Unknown,
        ..failure(0, false)
    }
}

fn inputs() -> Vec<(&'static str, CallInput)> {
    use CallInput as I;
    vec![
        (
            "dispatch",
            I::Dispatch {
                trunk_id: TrunkId::new(Uuid::nil()),
                from: PhoneNumber::from_e164_shape("+911140000000").unwrap(),
            },
        ),
        ("refuse", I::Refuse(Gate::DoNotCall)),
        ("not sent", I::NotSent("no route".into())),
        (
            "ringing",
            I::Progress {
                early_media: false,
                dialog: dialog(),
            },
        ),
        ("answer", I::Answered { dialog: dialog() }),
        ("busy", I::Failed(failure(486, true))),
        ("their BYE", I::RemoteHangUp(None)),
        ("silence", I::Failed(silence())),
        ("our BYE", I::LocalHangUp { confirmed: true }),
        ("our BYE lost", I::LocalHangUp { confirmed: false }),
        ("script done", I::ScriptFinished(ScriptResult::default())),
        ("script broken", I::ScriptFailed("no clip".into())),
        ("no RTP", I::MediaLost),
        ("bad SDP", I::NotAcceptable("no codec".into())),
        ("cancel", I::Cancel),
        ("recovered", I::Recovered),
        (
            "released",
            I::MediaReleased {
                recording: None,
                script: None,
            },
        ),
        ("tick early", I::Tick),
        ("tick late", I::Tick),
    ]
}

/// A call in each state; an answered call that we are ending stands beside an unanswered one.
fn calls() -> Vec<(&'static str, Call)> {
    let mut ending = call_in(CallState::HangingUp);
    ending.answered_at = Some(UnixMicros::from_seconds(10));
    let mut calls: Vec<_> = CallState::ALL
        .into_iter()
        .map(|state| (state.as_str(), call_in(state)))
        .collect();
    calls.insert(5, ("ending", ending));
    calls
}

/// One line for each pair: state, input, the state after it, outcome, effects.
fn line(before: &(&'static str, Call), name: &str, input: CallInput) -> String {
    let now = UnixMicros::from_seconds(if name == "tick late" { 1_000 } else { 20 });
    let step = before.1.handle(now, input);
    let effects: Vec<String> = step
        .effects
        .iter()
        .map(|effect| format!("{effect:?}").split('(').next().unwrap().to_owned())
        .collect();
    let outcome = step.call.outcome().map_or("-", Outcome::as_str);
    let after = if step.changed || !step.effects.is_empty() {
        step.call.state.as_str()
    } else {
        "·"
    };
    format!(
        "{:<11} {name:<13} {after:<11} {outcome:<14} {}",
        before.0,
        effects.join(" ")
    )
    .trim_end()
    .to_owned()
}

#[test]
fn every_state_answers_every_input() {
    let actual: Vec<String> = calls()
        .iter()
        .flat_map(|call| inputs().into_iter().map(move |(name, input)| line(call, name, input)))
        .collect();
    let expected = include_str!("transitions.txt");
    let expected: Vec<&str> = expected
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    assert_eq!(actual, expected, "the table should be:\n{}", actual.join("\n"));
}

#[test]
fn the_wire_word_and_whether_it_rang_decide_the_outcome() {
    let table = [
        (486, false, Outcome::Busy),
        (600, false, Outcome::Busy),
        (603, true, Outcome::Declined),
        (404, false, Outcome::InvalidNumber),
        (484, false, Outcome::InvalidNumber),
        (604, false, Outcome::InvalidNumber),
        (408, true, Outcome::NoAnswer),
        (480, true, Outcome::NoAnswer),
        (487, true, Outcome::NoAnswer),
        (408, false, Outcome::NotConnected),
        (480, false, Outcome::NotConnected),
        (488, false, Outcome::NotConnected),
        (500, true, Outcome::NotConnected),
        (503, false, Outcome::NotConnected),
        (302, false, Outcome::NotConnected),
    ];
    for (code, rang, outcome) in table {
        assert_eq!(failure(code, rang).outcome(), outcome, "{code} rang={rang}");
    }
    for (rang, cancelled) in [(false, Outcome::NotConnected), (true, Outcome::NoAnswer)] {
        let silence = CallFailure { rang, ..silence() };
        assert_eq!(silence.outcome(), Outcome::Unknown, "silence, rang={rang}");
        let confirmed = CallFailure {
            wire: WireState::Final,
            ..silence
        };
        assert_eq!(
            confirmed.outcome(),
            cancelled,
            "a CANCEL that was confirmed, rang={rang}"
        );
    }
}

#[test]
fn an_answered_call_knows_its_length_and_waits_for_its_sound() {
    let answered = call_in(CallState::InCall);
    let gone = answered
        .handle(UnixMicros::from_seconds(82), CallInput::RemoteHangUp(None))
        .call;
    assert_eq!(gone.talk_time(UnixMicros::from_seconds(999)).as_secs(), 72);
    let recording = Recording {
        path: "a.wav".into(),
        duration_ms: 72_000,
    };
    let input = CallInput::MediaReleased {
        recording: Some(recording.clone()),
        script: None,
    };
    let closed = gone.handle(UnixMicros::from_seconds(83), input);
    assert!(closed.closed_it());
    assert_eq!(closed.call.recording, Some(recording));
}

fn any_input() -> impl Strategy<Value = CallInput> {
    proptest::sample::select(inputs().into_iter().map(|(_, input)| input).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn a_call_never_goes_back_never_forgets_its_end_and_always_has_a_deadline(
        steps in proptest::collection::vec((any_input(), 0_i64..90), 1..40),
    ) {
        let mut call = call_in(CallState::Queued);
        let mut now = UnixMicros::from_seconds(0);
        let mut placed = 0;
        for (input, seconds) in steps {
            now = now + Duration::from_secs(seconds.unsigned_abs());
            let step = call.handle(now, input);
            placed += step.effects.iter().filter(|effect| matches!(effect, Effect::PlaceCall(_))).count();
            prop_assert!(step.call.state >= call.state, "{:?} -> {:?}", call.state, step.call.state);
            prop_assert_eq!(step.call.deadline.is_none(), step.call.state == CallState::Closed);
            if let Some(end) = &call.end {
                prop_assert_eq!(step.call.outcome(), Some(end.outcome));
            }
            prop_assert_eq!(step.call.end.is_some(), step.call.state >= CallState::HangingUp);
            if step.call.outcome().is_some_and(Outcome::implies_answer) && step.call.state == CallState::Closed {
                prop_assert!(step.call.answered_at.is_some());
            }
            call = step.call;
        }
        prop_assert!(placed <= 1, "an INVITE is asked for at most once");
    }

    #[test]
    fn time_alone_closes_every_call(state in proptest::sample::select(CallState::ALL.to_vec())) {
        let mut call = call_in(state);
        for _ in 0..4 {
            if let Some(deadline) = call.deadline {
                call = call.handle(deadline, CallInput::Tick).call;
            }
        }
        prop_assert_eq!(call.state, CallState::Closed);
    }
}
