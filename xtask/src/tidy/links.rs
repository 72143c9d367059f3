//! What documents point at exists: links of Markdown files, and every `docs/…` path that any file names.

use super::{Finding, Repository, SourceFile};
use std::collections::BTreeSet;

/// Follows the links of every file.
pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &repository.files {
        if file.path.ends_with(".md") {
            findings.extend(broken_links(file, repository));
        }
        if !file.path.starts_with("xtask/src/tidy/") {
            findings.extend(broken_mentions(file, &repository.paths));
        }
    }
    findings.extend(check_decision_records(&repository.paths));
    findings
}

fn broken_links(file: &SourceFile, repository: &Repository) -> Vec<Finding> {
    let targets = numbered_prose(&file.text).flat_map(|(number, line)| {
        line.split("](")
            .skip(1)
            .filter_map(move |rest| Some((number, rest.split_once(')')?.0)))
    });
    let is_local = |target: &str| !target.contains("://") && !target.starts_with("mailto:");
    let mut findings = Vec::new();
    for (number, target) in targets.filter(|(_, target)| is_local(target)) {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let path = if path.is_empty() {
            Some(file.path.clone())
        } else {
            resolved(&file.path, path)
        };
        let path = path.filter(|path| path.is_empty() || repository.paths.contains(path));
        let place = format!("{}:{number}", file.path);
        match path {
            None => findings.push(Finding::new(place, format!("links to {target}, which does not exist"))),
            Some(path) => {
                let headings = repository.text(&path).filter(|_| path.ends_with(".md")).map(anchors);
                if !anchor.is_empty() && headings.is_some_and(|headings| !headings.contains(anchor)) {
                    findings.push(Finding::new(
                        place,
                        format!("links to {target}, but no heading is called #{anchor}"),
                    ));
                }
            }
        }
    }
    findings
}

/// Lines outside fenced code, with their numbers.
fn numbered_prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// `target` as seen from `file`, without `.` and `..`; `None` when it leaves the repository.
fn resolved(file: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        parts.clear();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of a Markdown file's headings, as forges make them: lower case, words joined by hyphens.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = numbered_prose(text).filter_map(|(_, line)| line.strip_prefix('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// Paths under `docs/` that a file names. A number alone names a decision record: `docs/adr/0004`.
fn broken_mentions(file: &SourceFile, paths: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for (at, _) in line.match_indices("docs/") {
            let before = line[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-')) {
                continue;
            }
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
            let mention = line[at..]
                .split(|c| !is_part(c))
                .next()
                .unwrap_or("")
                .trim_end_matches(['.', '/', '-']);
            let exists = paths.contains(mention) || paths.iter().any(|path| path.starts_with(&format!("{mention}-")));
            if !exists {
                findings.push(Finding::new(
                    format!("{}:{number}", file.path),
                    format!("names {mention}, which does not exist"),
                ));
            }
        }
    }
    findings
}

/// Decision records are numbered from 1 without a gap or a twin.
fn check_decision_records(paths: &BTreeSet<String>) -> Vec<Finding> {
    let numbers = paths
        .iter()
        .filter_map(|path| path.strip_prefix("docs/adr/")?.get(..4)?.parse::<usize>().ok());
    let misnumbered = (1..).zip(numbers).find(|(expected, number)| expected != number);
    let problem = |(expected, _)| Finding::new("docs/adr", format!("no record {expected:04}, or two of one number"));
    misnumbered.map(problem).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(files: &[(&str, &str)]) -> Repository {
        let mut repository = Repository::default();
        for (path, text) in files {
            repository.add_path(path);
            repository.files.push(SourceFile {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            });
        }
        repository
    }

    #[track_caller]
    fn check_places(files: &[(&str, &str)], expected: &[&str]) {
        let findings = check(&repository(files));
        let places: Vec<&str> = findings.iter().map(|finding| finding.place.as_str()).collect();
        assert_eq!(places, expected, "{findings:?}");
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        check_places(&[("README.md", "a\n[b](docs-of/b.md)\n")], &["README.md:2"]);
        check_places(
            &[
                ("guide/a.md", "[up](../README.md) [side](b.md)"),
                ("README.md", ""),
                ("guide/b.md", ""),
            ],
            &[],
        );
        check_places(
            &[("README.md", "[out](https://example.org/x) [mail](mailto:a@example.org)")],
            &[],
        );
        check_places(&[("README.md", "[away](../../elsewhere.md)")], &["README.md:1"]);
        check_places(
            &[("README.md", "[folder](guide) [folder](guide/)"), ("guide/a.md", "")],
            &[],
        );
    }

    #[test]
    fn code_is_not_searched_for_links() {
        check_places(&[("README.md", "```\n[b](nowhere.md)\n```\n")], &[]);
    }

    #[test]
    fn a_heading_that_does_not_exist_is_found() {
        let text = "# A title\n## What's new?\n[a](#a-title) [b](#whats-new) [c](#none)\n";
        check_places(&[("README.md", text)], &["README.md:3"]);
    }

    #[test]
    fn a_document_that_code_names_must_exist() {
        let files = [
            ("docs/adr/0001-core.md", ""),
            ("crates/app/src/lib.rs", "//! (`docs/adr/0001`)\n// See docs/none.md.\n"),
        ];
        check_places(&files, &["crates/app/src/lib.rs:2"]);
        check_places(&[("a.rs", "// https://example.org/docs/none and mydocs/none\n")], &[]);
    }

    #[test]
    fn decision_records_are_numbered_without_gaps() {
        check_places(&[("docs/adr/0001-a.md", ""), ("docs/adr/0003-b.md", "")], &["docs/adr"]);
        check_places(&[("docs/adr/0001-a.md", ""), ("docs/adr/0001-b.md", "")], &["docs/adr"]);
        check_places(&[("docs/adr/0001-a.md", ""), ("docs/adr/0002-b.md", "")], &[]);
    }
}
