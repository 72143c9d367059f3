//! The project's own rules, held by a program: what goes in is the repository, what comes out is a list of findings.
//!
//! [`arrows`] keeps the dependencies between crates one way, [`crates_of_others`] keeps `deny.toml`, [`sources`] looks at the
//! text of files, [`links`] follows what documents point at.

pub mod arrows;
pub mod crates_of_others;
pub mod links;
pub mod sources;

use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where: a file's path from the root, or a crate's name.
    pub place: String,
    /// What is wrong, and what to do about it.
    pub problem: String,
}

impl Finding {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// A text file of the repository.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path from the root, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// The files that the rules look at.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    /// Every text file, in the order of its path.
    pub files: Vec<SourceFile>,
    /// Every path, folders and binary files included.
    pub paths: BTreeSet<String>,
}

impl Repository {
    /// Reads what git knows, and what it would be given next: tracked files and new ones that are not ignored.
    fn read(root: &Path) -> anyhow::Result<Self> {
        let listed = output(Command::new("git").current_dir(root).args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ]))?;
        let mut repository = Self::default();
        let listed: BTreeSet<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
        for path in listed {
            // A tracked file may be gone from the folder: it is about to be removed.
            let Ok(bytes) = std::fs::read(root.join(path)) else {
                continue;
            };
            repository.add_path(path);
            if let Ok(text) = String::from_utf8(bytes) {
                repository.files.push(SourceFile {
                    path: path.to_owned(),
                    text,
                });
            }
        }
        Ok(repository)
    }

    fn add_path(&mut self, path: &str) {
        let parents = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
        self.paths.extend(parents.chain([path.to_owned()]));
    }

    /// The text of the file at `path`.
    fn text(&self, path: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    }
}

/// The repository that this package is part of.
pub fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Holds every rule; an empty answer means that all are kept.
pub fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let repository = Repository::read(root)?;
    let metadata = cargo_metadata(root)?;
    let deny = repository.text("deny.toml").context("deny.toml is missing")?;
    let mut findings = arrows::check(&metadata)?;
    findings.extend(crates_of_others::check(&metadata, deny)?);
    findings.extend(sources::check(&repository));
    findings.extend(links::check(&repository));
    Ok(findings)
}

fn cargo_metadata(root: &Path) -> anyhow::Result<serde_json::Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // Without the network: a build has fetched what is needed, and a rule must not depend on a registry.
    let text = output(
        Command::new(cargo)
            .current_dir(root)
            .args(["metadata", "--format-version", "1", "--offline"]),
    )?;
    serde_json::from_str(&text).context("what cargo metadata says is not JSON")
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("{command:?} does not start"))?;
    ensure!(
        output.status.success(),
        "{command:?} fails: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} does not answer in UTF-8"))
}
