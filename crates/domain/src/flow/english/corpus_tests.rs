//! How well intents are found: figures over the lists in `corpus/`.

use super::intents::understand;
use crate::flow::grammar::Intent;
use std::collections::BTreeMap;

const WRITTEN_FROM: &str = include_str!("corpus/corpus.tsv");
const HELD_OUT: &str = include_str!("corpus/heldout.tsv");

fn name(intent: Option<Intent>) -> &'static str {
    match intent {
        None => "none",
        Some(Intent::Later) => "later",
        Some(Intent::DoNotCall) => "do_not_call",
        Some(Intent::WrongPerson) => "wrong_person",
        Some(Intent::Repeat) => "repeat",
        Some(Intent::Person) => "person",
        Some(Intent::Goodbye) => "goodbye",
        Some(Intent::Who) => "who",
        Some(Intent::About) => "about",
        Some(Intent::HoldOn) => "hold_on",
    }
}

/// Found rightly, found wrongly, missed; by intent.
#[derive(Clone, Copy, Default)]
struct Count {
    right: u32,
    wrong: u32,
    missed: u32,
}

struct Figures {
    counts: BTreeMap<&'static str, Count>,
    faults: Vec<String>,
}

impl Figures {
    fn of(corpus: &'static str) -> Self {
        let mut counts: BTreeMap<&'static str, Count> = BTreeMap::new();
        let mut faults = Vec::new();
        for line in corpus.lines().filter(|line| !line.starts_with('#')) {
            let (wanted, heard) = line.split_once('\t').expect("two columns");
            let found = name(understand(heard, None).map(|heard| heard.intent));
            if found == wanted {
                counts.entry(wanted).or_default().right += 1;
            } else {
                counts.entry(wanted).or_default().missed += 1;
                counts.entry(found).or_default().wrong += 1;
                faults.push(format!("{wanted} -> {found}: {heard}"));
            }
        }
        Self { counts, faults }
    }

    /// Precision and recall in percent over all intents ("none" is no intent).
    fn overall(&self) -> (f64, f64) {
        let mut all = Count::default();
        for (_, count) in self.counts.iter().filter(|(name, _)| **name != "none") {
            all.right += count.right;
            all.wrong += count.wrong;
            all.missed += count.missed;
        }
        percent(all)
    }

    fn table(&self) -> String {
        let row = |(name, count): (&&str, &Count)| {
            let (precision, recall) = percent(*count);
            format!(
                "{name:13} precision {precision:5.1} recall {recall:5.1} of {}\n",
                count.right + count.missed
            )
        };
        self.counts.iter().map(row).collect()
    }
}

fn percent(count: Count) -> (f64, f64) {
    let share = |part: u32, whole: u32| {
        if whole == 0 {
            100.0
        } else {
            100.0 * f64::from(part) / f64::from(whole)
        }
    };
    (
        share(count.right, count.right + count.wrong),
        share(count.right, count.right + count.missed),
    )
}

#[test]
fn intents_of_the_list_that_rules_were_written_from() {
    let figures = Figures::of(WRITTEN_FROM);
    let (precision, recall) = figures.overall();
    assert!(
        precision >= 99.0 && recall >= 99.0,
        "{precision:.1} {recall:.1}\n{}{}",
        figures.table(),
        figures.faults.join("\n")
    );
}

// Only figures are shown here, so that nobody writes rules from the lines.
#[test]
fn intents_of_the_held_out_list() {
    let figures = Figures::of(HELD_OUT);
    let (precision, recall) = figures.overall();
    assert!(
        precision >= 97.0 && recall >= 97.0,
        "{precision:.1} {recall:.1}\n{}",
        figures.table()
    );
}
