//! `docs/sandbox.md` lists the numbers as they are.

use carillon_sandbox::{BEHAVIOURS, CREDENTIALS, reference};
use std::path::Path;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sandbox.md");
    std::fs::read_to_string(path).expect("the page")
}

#[test]
fn the_page_lists_every_number_as_it_behaves() {
    let row = |behaviour: &carillon_sandbox::Behaviour| {
        format!(
            "| `{}` | `{}` | {} | {} | `{}` | `{}` |",
            behaviour.digits,
            behaviour.name,
            behaviour.description,
            behaviour.expected.code,
            behaviour.expected.outcome.as_str(),
            behaviour.expected.status.as_str(),
        )
    };
    let expected: Vec<_> = BEHAVIOURS.iter().map(row).collect();
    let page = page();
    let listed: Vec<_> = page.lines().filter(|line| line.starts_with("| `0")).collect();
    assert_eq!(listed, expected, "the table should be\n{}", expected.join("\n"));
}

#[test]
fn the_page_names_the_figures_of_a_reference_call() {
    let page = page();
    let (user, password) = CREDENTIALS;
    for fact in [
        format!("user `{user}`, password `{password}`"),
        format!("{} s prompt", reference::PROMPT_MS / 1_000),
        format!("{} s for a key", reference::KEY_WAIT_MS / 1_000),
        format!("{} s of ringing", reference::RING_TIMEOUT_S),
        format!("{} s without RTP", reference::RTP_TIMEOUT_MS / 1_000),
    ] {
        assert!(page.contains(&fact), "{fact}");
    }
}
