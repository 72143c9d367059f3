//! The models folder: what `scripts/models` puts there, and whether it is what the lock file says.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The lock file of `scripts/models`; the script and the server read the same one.
const LOCK: &str = include_str!("../../../../scripts/models.lock");

/// A part of the embedded speech, as the lock file calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// ONNX Runtime, which runs the models.
    Runtime,
    /// Silero, which tells voices from other sound.
    VoiceActivity,
    /// Smart Turn, which tells whether a turn is over.
    TurnJudge,
    /// Moonshine, which turns sound into words.
    Hearing,
    /// A Piper voice, which turns words into sound.
    Voice,
}

impl Part {
    /// All parts, in the order in which they are reported.
    pub const ALL: [Part; 5] = [
        Part::Runtime,
        Part::VoiceActivity,
        Part::TurnJudge,
        Part::Hearing,
        Part::Voice,
    ];

    /// Its name in the lock file and for `scripts/models --only`.
    pub fn name(self) -> &'static str {
        match self {
            Part::Runtime => "onnxruntime",
            Part::VoiceActivity => "silero",
            Part::TurnJudge => "smart-turn",
            Part::Hearing => "moonshine",
            Part::Voice => "piper",
        }
    }

    /// Its version in the lock file.
    pub fn version(self) -> &'static str {
        self.fact(2).unwrap_or("unknown")
    }

    /// The licence of its files, by its SPDX name.
    pub fn licence(self) -> &'static str {
        self.fact(3).unwrap_or("unknown")
    }

    fn fact(self, column: usize) -> Option<&'static str> {
        LOCK.lines()
            .map(|line| line.split_whitespace())
            .find(|words| words.clone().take(2).eq(["part", self.name()]))
            .and_then(|mut words| words.nth(column))
    }

    fn files(self) -> impl Iterator<Item = LockedFile> {
        LOCK.lines().filter_map(move |line| {
            let mut words = line.split_whitespace();
            let is_mine = words.next() == Some("file") && words.next() == Some(self.name());
            let (path, sha256) = (words.next()?, words.next()?);
            is_mine.then_some(LockedFile { path, sha256 })
        })
    }
}

/// A file that the lock file names.
struct LockedFile {
    path: &'static str,
    sha256: &'static str,
}

/// Why a part cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelProblem {
    /// A file is not there.
    #[error("{} is missing; run `scripts/models --only {part}`", path.display())]
    Missing {
        /// The part's name.
        part: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("{} cannot be read ({reason})", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file is not the one that the lock file names.
    #[error("{} has the SHA-256 {found}, not {wanted}; run `scripts/models --only {part}`", path.display())]
    WrongHash {
        /// The part's name.
        part: &'static str,
        /// The file.
        path: PathBuf,
        /// What it has, in hex.
        found: String,
        /// What the lock file says, in hex.
        wanted: &'static str,
    },
    /// The lock file, which is part of the program, does not name what the program asks for.
    #[error("models.lock names no {0}")]
    NotLocked(&'static str),
    /// ONNX Runtime is not to be had or refuses the model.
    #[error("{0}")]
    Runtime(String),
    /// The file is the right one and yet cannot be understood.
    #[error("{0}")]
    Malformed(&'static str),
    /// A program that the part needs is not on the path.
    #[error("`{0}` is not installed; run `scripts/setup`, or install the package of that name")]
    NotInstalled(&'static str),
    /// Settings turn it off.
    #[error("turned off by the settings")]
    TurnedOff,
}

/// A models folder.
#[derive(Clone, Debug)]
pub struct Models {
    folder: PathBuf,
}

impl Models {
    /// The models in a folder, which need not exist.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where `scripts/models` puts them unless told otherwise: `$CARILLON_MODELS`, else `$XDG_DATA_HOME/carillon/models`,
    /// else `~/.local/share/carillon/models`.
    pub fn default_folder() -> PathBuf {
        let given = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(folder) = given("CARILLON_MODELS") {
            return PathBuf::from(folder);
        }
        given("XDG_DATA_HOME")
            .map(PathBuf::from)
            .unwrap_or_else(|| PathBuf::from(given("HOME").unwrap_or_default()).join(".local/share"))
            .join("carillon/models")
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a part's file whose name ends so, after its hash was checked.
    pub(super) fn checked_path(&self, part: Part, name: &str) -> Result<PathBuf, ModelProblem> {
        self.checked(part, name).map(|(path, _)| path)
    }

    /// The content of a part's file whose name ends so, after its hash was checked.
    pub(super) fn checked_bytes(&self, part: Part, name: &str) -> Result<Vec<u8>, ModelProblem> {
        self.checked(part, name).map(|(_, bytes)| bytes)
    }

    fn checked(&self, part: Part, name: &str) -> Result<(PathBuf, Vec<u8>), ModelProblem> {
        let file = part
            .files()
            .find(|file| file.path.rsplit('/').next() == Some(name))
            .ok_or(ModelProblem::NotLocked(part.name()))?;
        let path = self.folder.join(file.path);
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ModelProblem::Missing {
                part: part.name(),
                path: path.clone(),
            },
            _ => ModelProblem::Unreadable {
                path: path.clone(),
                reason: error.to_string(),
            },
        })?;
        let found = hex(&Sha256::digest(&bytes));
        if found != file.sha256 {
            return Err(ModelProblem::WrongHash {
                part: part.name(),
                path,
                found,
                wanted: file.sha256,
            });
        }
        Ok((path, bytes))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_names_every_part_with_version_licence_and_files() {
        for part in Part::ALL {
            assert_ne!(part.version(), "unknown", "{part:?}");
            assert_ne!(part.licence(), "unknown", "{part:?}");
            assert!(
                part.files().all(|file| file.sha256.len() == 64) && part.files().count() > 0,
                "{part:?}"
            );
        }
    }

    #[test]
    fn a_file_that_is_missing_or_changed_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let models = Models::in_folder(folder.path());
        let ask = || models.checked_path(Part::VoiceActivity, "silero_vad.onnx");
        let Err(ModelProblem::Missing { part: "silero", path }) = ask() else {
            panic!("{:?}", ask());
        };
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, "another model").expect("a file");
        let problem = ask().expect_err("the wrong file");
        assert!(matches!(problem, ModelProblem::WrongHash { .. }), "{problem:?}");
        assert!(
            problem.to_string().contains("scripts/models --only silero"),
            "{problem}"
        );
    }
}
