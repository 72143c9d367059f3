use super::parse::parse_for_regions;
use super::zone_table::{ZONE_SETS, ZONES, ZONES_BY_PREFIX};
use super::*;
use crate::campaign::calling_window::ZoneName;
use proptest::prelude::*;

fn number(text: &str) -> PhoneNumber {
    PhoneNumber::from_e164_shape(text).expect("of E.164's shape")
}

fn e164(parsed: Result<PhoneNumber, PhoneProblem>) -> Result<String, PhoneProblem> {
    parsed.map(|number| number.as_str().to_owned())
}

#[test]
fn numbers_are_read_by_the_plan_of_their_country() {
    let rows = [
        ("IN", "+91 98765 43210", Ok("+919876543210")),
        ("IN", "098765-43210", Ok("+919876543210")),
        ("IN", "080 4123 4567", Ok("+918041234567")),
        ("US", "(212) 555-0123", Ok("+12125550123")),
        ("GB", "020 7183 8750", Ok("+442071838750")),
        // An Italian number keeps its leading zero.
        ("IT", "02 1234 5678", Ok("+390212345678")),
        ("IN", "+800 1234 5678", Ok("+80012345678")),
        ("IN", "\u{202a}+91 98765\u{a0}43210\u{202c}", Ok("+919876543210")),
        ("US", "1-800-FLOWERS", Err(PhoneProblem::NotANumber)),
        ("IN", "", Err(PhoneProblem::NotANumber)),
        ("IN", "+", Err(PhoneProblem::NotANumber)),
        ("IN", "not-a-number", Err(PhoneProblem::NotANumber)),
        ("IN", "++919876543210", Err(PhoneProblem::NotANumber)),
        ("IN", "91+9876543210", Err(PhoneProblem::NotANumber)),
        ("IN", "98765 43210 ext 5", Err(PhoneProblem::NotANumber)),
        ("IN", "९८७६५४३२१०", Err(PhoneProblem::NotANumber)),
        ("IN", "+1234567890", Err(PhoneProblem::TooShort)),
        ("IN", "+11234567890", Err(PhoneProblem::NotInNumberingPlan)),
        ("IN", "+999 1234567", Err(PhoneProblem::UnknownCallingCode)),
        ("IN", "+91 98765 43210 98765 43", Err(PhoneProblem::TooLong)),
        ("IN", "+91 98765", Err(PhoneProblem::TooShort)),
        ("IN", "112", Err(PhoneProblem::EmergencyNumber)),
        ("US", "911", Err(PhoneProblem::EmergencyNumber)),
        ("IN", "+91 112", Err(PhoneProblem::EmergencyNumber)),
        ("IN", "1909", Err(PhoneProblem::ShortCode)),
    ];
    for (region, text, expected) in rows {
        let expected = expected.map(str::to_owned);
        assert_eq!(e164(PhoneNumber::parse(text, region)), expected, "{text:?} in {region}");
    }
    let nowhere = PhoneProblem::UnknownRegion {
        region: "XX".to_owned(),
    };
    assert_eq!(PhoneNumber::parse("98765 43210", "XX"), Err(nowhere));
}

#[test]
fn indian_mobiles_are_read_in_four_forms() {
    let accepted = [
        "+919876543210",
        "919876543210",
        "09876543210",
        "9876543210",
        "+91 98765-43210",
        " 98765.43210 ",
    ];
    for text in accepted {
        assert_eq!(
            e164(parse_indian_mobile(text)).as_deref(),
            Ok("+919876543210"),
            "{text:?}"
        );
    }
    // Ten digits that start with 91 are a whole number, not a calling code and eight digits.
    assert_eq!(e164(parse_indian_mobile("9198765432")).as_deref(), Ok("+919198765432"));
    // A series that no operator has yet is taken: the rule is the first digit.
    assert_eq!(e164(parse_indian_mobile("6000000000")).as_deref(), Ok("+916000000000"));
    let refused = [
        "5876543210",
        "+915876543210",
        "987654321",
        "98765432101",
        "00919876543210",
        "+9109876543210",
        "+9876543210",
        "+12125550123",
    ];
    for text in refused {
        assert_eq!(
            parse_indian_mobile(text),
            Err(PhoneProblem::NotAnIndianMobile),
            "{text:?}"
        );
    }
    assert_eq!(parse_indian_mobile("not-a-number"), Err(PhoneProblem::NotANumber));
    assert_eq!(parse_indian_mobile("100"), Err(PhoneProblem::EmergencyNumber));
}

