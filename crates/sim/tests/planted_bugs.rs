//! Every planted bug is caught, by a checker that is there for it, and every checker catches one.

#![expect(clippy::print_stdout, reason = "the seed that catches each bug is the result")]

use carillon_sim::{Bug, Checker, Settings, run};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

const RECORDS: u32 = 300;
const SEEDS: std::ops::RangeInclusive<u64> = 1..=40;

struct Catch {
    bug: Bug,
    seed: u64,
    checker: Checker,
    what: String,
}

/// The first seed whose run fails at one of the checkers that are there for the bug.
fn hunt(bug: Bug) -> Option<Catch> {
    SEEDS.into_iter().find_map(|seed| {
        let report = run(Settings {
            seed,
            records: RECORDS,
            bug: Some(bug),
            trace: None,
        })
        .unwrap();
        let violation = report
            .violation
            .filter(|violation| bug.caught_by().contains(&violation.checker))?;
        Some(Catch {
            bug,
            seed,
            checker: violation.checker,
            what: violation.what,
        })
    })
}

fn hunt_all() -> Vec<Result<Catch, Bug>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut catches = Vec::new();
        while let Some(bug) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            catches.push(hunt(*bug).ok_or(*bug));
        }
        catches
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut catches = work();
        catches.extend(other.join().unwrap());
        catches
    })
}

#[test]
fn every_planted_bug_is_caught_and_every_checker_is_seen_failing() {
    let hunted = hunt_all();
    let missed: Vec<Bug> = hunted.iter().filter_map(|hunt| hunt.as_ref().err().copied()).collect();
    let mut caught: Vec<&Catch> = hunted.iter().filter_map(|hunt| hunt.as_ref().ok()).collect();
    caught.sort_by_key(|catch| catch.bug);
    for Catch {
        bug,
        seed,
        checker,
        what,
    } in &caught
    {
        println!("{bug:<22} seed {seed:<3} {checker}: {what}");
    }
    assert!(missed.is_empty(), "no seed of {SEEDS:?} catches {missed:?}");
    let failed: BTreeSet<Checker> = caught.iter().map(|catch| catch.checker).collect();
    let idle: Vec<Checker> = Checker::ALL
        .into_iter()
        .filter(|checker| !failed.contains(checker))
        .collect();
    assert!(idle.is_empty(), "never seen failing: {idle:?}");
}
