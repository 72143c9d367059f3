//! The arrows between crates: who may depend on whom, and which crates of others stay behind which of ours.

use super::Finding;
use anyhow::Context;
use serde_json::Value;

/// Each crate of ours and those of ours that it may use. Tests may use more (see [`check`]).
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("media", &["domain"]),
    ("interfaces", &["domain"]),
    ("store", &["domain", "interfaces"]),
    ("carriers", &["domain", "interfaces"]),
    ("providers", &["domain", "interfaces"]),
    ("voice", &["domain", "interfaces", "media"]),
    ("app", &["domain", "interfaces"]),
    ("dialects", &["domain", "interfaces", "app"]),
    ("sandbox", &["domain", "interfaces", "media", "voice", "carriers"]),
    ("sim", &["domain", "interfaces", "app", "store"]),
    (
        "server",
        &[
            "domain",
            "interfaces",
            "media",
            "app",
            "store",
            "carriers",
            "providers",
            "voice",
            "dialects",
            "sandbox",
        ],
    ),
    ("xtask", &[]),
];

/// Crates of others that only some of ours may use, and why.
const CONFINED: &[(&str, &[&str], &str)] = &[
    ("rusqlite", &["store"], "store alone knows SQL"),
    ("sqlx", &["store"], "store alone knows SQL"),
    ("rsipstack", &["carriers", "sandbox"], "SIP stays behind SipUa"),
    (
        "reqwest",
        &["server", "providers"],
        "HTTP to the outside is WebhookTransport's and the hosted providers'",
    ),
    ("figment", &["server"], "configuration is read at the edge"),
    ("utoipa", &["dialects", "server"], "dialects alone know a wire format"),
];

/// Crates that a pure crate never uses: they read a clock, draw random numbers, wait, or speak to the outside.
const IMPURE: &[&str] = &[
    "async-trait",
    "axum",
    "bytes",
    "chrono",
    "fastrand",
    "figment",
    "futures",
    "getrandom",
    "http",
    "metrics",
    "rand",
    "reqwest",
    "rusqlite",
    "socket2",
    "sqlx",
    "tokio",
    "tokio-util",
    "tracing",
];

/// The crates that [`IMPURE`] holds for.
const PURE: &[&str] = &["domain", "media"];

struct Dependency<'a> {
    of: &'a str,
    on: &'a str,
    ours: bool,
    for_tests: bool,
}

/// Compares the workspace's own dependencies with the arrows. A crate's tests may use any of ours but `server` and
/// `sim`, and are not confined.
pub fn check(metadata: &Value) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in workspace_packages(metadata)? {
        let of = short_name(package["name"].as_str().context("a package without a name")?);
        if !ARROWS.iter().any(|(known, _)| *known == of) {
            findings.push(Finding::new(
                of,
                "is not in the arrows of xtask/src/tidy/arrows.rs: say there whom it may use",
            ));
            continue;
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let dependency = Dependency {
                of,
                on: short_name(dependency["name"].as_str().context("a dependency without a name")?),
                ours: dependency["path"].is_string(),
                for_tests: dependency["kind"].as_str() == Some("dev"),
            };
            findings.extend(problem(&dependency).map(|problem| Finding::new(of, problem)));
        }
    }
    Ok(findings)
}

fn problem(dependency: &Dependency<'_>) -> Option<String> {
    let Dependency {
        of,
        on,
        ours,
        for_tests,
    } = *dependency;
    if ours {
        let allowed = ARROWS
            .iter()
            .find(|(known, _)| *known == of)
            .map_or(&[][..], |(_, on)| *on);
        let is_allowed = if for_tests {
            !matches!(on, "server" | "sim")
        } else {
            allowed.contains(&on)
        };
        return (!is_allowed).then(|| format!("must not depend on {on}: it may use {allowed:?}"));
    }
    if for_tests {
        return None;
    }
    if PURE.contains(&of) && IMPURE.contains(&on) {
        return Some(format!(
            "must not depend on {on}: the core takes time, ids and bytes as arguments"
        ));
    }
    let (_, only, why) = CONFINED.iter().find(|(name, _, _)| *name == on)?;
    (!only.contains(&of)).then(|| format!("must not depend on {on}, only {only:?} may: {why}"))
}

fn workspace_packages(metadata: &Value) -> anyhow::Result<Vec<&Value>> {
    let members = metadata["workspace_members"]
        .as_array()
        .context("no workspace members")?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    Ok(packages
        .iter()
        .filter(|package| members.contains(&package["id"]))
        .collect())
}

fn short_name(name: &str) -> &str {
    name.strip_prefix("carillon-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(name: &str, dependencies: &Value) -> Value {
        json!({
            "workspace_members": ["one"],
            "packages": [{ "id": "one", "name": name, "dependencies": dependencies }],
        })
    }

    #[track_caller]
    fn check_problems(name: &str, dependencies: &Value, expected: &[&str]) {
        let findings = check(&metadata(name, dependencies)).expect("well-formed metadata");
        let problems: Vec<&str> = findings.iter().map(|finding| finding.problem.as_str()).collect();
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, start) in problems.iter().zip(expected) {
            assert!(problem.starts_with(start), "{problem}");
        }
    }

    #[test]
    fn an_arrow_the_wrong_way_is_found() {
        let on_app = json!([{ "name": "carillon-app", "path": "/app", "kind": null }]);
        check_problems("carillon-domain", &on_app, &["must not depend on app"]);
        check_problems("carillon-store", &on_app, &["must not depend on app"]);
        check_problems("carillon-dialects", &on_app, &[]);
    }

    #[test]
    fn an_impure_crate_in_the_core_is_found() {
        let on_tokio = json!([{ "name": "tokio", "path": null, "kind": null }]);
        check_problems("carillon-domain", &on_tokio, &["must not depend on tokio"]);
        check_problems("carillon-media", &on_tokio, &["must not depend on tokio"]);
        check_problems("carillon-app", &on_tokio, &[]);
    }

    #[test]
    fn a_confined_crate_elsewhere_is_found() {
        let on_sqlx = json!([{ "name": "sqlx", "path": null, "kind": null }]);
        check_problems("carillon-app", &on_sqlx, &["must not depend on sqlx"]);
        check_problems("carillon-store", &on_sqlx, &[]);
    }

    #[test]
    fn tests_may_use_more_but_never_the_top() {
        let for_tests = |name: &str| json!([{ "name": name, "path": "/x", "kind": "dev" }]);
        check_problems("carillon-app", &for_tests("carillon-store"), &[]);
        check_problems(
            "carillon-app",
            &for_tests("carillon-server"),
            &["must not depend on server"],
        );
    }

    #[test]
    fn an_unknown_crate_is_found() {
        check_problems("carillon-utils", &json!([]), &["is not in the arrows"]);
    }
}
