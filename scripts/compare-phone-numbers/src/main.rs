//! Answers for a list of numbers by one crate: `region<TAB>text` a line on standard input, and on standard output
//! `valid<TAB>e164<TAB>region<TAB>type`. The time of a second pass over the list goes to standard error.

use std::io::{Read, Write};
use std::time::Instant;

type Answer = (bool, String, String, String);

fn unparsed() -> Answer {
    (false, "-".to_owned(), "-".to_owned(), "-".to_owned())
}

fn by_phonenumber(region: &str, text: &str) -> Answer {
    let region = region.parse::<phonenumber::country::Id>().ok();
    let Ok(number) = phonenumber::parse(region, text) else {
        return unparsed();
    };
    let e164 = number.format().mode(phonenumber::Mode::E164).to_string();
    let kind = number.number_type(&phonenumber::metadata::DATABASE);
    let country = number
        .country()
        .id()
        .map_or("-".to_owned(), |id| id.as_ref().to_owned());
    (number.is_valid(), e164, country, format!("{kind:?}"))
}

fn by_rlibphonenumber(region: &str, text: &str) -> Answer {
    use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};
    let region = region.parse::<Region>().ok();
    let Ok(number) = PHONE_NUMBER_UTIL.parse(text, region) else {
        return unparsed();
    };
    let e164 = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164).into_owned();
    let country = PHONE_NUMBER_UTIL
        .get_region_for_number(&number)
        .map_or("-".to_owned(), |region| region.to_string());
    let kind = PHONE_NUMBER_UTIL.get_number_type(&number);
    (
        PHONE_NUMBER_UTIL.is_valid_number(&number),
        e164,
        country,
        format!("{kind:?}"),
    )
}

fn main() -> std::io::Result<()> {
    let answer = match std::env::args().nth(1).as_deref() {
        Some("phonenumber") => by_phonenumber,
        Some("rlibphonenumber") => by_rlibphonenumber,
        _ => return Err(std::io::Error::other("say phonenumber or rlibphonenumber")),
    };
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    let rows: Vec<(&str, &str)> = input.lines().filter_map(|line| line.split_once('\t')).collect();
    let first = Instant::now();
    let answers: Vec<Answer> = rows.iter().map(|(region, text)| answer(region, text)).collect();
    let first = first.elapsed();
    let second = Instant::now();
    for (region, text) in &rows {
        std::hint::black_box(answer(region, text));
    }
    let second = second.elapsed();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (valid, e164, region, kind) in answers {
        writeln!(out, "{valid}\t{e164}\t{region}\t{kind}")?;
    }
    let each = |total: std::time::Duration| total.as_secs_f64() * 1e6 / rows.len().max(1) as f64;
    eprintln!(
        "{} numbers: first pass {first:.0?} ({:.1} us each), second {second:.0?} ({:.1} us each)",
        rows.len(),
        each(first),
        each(second)
    );
    Ok(())
}
