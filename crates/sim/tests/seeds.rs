//! Fixed seeds of a small world: nothing breaks, a seed repeats, and together they crash at every failpoint.

use carillon_interfaces::failpoint::Failpoint;
use carillon_sim::{Report, Settings, run};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

const RECORDS: u32 = 300;
const SEEDS: [u64; 8] = [3, 4, 12, 17, 8123, 8124, 8130, 8139];

fn run_seed(seed: u64) -> Report {
    let report = run(Settings {
        seed,
        records: RECORDS,
        ..Settings::default()
    })
    .unwrap();
    assert_eq!(report.violation, None, "make sim SEED={seed} RECORDS={RECORDS}");
    report
}

/// Runs all seeds on two threads.
fn run_all(seeds: &[u64]) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut reports = Vec::new();
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            reports.push(run_seed(*seed));
        }
        reports
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut reports = work();
        reports.extend(other.join().unwrap());
        reports
    })
}

#[test]
fn nothing_breaks_and_every_failpoint_is_crashed_at() {
    let reports = run_all(&SEEDS);
    let points: BTreeSet<Failpoint> = reports
        .iter()
        .flat_map(|report| report.crashes_at.keys().copied())
        .collect();
    let missing: Vec<_> = Failpoint::ALL
        .into_iter()
        .filter(|point| !points.contains(point))
        .collect();
    assert!(missing.is_empty(), "no seed crashes at {missing:?}; take others");
    let invites: usize = reports.iter().map(|report| report.invites).sum();
    assert!(invites > 1_000, "the seeds make {invites} calls only; take others");
    let histories: BTreeSet<&str> = reports.iter().map(|report| report.history.as_str()).collect();
    assert_eq!(histories.len(), SEEDS.len(), "two seeds have the same history");
}

#[test]
fn a_seed_repeats() {
    let histories: Vec<String> = run_all(&[8126, 8126])
        .into_iter()
        .map(|report| report.history)
        .collect();
    assert_eq!(histories[0], histories[1]);
}
