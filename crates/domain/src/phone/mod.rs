//! Phone numbers: reading them, and what their numbering plan says of them.
//!
//! What goes in: text as a person or a program wrote it. What comes out: a [`PhoneNumber`] in E.164 form, or a
//! [`PhoneProblem`]; of a number, its [`NumberClass`], region and time zones. The plans are libphonenumber's, compiled
//! in (`docs/adr/0007-phone-numbers.md`); nothing here knows whether a number is in service.

mod class;
mod emergency_table;
mod parse;
#[cfg(test)]
mod tests;
mod zone_table;
mod zones;

pub use class::{NumberClass, class, is_refused_destination};
pub use parse::{PhoneProblem, parse_for_regions, parse_indian_mobile, parse_indian_mobile_three_forms};
pub use zones::zones;

use rlibphonenumber::PHONE_NUMBER_UTIL;
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
        let shape =
            (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        shape.then(|| Self(text.to_owned()))
    }

    /// Reads a number that must be valid by its numbering plan. Without a `+` it is read as people in `region` dial it
    /// (a CLDR region such as `IN`). Spaces, hyphens, dots, slashes and brackets are passed over; letters are not
    /// turned into digits.
    pub fn parse(text: &str, region: &str) -> Result<Self, PhoneProblem> {
        parse::by_numbering_plan(text, region)
    }

    /// The calling code of the country or network, such as 91; `None` if there is no such code.
    pub fn calling_code(&self) -> Option<u16> {
        u16::try_from(self.in_plan()?.country_code).ok()
    }

    /// The CLDR region that the number belongs to, such as `IN`, or `001` for a number that belongs to no country.
    /// `None` if the calling code is unknown, or shared by countries of which none has this number.
    pub fn region(&self) -> Option<String> {
        Some(PHONE_NUMBER_UTIL.get_region_for_number(&self.in_plan()?)?.to_string())
    }

    /// The number split into calling code and national number; `None` if there is no such calling code.
    fn in_plan(&self) -> Option<rlibphonenumber::PhoneNumber> {
        PHONE_NUMBER_UTIL.parse(&self.0, None).ok()
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..3).unwrap_or("+");
        write!(f, "PhoneNumber({shown}…)")
    }
}
