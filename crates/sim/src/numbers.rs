//! Telephone numbers of the crowd, with the zones that their holders may be in, written down here by hand.

use crate::zones::{self, Zone};
use carillon_domain::phone::PhoneNumber;

/// Numbers of one kind.
#[derive(Debug)]
pub(crate) struct Family {
    /// The beginning of each.
    prefix: &'static str,
    /// How many digits follow.
    digits: usize,
    /// Zones that the holder may be in.
    pub(crate) zones: &'static [&'static Zone],
}

static INDIAN: Family = Family {
    prefix: "+9198",
    digits: 8,
    zones: &[&zones::KOLKATA],
};
static NEW_YORKER: Family = Family {
    prefix: "+1212736",
    digits: 4,
    zones: &[&zones::NEW_YORK],
};
static LONDONER: Family = Family {
    prefix: "+44207",
    digits: 7,
    zones: &[&zones::LONDON],
};
static BERLINER: Family = Family {
    prefix: "+4930",
    digits: 8,
    zones: &[&zones::BERLIN],
};
static SYDNEYSIDER: Family = Family {
    prefix: "+6129",
    digits: 7,
    zones: &[&zones::SYDNEY],
};
static SPANISH_MOBILE: Family = Family {
    prefix: "+346",
    digits: 8,
    zones: &[&zones::MADRID, &zones::CANARY],
};
static ECUADORIAN_MOBILE: Family = Family {
    prefix: "+59399",
    digits: 7,
    zones: &[&zones::GUAYAQUIL, &zones::GALAPAGOS],
};

/// Families by workspace.
pub(crate) static FAMILIES: [&[&Family]; 4] = [
    &[&INDIAN],
    &[&LONDONER, &BERLINER, &SPANISH_MOBILE],
    &[&NEW_YORKER, &LONDONER],
    &[&SPANISH_MOBILE, &ECUADORIAN_MOBILE, &SYDNEYSIDER],
];

impl Family {
    /// The number of an index. Numbers of different indices differ while an index fits into the digits.
    pub(crate) fn number(&self, index: u64) -> PhoneNumber {
        // Spread, so that no number looks like a short code; odd, so that it maps indices one to one.
        let spread = 10_u64.pow(u32::try_from(self.digits).unwrap_or(0));
        let text = format!(
            "{}{:0width$}",
            self.prefix,
            (index * 7_919 + 2_345_678) % spread,
            width = self.digits
        );
        PhoneNumber::from_e164_shape(&text).unwrap_or_else(|| unreachable!("{text} has the shape of E.164"))
    }
}

/// The zones of a number of one of the families; none for any other number.
pub(crate) fn zones_of(number: &str) -> Option<&'static [&'static Zone]> {
    let mut families = FAMILIES.iter().flat_map(|families| families.iter());
    families
        .find(|family| number.starts_with(family.prefix))
        .map(|family| family.zones)
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_domain::phone;
    use std::collections::BTreeSet;

    #[test]
    fn families_are_callable_and_in_their_zones() {
        for family in FAMILIES.iter().flat_map(|families| families.iter()) {
            for index in [0, 1, 37, 100, 4_321] {
                let number = family.number(index);
                assert!(!phone::is_refused_destination(&number), "{}", number.as_str());
                let offsets = |at| -> BTreeSet<i64> { family.zones.iter().map(|zone| zone.civil(at).minute).collect() };
                let at = carillon_domain::time::UnixMicros::from_seconds(1_793_000_000);
                let known: BTreeSet<i64> = phone::zones(&number)
                    .iter()
                    .filter_map(|zone| Zone::named(zone.as_str()))
                    .map(|zone| zone.civil(at).minute)
                    .collect();
                assert_eq!(known, offsets(at), "{} {:?}", number.as_str(), phone::zones(&number));
            }
        }
    }
}
