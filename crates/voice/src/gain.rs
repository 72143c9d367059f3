//! Loudness of encoded sound: a table from byte to byte for each step, so that a media thread computes nothing.

use carillon_domain::trunk::Codec;
use carillon_media::g711;
use std::sync::LazyLock;

/// A step of loudness, 1.5 dB each; [`SILENT`] is none at all.
pub(crate) type Level = u8;

/// As recorded.
pub(crate) const FULL: Level = 0;
/// Nothing is heard.
pub(crate) const SILENT: Level = 20;
/// Samples between two steps of a ramp: 5 ms, four of them to a frame.
pub(crate) const BLOCK_SAMPLES: usize = 40;

const LEVELS: usize = SILENT as usize + 1;

type Table = [[u8; 256]; LEVELS];

static MU_LAW: LazyLock<Box<Table>> = LazyLock::new(|| table(Codec::Pcmu));
static A_LAW: LazyLock<Box<Table>> = LazyLock::new(|| table(Codec::Pcma));

fn table(codec: Codec) -> Box<Table> {
    let mut table = Box::new([[0; 256]; LEVELS]);
    for (level, row) in table.iter_mut().enumerate() {
        let factor = match level {
            0 => 1.0,
            level if level == usize::from(SILENT) => 0.0,
            level => 10_f32.powf(-1.5 * level as f32 / 20.0),
        };
        for byte in 0..=u8::MAX {
            let sample = f32::from(g711::decode_byte(codec, byte)) * factor;
            row[usize::from(byte)] = match level {
                0 => byte,
                level if level == usize::from(SILENT) => g711::silence(codec),
                _ => g711::encode_sample(codec, sample as i16),
            };
        }
    }
    table
}

/// Makes the tables, so that no media thread has to.
pub(crate) fn prepare() {
    LazyLock::force(&MU_LAW);
    LazyLock::force(&A_LAW);
}

/// The step that is about so many decibels below full, never silent.
pub(crate) fn level_of_decibels(decibels: u8) -> Level {
    (u16::from(decibels) * 2 / 3).min(u16::from(SILENT) - 1) as Level
}

/// Makes encoded sound quieter in place.
pub(crate) fn apply(codec: Codec, level: Level, bytes: &mut [u8]) {
    if level == FULL {
        return;
    }
    let table = match codec {
        Codec::Pcmu => &MU_LAW,
        Codec::Pcma => &A_LAW,
    };
    let row = &table[usize::from(level.min(SILENT))];
    for byte in bytes {
        *byte = row[usize::from(*byte)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_media::tone;

    fn decibels(codec: Codec, bytes: &[u8]) -> f64 {
        let energy: f64 = bytes
            .iter()
            .map(|byte| f64::from(g711::decode_byte(codec, *byte)).powi(2))
            .sum();
        10.0 * (energy / bytes.len() as f64).log10()
    }

    #[test]
    fn each_level_is_as_quiet_as_it_says_in_both_laws() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let sound = g711::encode(codec, &tone::sine(440.0, 8_000, 200));
            let full = decibels(codec, &sound);
            for wanted in [0, 3, 6, 12, 18, 24] {
                let mut quieter = sound.clone();
                apply(codec, level_of_decibels(wanted), &mut quieter);
                let fell = full - decibels(codec, &quieter);
                assert!((fell - f64::from(wanted)).abs() < 0.4, "{codec:?} {wanted} dB: {fell}");
            }
            let mut silent = sound.clone();
            apply(codec, SILENT, &mut silent);
            assert!(silent.iter().all(|byte| *byte == g711::silence(codec)));
        }
        assert_eq!(level_of_decibels(255), SILENT - 1, "ducking never silences");
    }
}
