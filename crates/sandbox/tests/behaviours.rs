//! Every row of the sandbox's table, called over real SIP and RTP on loopback by the rules that campaigns live by.

mod common;

use carillon_domain::trunk::Transport;
use carillon_sandbox::{BEHAVIOURS, EndedHow, LoggedCall, LoggedEnd};
use common::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;

/// A call, and what the sandbox logged of it.
struct Row {
    over: Over,
    logged: Vec<LoggedCall>,
}

impl Row {
    fn end(&self) -> &LoggedEnd {
        self.logged
            .last()
            .and_then(|call| call.ended.as_ref())
            .expect("an ended call in the log")
    }
}

/// Calls these behaviours at once; returns them by name.
async fn call_all(transport: Transport, wanted: impl Fn(&str) -> bool) -> BTreeMap<&'static str, Row> {
    let (sandbox, _folder) = sandbox(|_| {}).await;
    let caller = Arc::new(Caller::of(&sandbox, transport).await);
    let mut calls = JoinSet::new();
    for behaviour in BEHAVIOURS.iter().filter(|behaviour| wanted(behaviour.name)) {
        let caller = Arc::clone(&caller);
        calls.spawn(async move { (behaviour.name, caller.reference_call(behaviour.digits).await) });
    }
    let calls = calls.join_all().await;
    let log = sandbox.log();
    let over = tokio::time::timeout(PATIENCE, async {
        while sandbox.live_calls().await > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    over.await.expect("no call stays");
    sandbox.shut_down().await;
    let logged = log.calls();
    let row = |over: Over| {
        let attempt = over.call.id.to_string();
        let logged = logged
            .iter()
            .filter(|call| call.attempt.as_ref() == Some(&attempt))
            .cloned()
            .collect();
        Row { over, logged }
    };
    calls.into_iter().map(|(name, over)| (name, row(over))).collect()
}

/// Says what differs from the table; nothing if all is well.
fn differences(rows: &BTreeMap<&str, Row>) -> Vec<String> {
    let mut found = Vec::new();
    for behaviour in BEHAVIOURS {
        let Some(row) = rows.get(behaviour.name) else { continue };
        let call = &row.over.call;
        let end = call.end.as_ref().expect("an end");
        let code = if call.answered_at.is_some() {
            Some(200)
        } else {
            end.sip_code
        };
        let got = (end.outcome, row.over.status, code);
        let expected = behaviour.expected;
        if got != (expected.outcome, expected.status, Some(expected.code)) {
            found.push(format!(
                "{}: {got:?} ({}), not {expected:?}",
                behaviour.name, end.reason
            ));
        }
        if row
            .logged
            .iter()
            .any(|logged| logged.behaviour != behaviour.name || logged.ended.is_none())
        {
            found.push(format!("{}: {:?}", behaviour.name, row.logged));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_number_does_what_the_table_says() {
    let rows = call_all(Transport::Udp, |_| true).await;
    assert_eq!(rows.len(), BEHAVIOURS.len());
    let found = differences(&rows);
    assert!(found.is_empty(), "{}", found.join("\n"));

    let of = |name: &str| rows.get(name).expect("a row");
    refusals_and_ends(&of);
    keys(&of);
    sound(&of);
    faults(&of);
}

fn refusals_and_ends<'a>(of: &impl Fn(&str) -> &'a Row) {
    let rows = [
        ("converses", EndedHow::CallerHungUp),
        ("hangs_up", EndedHow::HungUp { confirmed: true }),
        ("hangs_up_at_once", EndedHow::HungUp { confirmed: true }),
        ("rings_out", EndedHow::Cancelled),
        ("busy", EndedHow::Refused { code: 486 }),
        ("busy_after_ringing", EndedHow::Refused { code: 486 }),
        ("overloaded", EndedHow::Refused { code: 503 }),
        ("holds", EndedHow::CallerHungUp),
        ("moves", EndedHow::CallerHungUp),
    ];
    for (name, how) in rows {
        assert_eq!(of(name).end().how, how, "{name}");
        assert_eq!(of(name).logged.len(), 1, "{name}: one INVITE");
    }
    for (name, code) in [("asks_for_credentials", 401), ("proxy_asks_for_credentials", 407)] {
        let logged = &of(name).logged;
        let ends: Vec<_> = logged
            .iter()
            .map(|call| call.ended.as_ref().expect("ended").how)
            .collect();
        assert_eq!(ends, [EndedHow::Refused { code }, EndedHow::CallerHungUp], "{name}");
        assert_eq!(logged[0].call_id, logged[1].call_id, "{name}: the Call-ID stays");
        assert_eq!(logged[0].cseq + 1, logged[1].cseq, "{name}");
    }
    let end = |name| of(name).over.call.end.clone().expect("an end");
    assert_eq!(end("overloaded").retry_after_s, Some(2));
    assert!(of("early_media").over.call.early_media);
    assert!(!of("slow_answer").over.call.early_media);
    assert!(of("answers_without_ringing").over.call.ringing_at.is_none());
    let rang_ms = |name| of(name).logged[0].answered_after_ms.expect("answered");
    assert!(
        (4_000..5_500).contains(&rang_ms("slow_answer")),
        "{}",
        rang_ms("slow_answer")
    );
    let talked_ms = of("hangs_up").end().lasted_ms - rang_ms("hangs_up");
    // Both ends of it are rounded to milliseconds.
    assert!((2_998..4_000).contains(&talked_ms), "{talked_ms}");
}

fn keys<'a>(of: &impl Fn(&str) -> &'a Row) {
    for (name, keys) in [
        ("presses_1", "1"),
        ("presses_9", "9"),
        ("presses_1_by_info", "1"),
        ("converses", ""),
    ] {
        assert_eq!(of(name).over.call.result.keys, keys, "{name}");
    }
    let marks = |name| of(name).over.call.result.marks.get("interested").cloned();
    assert_eq!((marks("presses_1"), marks("presses_9")), (Some("yes".to_owned()), None));
}

fn sound<'a>(of: &impl Fn(&str) -> &'a Row) {
    // What the far end heard: the whole prompt, wherever its sound went in the meantime.
    for name in [
        "converses",
        "early_media",
        "bad_line",
        "moves",
        "stays_silent",
        "proxy_asks_for_credentials",
    ] {
        let heard = of(name).end().heard.expect("measured");
        assert!((4_000..=5_020).contains(&heard.tone_440_ms), "{name}: {heard:?}");
        assert!(heard.loudness > 3_000.0 && heard.tone_1000_ms == 0, "{name}: {heard:?}");
    }
    // What the caller heard: when it began, and how much there was, in milliseconds after the answer.
    let rows = [
        // name, first sound at, sound in all
        ("converses", 250..900, 800..6_000),
        ("early_media", 0..400, 800..6_000),
        ("says_yes", 5_700..6_700, 200..2_000),
        ("interrupts", 850..2_200, 800..4_000),
        ("hums", 950..2_400, 500..1_000),
        ("voicemail_with_beep", 150..900, 3_000..7_000),
        ("call_screening", 150..900, 3_000..10_000),
        ("ivr_menu", 150..900, 3_000..8_500),
        ("holds", 3_000..4_500, 800..6_000),
        ("moves", 900..2_200, 800..6_000),
    ];
    for (name, first, in_all) in rows {
        let far = &of(name).over.far;
        let (first_ms, loud_ms) = (first_loud_ms(far).unwrap_or_default(), loud_ms(far));
        assert!(
            first.contains(&first_ms) && in_all.contains(&loud_ms),
            "{name}: from {first_ms} ms on {loud_ms} ms"
        );
    }
    assert_eq!(loud_ms(&of("stays_silent").over.far), 0);
    assert!(
        loud_ms(&of("talks_over_noise").over.far) > 4_000,
        "{}",
        loud_ms(&of("talks_over_noise").over.far)
    );
    let beep_ms = |name| tone_ms(&of(name).over.far, 1_000.0);
    assert!(
        (440..=520).contains(&beep_ms("voicemail_with_beep")),
        "{}",
        beep_ms("voicemail_with_beep")
    );
    assert_eq!(beep_ms("voicemail_without_beep"), 0);
}

fn faults<'a>(of: &impl Fn(&str) -> &'a Row) {
    assert_eq!(of("one_way_audio").over.media.packets_received, 0);
    assert!(
        of("one_way_audio").end().packets_received > 100,
        "the far end heard all the same"
    );
    // Two seconds and a little of 50 packets each.
    let received = of("sound_stops").over.media.packets_received;
    assert!((90..130).contains(&received), "{received}");
    let media = &of("bad_line").over.media;
    let lost = media.packets_lost as f64 / (media.packets_received + media.packets_lost) as f64;
    assert!((0.01..0.10).contains(&lost), "{media:?}");
    assert_eq!(of("converses").over.media.packets_lost, 0);
    let end = of("vanishes").over.call.end.clone().expect("an end");
    assert_eq!(end.reason, "no RTP arrived");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_holds_over_tcp() {
    let wanted = [
        "hangs_up",
        "presses_1_by_info",
        "busy",
        "rings_out",
        "proxy_asks_for_credentials",
        "holds",
        "moves",
    ];
    let rows = call_all(Transport::Tcp, |name| wanted.contains(&name)).await;
    assert_eq!(rows.len(), wanted.len());
    let found = differences(&rows);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
