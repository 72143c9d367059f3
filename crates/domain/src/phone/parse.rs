//! From text to [`PhoneNumber`].

use super::class::{NumberClass, class_of_short};
use super::{PhoneNumber, PhoneProblem::*};
use rlibphonenumber::{PHONE_NUMBER_UTIL, ParseError, PhoneNumberFormat, Region, ValidationError};

/// Longer text is no phone number. The longest E.164 number with a separator after each digit has 31 characters.
const TEXT_CHARACTERS_MAX: usize = 40;

/// Why text is not a number that we take. Never holds the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneProblem {
    /// Other characters than digits, one leading `+` and separators; or no digit.
    #[error("not a phone number")]
    NotANumber,
    /// Fewer digits than any number of its country.
    #[error("too short for a phone number")]
    TooShort,
    /// More digits than any number of its country.
    #[error("too long for a phone number")]
    TooLong,
    /// No country or network has this calling code.
    #[error("unknown country calling code")]
    UnknownCallingCode,
    /// No operator can have been given this number.
    #[error("not a valid number in its country")]
    NotInNumberingPlan,
    /// An emergency number.
    #[error("an emergency number")]
    EmergencyNumber,
    /// A service number of few digits, which only exists inside a country.
    #[error("a short code")]
    ShortCode,
    /// None of the accepted forms of an Indian number whose ten digits start with 6 to 9.
    #[error("not an Indian mobile number")]
    NotAnIndianMobile,
    /// Valid, but of a region that may not be called.
    #[error("numbers of region {region} are not allowed")]
    RegionNotAllowed {
        /// The number's CLDR region.
        region: String,
    },
    /// The region by which to read national numbers does not exist: a fault of the configuration, not of the number.
    #[error("unknown region {region:?}")]
    UnknownRegion {
        /// The region as it was given.
        region: String,
    },
}

/// Reads a number for a workspace whose national numbers are those of `home` and which may call `allowed` regions
/// (none listed: all of them).
///
/// Indian numbers are judged by [`parse_indian_mobile`], so that a number whose series the numbering plan does not have
/// yet is taken; all others must be valid by their plan.
pub fn parse_for_regions<R: AsRef<str>>(text: &str, home: &str, allowed: &[R]) -> Result<PhoneNumber, PhoneProblem> {
    let written = Written::read(text)?;
    let indian = if written.international {
        written.digits.starts_with("91")
    } else {
        home == "IN"
    };
    let (number, region) = if indian {
        (indian_mobile(&written)?, "IN".to_owned())
    } else {
        let number = valid_number(&written, home)?;
        let region = number.region().ok_or(NotInNumberingPlan)?;
        (number, region)
    };
    if allowed.is_empty() || allowed.iter().any(|each| each.as_ref() == region) {
        Ok(number)
    } else {
        Err(RegionNotAllowed { region })
    }
}

/// Reads an Indian number of ten digits that start with 6 to 9, written alone or behind `+91`, `91` or `0`.
/// Separators are passed over as in [`PhoneNumber::parse`].
pub fn parse_indian_mobile(text: &str) -> Result<PhoneNumber, PhoneProblem> {
    indian_mobile(&Written::read(text)?)
}

/// As [`parse_indian_mobile`], but only in three forms: ten digits, `91` and ten digits, `+91` and ten digits. A leading
/// `0` is refused; only spaces and hyphens are passed over.
pub fn parse_indian_mobile_three_forms(text: &str) -> Result<PhoneNumber, PhoneProblem> {
    let compact: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let digits = compact.strip_prefix('+').unwrap_or(&compact);
    let national = match (compact.starts_with('+'), digits.len()) {
        (_, 12) => digits.strip_prefix("91"),
        (false, 10) => Some(digits),
        _ => None,
    };
    indian_mobile_of(national)
}

pub(super) fn by_numbering_plan(text: &str, region: &str) -> Result<PhoneNumber, PhoneProblem> {
    valid_number(&Written::read(text)?, region)
}

