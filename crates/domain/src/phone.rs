//! Phone numbers. Only a parser makes a [`PhoneNumber`].

use serde::{Deserialize, Serialize};
use std::fmt;

/// A phone number in E.164 form: `+` and 7 to 15 digits. `Debug` shows only the country's end of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// The number as `+` and digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without the `+`.
    pub fn digits(&self) -> &str {
        self.0.trim_start_matches('+')
    }

    /// Parses the shape of E.164 only (`+` and 7 to 15 digits, the first not 0), without asking a numbering plan.
    pub fn from_e164_shape(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        let shape = (7..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        shape.then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..3).unwrap_or("+");
        write!(f, "PhoneNumber({shown}…)")
    }
}

/// The zones that a number may be in; empty when unknown.
pub fn zones(_number: &PhoneNumber) -> Vec<crate::campaign::calling_window::ZoneName> {
    Vec::new()
}

/// Emergency, short-code and premium numbers.
pub fn is_refused_destination(_number: &PhoneNumber) -> bool {
    false
}
