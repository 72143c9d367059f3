//! Every example and every table row of the vendor's two pages has a case that proves it.

use crate::cases::{Case, all_cases, fixtures};
use serde::Deserialize;
use std::collections::BTreeSet;

/// `fixtures/coverage.toml`: what the pages show.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pages {
    example: Vec<Example>,
    table: Vec<Table>,
}

/// An example, kept verbatim in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    /// `page/section`.
    id: String,
    file: String,
}

/// A table, by the first cell of each row.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// `page/section`.
    id: String,
    rows: Vec<String>,
}

impl Pages {
    fn read() -> Self {
        toml::from_str(&std::fs::read_to_string(fixtures().join("coverage.toml")).unwrap()).unwrap()
    }

    fn all(&self) -> BTreeSet<String> {
        let examples = self.example.iter().map(|example| example.id.clone());
        let rows = self
            .table
            .iter()
            .flat_map(|table| table.rows.iter().map(move |row| format!("{}/{row}", table.id)));
        examples.chain(rows).collect()
    }
}

/// What no case proves, and what cases claim that no page shows.
fn gaps(pages: &Pages, cases: &[Case]) -> (Vec<String>, Vec<String>) {
    let shown = pages.all();
    let proven: BTreeSet<String> = cases.iter().flat_map(Case::claims).collect();
    (
        shown.difference(&proven).cloned().collect(),
        proven.difference(&shown).cloned().collect(),
    )
}

#[test]
fn every_example_and_table_row_has_a_case() {
    let (unproven, unknown) = gaps(&Pages::read(), &all_cases());
    assert_eq!(
        (unproven, unknown),
        (Vec::new(), Vec::new()),
        "left: without a case; right: on no page"
    );
}

#[test]
fn every_example_file_is_put_to_the_server_or_compared_with_it() {
    let used: BTreeSet<String> = all_cases().iter().flat_map(Case::files).collect();
    for example in Pages::read().example {
        assert!(fixtures().join(&example.file).is_file(), "{} is missing", example.file);
        assert!(used.contains(&example.file), "no case uses {}", example.file);
    }
}

#[test]
fn a_row_or_an_example_without_a_case_is_found() {
    let mut pages = Pages::read();
    pages.table[0].rows.push("a new row".to_owned());
    pages.example.push(Example {
        id: "campaign/new".to_owned(),
        file: "new.json".to_owned(),
    });
    let (unproven, _) = gaps(&pages, &all_cases());
    assert_eq!(
        unproven,
        [format!("{}/a new row", pages.table[0].id), "campaign/new".to_owned()]
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
}