fn indian_mobile(written: &Written) -> Result<PhoneNumber, PhoneProblem> {
    let digits = written.digits.as_str();
    let national = match (written.international, digits.len()) {
        (_, 12) => digits.strip_prefix("91"),
        (false, 11) => digits.strip_prefix('0'),
        (false, 10) => Some(digits),
        _ => None,
    };
    indian_mobile_of(national).map_err(|problem| written.short_number("IN").unwrap_or(problem))
}

fn indian_mobile_of(national: Option<&str>) -> Result<PhoneNumber, PhoneProblem> {
    let is_mobile = |digits: &&str| {
        digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit()) && digits.starts_with(['6', '7', '8', '9'])
    };
    let national = national.filter(is_mobile).ok_or(NotAnIndianMobile)?;
    Ok(PhoneNumber(format!("+91{national}")))
}

fn valid_number(written: &Written, region: &str) -> Result<PhoneNumber, PhoneProblem> {
    let home = known_region(region)?;
    let text = written.text();
    let problem = match PHONE_NUMBER_UTIL.parse(&text, Some(home)) {
        Ok(number) if PHONE_NUMBER_UTIL.is_valid_number(&number) => {
            let e164 = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164);
            return PhoneNumber::from_e164_shape(&e164).ok_or(NotInNumberingPlan);
        }
        Ok(number) => match PHONE_NUMBER_UTIL.is_possible_number_with_reason(&number) {
            Err(ValidationError::TooShort) => TooShort,
            Err(ValidationError::TooLong) => TooLong,
            _ => NotInNumberingPlan,
        },
        Err(ParseError::InvalidCountryCode) => UnknownCallingCode,
        Err(ParseError::NotANumber(_)) => NotANumber,
        Err(ParseError::TooShortAfterIdd | ParseError::TooShortNsn) => TooShort,
        Err(ParseError::TooLongNsn) => TooLong,
    };
    Err(written.short_number(region).unwrap_or(problem))
}

fn known_region(name: &str) -> Result<Region, PhoneProblem> {
    let has_numbers = |region: &Region| PHONE_NUMBER_UTIL.get_country_code_for_region(*region).is_some();
    name.parse().ok().filter(has_numbers).ok_or_else(|| UnknownRegion {
        region: name.to_owned(),
    })
}

/// Digits as they were written, without what people put between them.
struct Written {
    international: bool,
    digits: String,
}

impl Written {
    fn read(text: &str) -> Result<Self, PhoneProblem> {
        if text.chars().count() > TEXT_CHARACTERS_MAX {
            return Err(NotANumber);
        }
        let mut written = Self {
            international: false,
            digits: String::with_capacity(text.len()),
        };
        for c in text.trim().chars() {
            match c {
                '0'..='9' => written.digits.push(c),
                '+' if written.digits.is_empty() && !written.international => written.international = true,
                _ if is_separator(c) => {}
                _ => return Err(NotANumber),
            }
        }
        if written.digits.is_empty() {
            Err(NotANumber)
        } else {
            Ok(written)
        }
    }

    fn text(&self) -> String {
        format!("{}{}", if self.international { "+" } else { "" }, self.digits)
    }

    /// The problem to report if these digits are an emergency number or, as dialled inside `region`, a short code.
    fn short_number(&self, region: &str) -> Option<PhoneProblem> {
        if self.international {
            return (class_of_short(&self.digits)? == NumberClass::Emergency).then_some(EmergencyNumber);
        }
        let code = PHONE_NUMBER_UTIL.get_country_code_for_region(region.parse().ok()?)?;
        match class_of_short(&format!("{code}{}", self.digits))? {
            NumberClass::Emergency => Some(EmergencyNumber),
            _ => Some(ShortCode),
        }
    }
}

/// What stands between digits in numbers written by hand, by spreadsheets and by address books: the last put invisible
/// marks of writing direction around a number that is copied from them.
fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '-' | '.' | '/' | '(' | ')' | '\t'
            | '\u{a0}' | '\u{202f}' | '\u{2010}'..='\u{2015}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}
