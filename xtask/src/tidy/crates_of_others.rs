//! `deny.toml` without `cargo deny`: licences, bans and sources of every crate that the lock file brings in.

use super::Finding;
use anyhow::Context;
use serde_json::Value;

/// What `deny.toml` says, as far as it is held here.
struct Policy {
    licences: Vec<String>,
    banned: Vec<(String, String)>,
    registries: Vec<String>,
}

impl Policy {
    fn read(text: &str) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse().context("deny.toml is not TOML")?;
        let array = |section: &str, key: &str| -> anyhow::Result<Vec<toml::Value>> {
            let value = table
                .get(section)
                .and_then(|section| section.get(key))
                .and_then(toml::Value::as_array);
            value
                .cloned()
                .with_context(|| format!("deny.toml has no {section}.{key}"))
        };
        let texts = |values: Vec<toml::Value>| -> Vec<String> {
            values
                .iter()
                .filter_map(|value| Some(value.as_str()?.to_owned()))
                .collect()
        };
        let field =
            |entry: &toml::Value, key: &str| entry.get(key).and_then(toml::Value::as_str).unwrap_or("").to_owned();
        let banned = array("bans", "deny")?
            .iter()
            .map(|entry| (field(entry, "crate"), field(entry, "reason")))
            .collect();
        Ok(Self {
            licences: texts(array("licenses", "allow")?),
            banned,
            registries: texts(array("sources", "allow-registry")?),
        })
    }
}

/// Compares the packages of `metadata` with the text of `deny.toml`.
pub fn check(metadata: &Value, deny: &str) -> anyhow::Result<Vec<Finding>> {
    let policy = Policy::read(deny)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    Ok(packages.iter().flat_map(|package| problems(package, &policy)).collect())
}

fn problems(package: &Value, policy: &Policy) -> Vec<Finding> {
    let name = package["name"].as_str().unwrap_or("?");
    let mut problems = Vec::new();
    if let Some((_, reason)) = policy.banned.iter().find(|(banned, _)| banned == name) {
        problems.push(format!("is banned: {reason}"));
    }
    // Packages of this workspace have no source.
    if let Some(source) = package["source"].as_str() {
        let known = policy
            .registries
            .iter()
            .any(|registry| source.trim_start_matches("registry+") == registry);
        if !known {
            problems.push(format!("comes from {source}, which deny.toml does not allow"));
        }
        let licence = package["license"].as_str().unwrap_or("");
        if !is_allowed(licence, &policy.licences) {
            problems.push(format!("has licence {licence:?}, which deny.toml does not allow"));
        }
    }
    problems
        .into_iter()
        .map(|problem| Finding::new(name, problem))
        .collect()
}

/// Does an SPDX expression leave us a choice of allowed licences? `A/B` is the old way to write `A OR B`.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let kept = any_of(&mut words, allowed);
    kept == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, allowed: &[String]) -> Option<bool> {
    let mut kept = all_of(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        kept |= all_of(words, allowed)?;
    }
    Some(kept)
}

fn all_of(words: &mut Words<'_>, allowed: &[String]) -> Option<bool> {
    let mut kept = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        kept &= one(words, allowed)?;
    }
    Some(kept)
}

fn one(words: &mut Words<'_>, allowed: &[String]) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let kept = any_of(words, allowed)?;
        return words.next_if_eq(&")").map(|_| kept);
    }
    let licence = match words.next_if_eq(&"WITH") {
        Some(_) => format!("{word} WITH {}", words.next()?),
        None => word.to_owned(),
    };
    Some(allowed.contains(&licence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DENY: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0"]
        [bans]
        deny = [{ crate = "openssl-sys", reason = "TLS is rustls" }]
        [sources]
        allow-registry = ["https://github.com/rust-lang/crates.io-index"]
    "#;
    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

    #[track_caller]
    fn check_package(package: &Value, expected: &[&str]) {
        let findings = check(&json!({ "packages": [package] }), DENY).expect("well-formed");
        let problems: Vec<&str> = findings.iter().map(|finding| finding.problem.as_str()).collect();
        assert_eq!(problems, expected);
    }

    #[test]
    fn a_crate_against_the_policy_is_found() {
        check_package(&json!({ "name": "ring", "license": "MIT", "source": CRATES_IO }), &[]);
        check_package(
            &json!({ "name": "openssl-sys", "license": "MIT", "source": CRATES_IO }),
            &["is banned: TLS is rustls"],
        );
        check_package(
            &json!({ "name": "codec", "license": "GPL-3.0-only", "source": CRATES_IO }),
            &["has licence \"GPL-3.0-only\", which deny.toml does not allow"],
        );
        check_package(
            &json!({ "name": "fork", "license": "MIT", "source": "git+https://example.org/fork" }),
            &["comes from git+https://example.org/fork, which deny.toml does not allow"],
        );
        check_package(&json!({ "name": "carillon-app", "license": null, "source": null }), &[]);
    }

    #[test]
    fn licence_expressions_leave_a_choice_or_do_not() {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        for expression in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "(GPL-3.0 OR MIT) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(is_allowed(expression, &allowed), "{expression}");
        }
        for expression in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT",
            "MIT WITH surprise",
            "MIT MIT",
            "OR MIT",
        ] {
            assert!(!is_allowed(expression, &allowed), "{expression}");
        }
    }
}
