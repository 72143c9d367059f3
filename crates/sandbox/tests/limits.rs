//! What bounds a sandbox: deadlines, lines, credentials, and its own end.

mod common;

use carillon_domain::call::Outcome;
use carillon_domain::pii::Secret;
use carillon_domain::script::Script;
use carillon_domain::trunk::{Credentials, Transport};
use carillon_sandbox::{EndedHow, SandboxConfig, StartError, start};
use common::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn long_announcement(caller: &Caller) -> Script {
    Script::Announce {
        clip: caller.prompt,
        times: 4,
        gap_ms: 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_by_its_deadline_whatever_it_does() {
    let (sandbox, _folder) = sandbox(|config| config.call_deadline = Duration::from_millis(1_500)).await;
    let caller = Caller::of(&sandbox, Transport::Udp).await;
    let announcement = long_announcement(&caller);
    let (listens, rings_out) = tokio::join!(
        caller.call("0001", announcement.clone()),
        caller.call("0180", announcement)
    );
    assert_eq!(listens.call.outcome(), Some(Outcome::CalleeHungUp));
    assert_eq!(rings_out.call.outcome(), Some(Outcome::NoAnswer));
    let log = sandbox.log();
    sandbox.shut_down().await;
    for call in log.calls() {
        let end = call.ended.expect("ended");
        assert!((1_500..2_500).contains(&end.lasted_ms), "{}: {end:?}", call.behaviour);
        let expected = match call.behaviour {
            "converses" => EndedHow::HungUp { confirmed: true },
            _ => EndedHow::Refused { code: 480 },
        };
        assert_eq!(end.how, expected, "{}", call.behaviour);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_more_than_there_are_lines_is_refused() {
    let (sandbox, _folder) = sandbox(|config| config.calls_max = 2).await;
    let caller = Arc::new(Caller::of(&sandbox, Transport::Udp).await);
    let call = |digits| {
        let (caller, announcement) = (Arc::clone(&caller), long_announcement(&caller));
        tokio::spawn(async move { caller.call(digits, announcement).await })
    };
    let up = [call("0002"), call("0002")];
    let log = sandbox.log();
    for number in 0..2 {
        let came = log.find(|call| call.number == number);
        tokio::time::timeout(PATIENCE, came).await.expect("an INVITE");
    }
    let refused = call("0001").await.expect("a call");
    let end = refused.call.end.expect("an end");
    assert_eq!((end.outcome, end.sip_code), (Outcome::NotConnected, Some(503)));
    for call in up {
        assert_eq!(call.await.expect("a call").call.outcome(), Some(Outcome::CalleeHungUp));
    }
    assert_eq!(log.invites(), 2);
    // The lines are free again.
    assert_eq!(
        call("0003").await.expect("a call").call.outcome(),
        Some(Outcome::CalleeHungUp)
    );
    sandbox.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_hangs_up_the_calls_that_are_up() {
    let (sandbox, _folder) = sandbox(|_| {}).await;
    let caller = Arc::new(Caller::of(&sandbox, Transport::Udp).await);
    let call = |digits: &'static str| {
        let (caller, announcement) = (Arc::clone(&caller), long_announcement(&caller));
        tokio::spawn(async move { caller.call(digits, announcement).await })
    };
    let (up, rings) = (call("0005"), call("0180"));
    let log = sandbox.log();
    tokio::time::timeout(PATIENCE, log.find(|call| call.number == 1))
        .await
        .expect("both INVITEs");
    tokio::time::timeout(PATIENCE, log.find(|call| call.answered_after_ms.is_some()))
        .await
        .expect("an answer");
    let began = Instant::now();
    sandbox.shut_down().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(up.await.expect("a call").call.outcome(), Some(Outcome::CalleeHungUp));
    let end = rings.await.expect("a call").call.end.expect("an end");
    assert_eq!(end.sip_code, Some(480));
    let mut ends: Vec<_> = log
        .calls()
        .into_iter()
        .map(|call| (call.behaviour, call.ended.map(|end| end.how)))
        .collect();
    ends.sort_by_key(|(behaviour, _)| *behaviour);
    let expected = [
        ("answers_without_ringing", Some(EndedHow::HungUp { confirmed: true })),
        ("rings_out", Some(EndedHow::Refused { code: 480 })),
    ];
    assert_eq!(ends, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_refused_and_none_are_asked_for() {
    let (sandbox, _folder) = sandbox(|_| {}).await;
    let wrong = Credentials {
        username: "sandbox".to_owned(),
        password: Secret::new("guess"),
    };
    for (credentials, code, invites) in [(Some(wrong), 403, 2), (None, 407, 1)] {
        let before = sandbox.log().invites();
        let caller = Caller::with(&sandbox, Transport::Udp, credentials).await;
        let over = caller.reference_call("0407").await;
        let end = over.call.end.expect("an end");
        assert_eq!((end.outcome, end.sip_code), (Outcome::NotConnected, Some(code)));
        assert_eq!(sandbox.log().invites() - before, invites, "{code}");
    }
    sandbox.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_number_takes_the_same_time_in_every_run() {
    let mut rang_ms = Vec::new();
    for _ in 0..2 {
        let (sandbox, _folder) = sandbox(|_| {}).await;
        let caller = Caller::of(&sandbox, Transport::Udp).await;
        caller.call("0003", long_announcement(&caller)).await;
        let log = sandbox.log();
        sandbox.shut_down().await;
        rang_ms.push(log.calls()[0].answered_after_ms.expect("answered"));
    }
    // The drawn times are equal to the millisecond; what differs is how busy the machine is.
    assert!(rang_ms[0].abs_diff(rang_ms[1]) < 100, "{rang_ms:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_and_a_folder_that_cannot_be_are_named() {
    let (sandbox, folder) = sandbox(|_| {}).await;
    let taken = SandboxConfig::new(sandbox.local_addr(), folder.path().join("other"));
    let Err(StartError::Listen(addr, _)) = start(taken).await else {
        panic!("it listens where another does")
    };
    assert_eq!(addr, sandbox.local_addr());

    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("written");
    let no_folder = start(SandboxConfig::new(LOOPBACK, file.clone())).await;
    assert!(matches!(no_folder, Err(StartError::WorkDir(path, _)) if path == file));
    let mut no_log = SandboxConfig::new(LOOPBACK, folder.path().join("other"));
    no_log.log_file = Some(file.join("log"));
    assert!(matches!(start(no_log).await, Err(StartError::LogFile(..))));
    sandbox.shut_down().await;
}
