//! What kind of number it is, and whether it may be dialled at all.

use super::PhoneNumber;
use super::emergency_table::EMERGENCY_NUMBERS;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberType};
use serde::{Deserialize, Serialize};

/// National numbers of at most this many digits that no plan lists are short codes.
const SHORT_CODE_DIGITS_MAX: usize = 6;

/// Calling codes have at most this many digits.
const CALLING_CODE_DIGITS_MAX: usize = 3;

/// The kind of a number, by its country's numbering plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberClass {
    /// A fixed line.
    FixedLine,
    /// A mobile.
    Mobile,
    /// A country whose plan does not tell fixed lines and mobiles apart.
    FixedLineOrMobile,
    /// Free for the caller.
    TollFree,
    /// Charged above the ordinary rate.
    PremiumRate,
    /// Paid by caller and callee together.
    SharedCost,
    /// Follows a person, not a line.
    PersonalNumber,
    /// Internet telephony.
    Voip,
    /// A pager.
    Pager,
    /// One number for a company's many lines.
    UniversalAccess,
    /// Access to a mailbox.
    Voicemail,
    /// An emergency service.
    Emergency,
    /// A service number of few digits behind a calling code.
    ShortCode,
    /// No plan knows the number.
    Unknown,
}

impl NumberClass {
    /// Such numbers are refused before any INVITE, whatever the script.
    pub const fn is_refused(self) -> bool {
        matches!(self, Self::Emergency | Self::ShortCode | Self::PremiumRate)
    }
}

/// The class of `number`.
pub fn class(number: &PhoneNumber) -> NumberClass {
    if is_emergency(number.digits()) {
        return NumberClass::Emergency;
    }
    let Some(planned) = number.in_plan() else {
        return NumberClass::Unknown;
    };
    match PHONE_NUMBER_UTIL.get_number_type(&planned) {
        PhoneNumberType::FixedLine => NumberClass::FixedLine,
        PhoneNumberType::Mobile => NumberClass::Mobile,
        PhoneNumberType::FixedLineOrMobile => NumberClass::FixedLineOrMobile,
        PhoneNumberType::TollFree => NumberClass::TollFree,
        PhoneNumberType::PremiumRate => NumberClass::PremiumRate,
        PhoneNumberType::SharedCost => NumberClass::SharedCost,
        PhoneNumberType::VoIP => NumberClass::Voip,
        PhoneNumberType::PersonalNumber => NumberClass::PersonalNumber,
        PhoneNumberType::Pager => NumberClass::Pager,
        PhoneNumberType::UAN => NumberClass::UniversalAccess,
        PhoneNumberType::VoiceMail => NumberClass::Voicemail,
        PhoneNumberType::Unknown => class_of_short(number.digits()).unwrap_or(NumberClass::Unknown),
    }
}

/// Is `number` of a class that is never dialled: emergency, short code or premium rate?
pub fn is_refused_destination(number: &PhoneNumber) -> bool {
    class(number).is_refused()
}

/// [`NumberClass::Emergency`] or [`NumberClass::ShortCode`] for `digits` (calling code and a national number that no
/// plan lists) if they are one; `None` if they are too many, or have no known calling code.
pub(super) fn class_of_short(digits: &str) -> Option<NumberClass> {
    if is_emergency(digits) {
        return Some(NumberClass::Emergency);
    }
    let known = |length: &usize| {
        let code = digits.get(..*length).and_then(|code| code.parse().ok());
        code.is_some_and(|code| PHONE_NUMBER_UTIL.get_region_for_country_code(code).is_some())
    };
    // No calling code is the beginning of another, so at most one length fits.
    let code_length = (1..=CALLING_CODE_DIGITS_MAX).find(known)?;
    (digits.len() - code_length <= SHORT_CODE_DIGITS_MAX).then_some(NumberClass::ShortCode)
}

fn is_emergency(digits: &str) -> bool {
    EMERGENCY_NUMBERS.binary_search(&digits).is_ok()
}
