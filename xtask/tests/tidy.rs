//! The repository keeps its own rules.

use xtask::tidy;

#[test]
fn the_repository_is_tidy() {
    let findings = tidy::check(&tidy::repository_root()).expect("git and cargo answer");
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "\n{}\n", list.join("\n"));
}