#[test]
fn three_forms_are_read_where_only_three_are_documented() {
    for text in [
        "9876543210",
        "919876543210",
        "+919876543210",
        "+91 98765-43210",
        "91-9876543210",
    ] {
        assert_eq!(
            e164(parse_indian_mobile_three_forms(text)).as_deref(),
            Ok("+919876543210"),
            "{text:?}"
        );
    }
    let refused = [
        "09876543210",
        "5876543210",
        "+9876543210",
        "98765.43210",
        "(98765)43210",
        "+91+9876543210",
        "",
        "+",
        "98765४3210",
        "9876543210x",
        "00919876543210",
    ];
    for text in refused {
        assert_eq!(
            parse_indian_mobile_three_forms(text),
            Err(PhoneProblem::NotAnIndianMobile),
            "{text:?}"
        );
    }
}

#[test]
fn a_campaign_takes_numbers_of_the_regions_it_may_call() {
    let not_allowed = |region: &str| {
        Err(PhoneProblem::RegionNotAllowed {
            region: region.to_owned(),
        })
    };
    let rows: [(&str, &str, &[&str], Result<&str, PhoneProblem>); 10] = [
        ("9876543210", "IN", &["IN"], Ok("+919876543210")),
        ("+16502530000", "IN", &["IN"], not_allowed("US")),
        ("+16502530000", "IN", &["IN", "US"], Ok("+16502530000")),
        ("+16502530000", "IN", &[], Ok("+16502530000")),
        ("16502530000", "IN", &[], Err(PhoneProblem::NotAnIndianMobile)),
        ("650 253 0000", "US", &["US"], Ok("+16502530000")),
        ("+919876543210", "US", &["US"], not_allowed("IN")),
        ("+91 11 2345 6789", "IN", &["IN"], Err(PhoneProblem::NotAnIndianMobile)),
        ("+11234567890", "IN", &[], Err(PhoneProblem::NotInNumberingPlan)),
        ("not-a-number", "IN", &["IN"], Err(PhoneProblem::NotANumber)),
    ];
    for (text, home, allowed, expected) in rows {
        let expected = expected.map(str::to_owned);
        assert_eq!(
            e164(parse_for_regions(text, home, allowed)),
            expected,
            "{text:?} from {home}, allowed {allowed:?}"
        );
    }
}

#[test]
fn the_shape_of_e164_needs_no_plan() {
    for text in ["+1234567890", "+1234567", "+123456789012345"] {
        assert_eq!(number(text).as_str(), text);
    }
    for text in [
        "1234567890",
        "+123456",
        "+1234567890123456",
        "+0123456789",
        "+12345 67890",
        "+",
        "",
        "+१२३४५६७८९०",
    ] {
        assert_eq!(PhoneNumber::from_e164_shape(text), None, "{text:?}");
    }
}

#[test]
fn debug_shows_the_country_only() {
    assert_eq!(format!("{:?}", number("+919876543210")), "PhoneNumber(+91…)");
}

#[test]
fn class_and_region_come_from_the_plan() {
    let rows = [
        ("+919876543210", NumberClass::Mobile, Some("IN"), Some(91)),
        ("+911123456789", NumberClass::FixedLine, Some("IN"), Some(91)),
        ("+911800114000", NumberClass::TollFree, Some("IN"), Some(91)),
        ("+911861123456789", NumberClass::PremiumRate, Some("IN"), Some(91)),
        ("+12125550123", NumberClass::FixedLineOrMobile, Some("US"), Some(1)),
        ("+19002345678", NumberClass::PremiumRate, Some("US"), Some(1)),
        ("+16135550123", NumberClass::FixedLineOrMobile, Some("CA"), Some(1)),
        ("+447400123456", NumberClass::Mobile, Some("GB"), Some(44)),
        ("+449012345678", NumberClass::PremiumRate, Some("GB"), Some(44)),
        ("+979123456789", NumberClass::PremiumRate, Some("001"), Some(979)),
        ("+1234567890", NumberClass::Unknown, None, Some(1)),
        ("+9991234567", NumberClass::Unknown, None, None),
        // Namibia's emergency number, a Finnish and an Indian service number, each behind its calling code.
        ("+26410111", NumberClass::Emergency, Some("NA"), Some(264)),
        ("+358116111", NumberClass::ShortCode, None, Some(358)),
        ("+91155260", NumberClass::ShortCode, Some("IN"), Some(91)),
        // Saint Helena's ordinary numbers are as short as others' short codes.
        ("+29022158", NumberClass::FixedLine, Some("SH"), Some(290)),
    ];
    for (text, expected, region, code) in rows {
        let number = number(text);
        assert_eq!(class(&number), expected, "class of {text}");
        assert_eq!(number.region().as_deref(), region, "region of {text}");
        assert_eq!(number.calling_code(), code, "calling code of {text}");
    }
}

