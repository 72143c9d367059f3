//! G.711 (ITU-T G.711): 16-bit samples to and from mu-law and A-law bytes.
//!
//! Decoding is one table look-up. Encoding computes, as it only happens when a clip is prepared, never per packet.

use carillon_domain::trunk::Codec;

static MU_LAW: [i16; 256] = mu_law_table();
static A_LAW: [i16; 256] = a_law_table();

/// The byte that stands for silence.
pub const fn silence(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0xFF,
        Codec::Pcma => 0xD5,
    }
}

/// The static payload type (RFC 3551 table 4).
pub const fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
    }
}

/// Decodes one byte.
pub fn decode_byte(codec: Codec, byte: u8) -> i16 {
    match codec {
        Codec::Pcmu => MU_LAW[usize::from(byte)],
        Codec::Pcma => A_LAW[usize::from(byte)],
    }
}

/// Decodes `bytes` into `samples`; the shorter of the two says how many.
pub fn decode_into(codec: Codec, bytes: &[u8], samples: &mut [i16]) {
    let table = match codec {
        Codec::Pcmu => &MU_LAW,
        Codec::Pcma => &A_LAW,
    };
    for (sample, byte) in samples.iter_mut().zip(bytes) {
        *sample = table[usize::from(*byte)];
    }
}

/// Encodes one sample.
pub fn encode_sample(codec: Codec, sample: i16) -> u8 {
    match codec {
        Codec::Pcmu => mu_law_byte(sample),
        Codec::Pcma => a_law_byte(sample),
    }
}

/// Encodes samples, one byte each.
pub fn encode(codec: Codec, samples: &[i16]) -> Vec<u8> {
    samples.iter().map(|sample| encode_sample(codec, *sample)).collect()
}

const fn mu_law_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = mu_law_sample(byte as u8);
        byte += 1;
    }
    table
}

const fn a_law_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = a_law_sample(byte as u8);
        byte += 1;
    }
    table
}

/// Added before the logarithm so that every magnitude has a segment.
const MU_LAW_BIAS: i32 = 0x84;
const MU_LAW_LOUDEST: i32 = 32_635;

const fn mu_law_sample(byte: u8) -> i16 {
    let byte = !byte;
    let segment = (byte >> 4) & 0x07;
    let magnitude = (((byte as i32 & 0x0F) << 3) + MU_LAW_BIAS) << segment;
    let sample = magnitude - MU_LAW_BIAS;
    if byte & 0x80 == 0 {
        sample as i16
    } else {
        -sample as i16
    }
}

const fn mu_law_byte(sample: i16) -> u8 {
    let sample = sample as i32;
    let sign: u8 = if sample < 0 { 0x80 } else { 0 };
    let magnitude = if sample < 0 { -sample } else { sample };
    let magnitude = if magnitude > MU_LAW_LOUDEST {
        MU_LAW_LOUDEST
    } else {
        magnitude
    } + MU_LAW_BIAS;
    // The bias makes bit 7 the lowest possible leading bit, and the clip makes bit 14 the highest.
    let segment = 24 - magnitude.leading_zeros();
    let mantissa = (magnitude >> (segment + 3)) & 0x0F;
    !(sign | (segment as u8) << 4 | mantissa as u8)
}

const fn a_law_sample(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let segment = (byte >> 4) & 0x07;
    let mantissa = (byte as i32 & 0x0F) << 4;
    let magnitude = match segment {
        0 => mantissa + 0x08,
        _ => (mantissa + 0x108) << (segment - 1),
    };
    if byte & 0x80 == 0 {
        -magnitude as i16
    } else {
        magnitude as i16
    }
}

const fn a_law_byte(sample: i16) -> u8 {
    // Ones' complement below zero, so that -1 is the first step down as 0 is the first step up.
    let (sign, magnitude): (u8, i32) = if sample < 0 {
        (0, (!sample) as i32 >> 4)
    } else {
        (0x80, sample as i32 >> 4)
    };
    let coded = if magnitude < 16 {
        magnitude
    } else {
        let segment = 28 - magnitude.leading_zeros() as i32;
        (segment << 4) | ((magnitude >> (segment - 1)) & 0x0F)
    };
    (sign | coded as u8) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_another_implementation_on_every_byte_and_sample() {
        for byte in 0..=255_u8 {
            assert_eq!(
                vec![decode_byte(Codec::Pcmu, byte), decode_byte(Codec::Pcma, byte)],
                vec![reference_decode(Codec::Pcmu, byte), reference_decode(Codec::Pcma, byte)],
                "byte {byte:#04x}"
            );
        }
    }

    fn reference_decode(codec: Codec, byte: u8) -> i16 {
        use audio_codec::Decoder;
        let mut sample = [0];
        match codec {
            Codec::Pcmu => audio_codec::pcmu::PcmuDecoder::new().decode_into(&[byte], &mut sample),
            Codec::Pcma => audio_codec::pcma::PcmaDecoder::new().decode_into(&[byte], &mut sample),
        }
        .expect("a sample");
        sample[0]
    }

    #[test]
    fn known_values_of_the_recommendation() {
        // law, sample, byte: extremes, silence and the first step on either side of it
        let rows = [
            (Codec::Pcmu, 0, 0xFF),
            (Codec::Pcmu, 32_767, 0x80),
            (Codec::Pcmu, -32_768, 0x00),
            (Codec::Pcma, 0, 0xD5),
            (Codec::Pcma, -1, 0x55),
            (Codec::Pcma, 32_767, 0xAA),
            (Codec::Pcma, -32_768, 0x2A),
        ];
        for (codec, sample, byte) in rows {
            assert_eq!(encode_sample(codec, sample), byte, "{codec:?} {sample}");
        }
    }

    #[test]
    fn a_decoded_byte_encodes_to_itself() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            for byte in 0..=255_u8 {
                // Mu-law has two zeros, which no sample can tell apart.
                let expected = if codec == Codec::Pcmu && byte == 0x7F {
                    0xFF
                } else {
                    byte
                };
                assert_eq!(
                    encode_sample(codec, decode_byte(codec, byte)),
                    expected,
                    "{codec:?} {byte:#04x}"
                );
            }
        }
    }

    #[test]
    fn silence_decodes_to_next_to_nothing() {
        assert_eq!(decode_byte(Codec::Pcmu, silence(Codec::Pcmu)), 0);
        assert_eq!(decode_byte(Codec::Pcma, silence(Codec::Pcma)), 8);
    }

    proptest! {
        #[test]
        fn the_error_stays_within_half_a_step(sample: i16) {
            for codec in [Codec::Pcmu, Codec::Pcma] {
                let back = i32::from(decode_byte(codec, encode_sample(codec, sample)));
                let step = (i32::from(sample).abs() / 16).max(16);
                prop_assert!((back - i32::from(sample)).abs() <= step, "{codec:?} {sample} {back}");
            }
        }
    }
}
