//! The WAV header of recordings: two channels of 16-bit samples, 8,000 a second.
//!
//! It is a fixed 44 bytes, so that rewriting it in place keeps a growing file readable.

use crate::SAMPLE_RATE;

/// Length of the header in bytes.
pub const HEADER_BYTES: usize = 44;
/// Channels of a recording: the far end left, our side right.
pub const CHANNELS: u16 = 2;
/// Bytes of one sample of both channels.
pub const FRAME_BYTES: u64 = 4;

/// Why a file is no recording of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// Shorter than a header.
    #[error("the file is shorter than a WAV header")]
    TooShort,
    /// Another format.
    #[error("the file is not a two-channel 16-bit WAV of 8,000 samples a second")]
    OtherFormat,
}

/// The header of a file with `data_bytes` of samples. A file too long for the format (149 hours) says the most it can.
pub fn header(data_bytes: u64) -> [u8; HEADER_BYTES] {
    let data = u32::try_from(data_bytes).unwrap_or(u32::MAX).min(u32::MAX - 36);
    let block = CHANNELS * 2;
    let mut header = [0; HEADER_BYTES];
    header[0..4].copy_from_slice(b"RIFF");
    header[4..8].copy_from_slice(&(data + 36).to_le_bytes());
    header[8..16].copy_from_slice(b"WAVEfmt ");
    header[16..20].copy_from_slice(&16_u32.to_le_bytes());
    header[20..22].copy_from_slice(&1_u16.to_le_bytes());
    header[22..24].copy_from_slice(&CHANNELS.to_le_bytes());
    header[24..28].copy_from_slice(&SAMPLE_RATE.to_le_bytes());
    header[28..32].copy_from_slice(&(SAMPLE_RATE * u32::from(block)).to_le_bytes());
    header[32..34].copy_from_slice(&block.to_le_bytes());
    header[34..36].copy_from_slice(&16_u16.to_le_bytes());
    header[36..40].copy_from_slice(b"data");
    header[40..44].copy_from_slice(&data.to_le_bytes());
    header
}

/// What a recording cut off by a crash should be: its header and length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The header to write.
    pub header: [u8; HEADER_BYTES],
    /// The length to cut the file to: whole frames.
    pub file_bytes: u64,
    /// How long it plays, in milliseconds.
    pub duration_ms: u64,
}

/// Works out the repair of a file of `file_bytes` that starts with `start`.
pub fn repair(start: &[u8], file_bytes: u64) -> Result<Repair, NotOurs> {
    let found = start.first_chunk::<HEADER_BYTES>().ok_or(NotOurs::TooShort)?;
    let data = file_bytes.checked_sub(HEADER_BYTES as u64).ok_or(NotOurs::TooShort)?;
    let expected = header(0);
    let same = |range: std::ops::Range<usize>| found[range.clone()] == expected[range];
    if !(same(0..4) && same(8..40)) {
        return Err(NotOurs::OtherFormat);
    }
    let data = data - data % FRAME_BYTES;
    Ok(Repair {
        header: header(data),
        file_bytes: data + HEADER_BYTES as u64,
        duration_ms: duration_ms(data),
    })
}

/// How long `data_bytes` of samples play, in milliseconds.
pub fn duration_ms(data_bytes: u64) -> u64 {
    data_bytes / FRAME_BYTES * 1_000 / u64::from(SAMPLE_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_says_what_follows() {
        let header = header(32_000);
        assert_eq!(&header[..4], b"RIFF");
        assert_eq!(u32::from_le_bytes([header[4], header[5], header[6], header[7]]), 32_036);
        assert_eq!(header[22..24], [2, 0]);
        assert_eq!(header[24..28], 8_000_u32.to_le_bytes());
        assert_eq!(header[40..44], 32_000_u32.to_le_bytes());
        assert_eq!(duration_ms(32_000), 1_000);
    }

    #[test]
    fn a_cut_off_file_gets_the_length_it_has() {
        let mut file = header(0).to_vec();
        file.resize(HEADER_BYTES + 32_003, 1);
        let repair = repair(&file, file.len() as u64).expect("ours");
        assert_eq!(
            (repair.header, repair.file_bytes, repair.duration_ms),
            (header(32_000), 32_044, 1_000)
        );
    }

    #[test]
    fn other_files_are_left_alone() {
        assert_eq!(repair(&header(0)[..43], 43), Err(NotOurs::TooShort));
        let mut mono = header(0);
        mono[22] = 1;
        assert_eq!(repair(&mono, 44), Err(NotOurs::OtherFormat));
    }

    proptest! {
        #[test]
        fn any_file_is_repaired_or_refused(start in proptest::collection::vec(any::<u8>(), 0..60), file_bytes: u64) {
            let _ = repair(&start, file_bytes);
            let _ = header(file_bytes);
        }
    }
}
