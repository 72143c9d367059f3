//! Languages, as BCP 47 tags: what a call speaks and what a voice or recogniser can do.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A language by its BCP 47 tag: a primary language of two or three letters, then a region if one was given (`en`, `en-US`, `hi-IN`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language {
    primary: String,
    region: Option<String>,
}

/// Why a tag is no language.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no language tag; write a language and, if it matters, a region, as in `en` or `en-US`")]
pub struct NoLanguage(pub String);

impl Language {
    /// English, with no region.
    pub fn english() -> Self {
        Self {
            primary: "en".to_owned(),
            region: None,
        }
    }

    /// The primary language, in lower case (`en`).
    pub fn primary(&self) -> &str {
        &self.primary
    }

    /// The region, in upper case (`US`), if the tag names one.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Whether what speaks `self` can serve somebody who wants `wanted`: the primary languages are the same. A region is an accent
    /// and refuses nothing.
    pub fn serves(&self, wanted: &Language) -> bool {
        self.primary == wanted.primary
    }
}

impl FromStr for Language {
    type Err = NoLanguage;

    fn from_str(tag: &str) -> Result<Self, Self::Err> {
        let refuse = || NoLanguage(tag.chars().take(40).collect());
        let mut parts = tag.trim().split(['-', '_']);
        let primary = parts.next().unwrap_or_default();
        if !(2..=3).contains(&primary.len()) || !primary.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(refuse());
        }
        let region = match parts.next() {
            None => None,
            Some(region)
                if (region.len() == 2 && region.bytes().all(|byte| byte.is_ascii_alphabetic()))
                    || (region.len() == 3 && region.bytes().all(|byte| byte.is_ascii_digit())) =>
            {
                Some(region.to_ascii_uppercase())
            }
            Some(_) => return Err(refuse()),
        };
        if parts.next().is_some() {
            return Err(refuse());
        }
        Ok(Self {
            primary: primary.to_ascii_lowercase(),
            region,
        })
    }
}

impl TryFrom<String> for Language {
    type Error = NoLanguage;

    fn try_from(tag: String) -> Result<Self, Self::Error> {
        tag.parse()
    }
}

impl From<Language> for String {
    fn from(language: Language) -> String {
        language.to_string()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.primary)?;
        match &self.region {
            Some(region) => write!(f, "-{region}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_in_any_case_and_nonsense_is_refused() {
        let rows = [
            ("en", Some("en")),
            ("EN-us", Some("en-US")),
            ("hi_IN", Some("hi-IN")),
            ("es-419", Some("es-419")),
            ("fil", Some("fil")),
            ("", None),
            ("e", None),
            ("english", None),
            ("en-USA", None),
            ("en-US-x", None),
            ("e1", None),
        ];
        for (tag, expected) in rows {
            let read = tag.parse::<Language>().ok().map(|language| language.to_string());
            assert_eq!(read.as_deref(), expected, "{tag:?}");
        }
    }

    #[test]
    fn a_region_is_an_accent() {
        let english: Language = "en-GB".parse().unwrap();
        assert!(english.serves(&"en-US".parse().unwrap()));
        assert!(!english.serves(&"hi-IN".parse().unwrap()));
    }
}