#[test]
fn emergency_short_and_premium_numbers_are_refused() {
    for text in [
        "+26410111",
        "+358116111",
        "+19002345678",
        "+911861123456789",
        "+979123456789",
    ] {
        assert!(is_refused_destination(&number(text)), "{text}");
    }
    // The vendor's own example and Delhi, whose numbers begin like an emergency call, are not.
    for text in [
        "+919876543210",
        "+911123456789",
        "+1234567890",
        "+911800114000",
        "+916000000000",
    ] {
        assert!(!is_refused_destination(&number(text)), "{text}");
    }
}

fn zone_names(text: &str) -> Vec<String> {
    zones(&number(text))
        .iter()
        .map(|zone| zone.as_str().to_owned())
        .collect()
}

#[test]
fn zones_are_those_of_the_longest_prefix() {
    assert_eq!(zone_names("+919876543210"), ["Asia/Kolkata"]);
    assert_eq!(zone_names("+911123456789"), ["Asia/Kolkata"]);
    assert_eq!(zone_names("+12125550123"), ["America/New_York"]);
    assert_eq!(zone_names("+18085550123"), ["Pacific/Honolulu"]);
    assert_eq!(zone_names("+390612345678"), ["Europe/Rome"]);
    assert_eq!(zone_names("+61399999999"), ["Australia/Sydney"]);
}

#[test]
fn numbers_tied_to_no_place_have_every_zone_of_their_country() {
    // An Australian mobile, a North American toll-free number, a number that no plan lists.
    for text in ["+61412345678", "+18002345678", "+1234567890"] {
        assert!(zone_names(text).len() > 4, "{text}: {:?}", zone_names(text));
    }
    assert_eq!(zone_names("+916000000000"), ["Asia/Kolkata"]);
}

#[test]
fn a_number_of_no_known_country_has_no_zone() {
    // An unassigned calling code, and a satellite network that covers the whole world.
    for text in ["+9991234567", "+881612345678"] {
        assert_eq!(zone_names(text), [""; 0], "{text}");
    }
}

#[test]
fn every_zone_of_the_table_is_known_to_the_time_zone_database() {
    for name in ZONES {
        assert_eq!(ZoneName::parse(name).as_ref().map(ZoneName::as_str), Ok(name));
    }
}

#[test]
fn the_zone_table_is_sorted_and_whole() {
    assert!(ZONES_BY_PREFIX.is_sorted_by(|(a, _), (b, _)| a < b));
    assert!(
        ZONES_BY_PREFIX
            .iter()
            .all(|(_, set)| usize::from(*set) < ZONE_SETS.len())
    );
    assert!(
        ZONE_SETS
            .iter()
            .all(|set| !set.is_empty() && set.iter().all(|zone| usize::from(*zone) < ZONES.len()))
    );
    assert!(emergency_table::EMERGENCY_NUMBERS.is_sorted_by(|a, b| a < b));
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,45}", region in prop::sample::select(vec!["IN", "US", "IT", "ZZ", "001", ""])) {
        if let Ok(number) = PhoneNumber::parse(&text, region) {
            prop_assert_eq!(PhoneNumber::from_e164_shape(number.as_str()), Some(number));
        }
        let _ = parse_for_regions(&text, region, &["IN"]);
        let _ = parse_indian_mobile_three_forms(&text);
    }

    #[test]
    fn any_written_number_is_answered(text in "[+0-9() .-]{0,24}", region in prop::sample::select(vec!["IN", "US", "IT", "AR", "BR"])) {
        if let Ok(number) = PhoneNumber::parse(&text, region) {
            prop_assert_eq!(PhoneNumber::parse(number.as_str(), "IN"), Ok(number.clone()));
            let region = number.region();
            prop_assert!(region.is_some());
            prop_assert!(region.as_deref() == Some("001") || !zones(&number).is_empty(), "no zone for {}", number.as_str());
        }
    }

    #[test]
    fn any_number_of_the_shape_has_a_class(digits in "[1-9][0-9]{6,14}") {
        let number = number(&format!("+{digits}"));
        prop_assert_eq!(is_refused_destination(&number), class(&number).is_refused());
        prop_assert!(zones(&number).is_empty() || number.calling_code().is_some());
    }
}
