//! WAV and raw samples: writing an utterance as a file, and reading a voice's answer as it streams in.

use crate::resample::Resampler;
use carillon_interfaces::speech::SAMPLE_RATE_HZ;

const HEADER_BYTES_MAX: usize = 64 * 1024;

/// A WAV file of samples at [`SAMPLE_RATE_HZ`].
pub(crate) fn file_of(samples: &[i16]) -> Vec<u8> {
    let data_bytes = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX - 36);
    let mut file = Vec::with_capacity(44 + samples.len() * 2);
    file.extend(b"RIFF");
    file.extend((36 + data_bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes());
    file.extend(1u16.to_le_bytes());
    file.extend(1u16.to_le_bytes());
    file.extend(SAMPLE_RATE_HZ.to_le_bytes());
    file.extend((SAMPLE_RATE_HZ * 2).to_le_bytes());
    file.extend(2u16.to_le_bytes());
    file.extend(16u16.to_le_bytes());
    file.extend(b"data");
    file.extend(data_bytes.to_le_bytes());
    file.extend(bytes_of(samples));
    file
}

/// Samples as they stand on the wire: 16 bits, low byte first.
pub(crate) fn bytes_of(samples: &[i16]) -> impl Iterator<Item = u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes())
}

/// Sound that cannot be read; how so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) String);

/// Reads a stream of 16-bit sound, WAV or raw, and gives it at [`SAMPLE_RATE_HZ`], mono.
#[derive(Debug)]
pub(crate) struct SoundReader {
    raw_rate_hz: u32,
    state: State,
    held: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// Too little has come to tell what it is.
    Unknown,
    /// Inside a WAV file's header.
    Header,
    /// Samples.
    Sound { channels: usize, resampler: Resampler },
}

struct Format {
    channels: u16,
    rate_hz: u32,
}

impl SoundReader {
    /// A reader; sound without a header has `raw_rate_hz`.
    pub(crate) fn new(raw_rate_hz: u32) -> Self {
        Self {
            raw_rate_hz,
            state: State::Unknown,
            held: Vec::new(),
        }
    }

    /// Takes more of the stream, gives the samples that are ready.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, Unreadable> {
        self.held.extend_from_slice(bytes);
        if matches!(self.state, State::Unknown) && self.held.len() >= 4 {
            self.state = if self.held.starts_with(b"RIFF") {
                State::Header
            } else if self.held.starts_with(b"ID3") || self.held.starts_with(b"OggS") || self.held.starts_with(b"fLaC")
            {
                return Err(Unreadable("it is compressed; ask for `pcm` or `wav`".to_owned()));
            } else {
                State::Sound {
                    channels: 1,
                    resampler: Resampler::new(self.raw_rate_hz, SAMPLE_RATE_HZ),
                }
            };
        }
        if matches!(self.state, State::Header)
            && let Some((format, sound_from)) = read_header(&self.held)?
        {
            self.held.drain(..sound_from);
            self.state = State::Sound {
                channels: usize::from(format.channels),
                resampler: Resampler::new(format.rate_hz, SAMPLE_RATE_HZ),
            };
        }
        let State::Sound { channels, resampler } = &mut self.state else {
            return Ok(Vec::new());
        };
        let frame = *channels * 2;
        let whole = self.held.len() / frame * frame;
        let mono: Vec<i16> = self.held[..whole].chunks_exact(frame).map(mixed).collect();
        self.held.drain(..whole);
        Ok(resampler.push(&mono))
    }

    /// The stream is over: gives the rest.
    pub(crate) fn finish(self) -> Result<Vec<i16>, Unreadable> {
        match self.state {
            State::Sound { resampler, .. } => Ok(resampler.finish()),
            State::Unknown if self.held.is_empty() => Err(Unreadable("it holds no sound".to_owned())),
            State::Unknown | State::Header => Err(Unreadable("it ends before its sound".to_owned())),
        }
    }
}

fn mixed(frame: &[u8]) -> i16 {
    let samples = frame
        .chunks_exact(2)
        .map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]])));
    let count = i32::try_from(frame.len() / 2).unwrap_or(1);
    i16::try_from(samples.sum::<i32>() / count).unwrap_or(0)
}

/// The format and where the sound begins; `None`: more is needed. Lengths are not believed: who streams does not know them yet.
fn read_header(bytes: &[u8]) -> Result<Option<(Format, usize)>, Unreadable> {
    let bad = |what: &str| Unreadable(format!("its WAV header {what}"));
    if bytes.len() < 12 {
        return Ok(None);
    }
    if &bytes[8..12] != b"WAVE" {
        return Err(bad("is none"));
    }
    let mut format = None;
    let mut at = 12;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let body = at + 8;
        match &head[..4] {
            b"data" => {
                let format = format.ok_or_else(|| bad("has no format"))?;
                return Ok(Some((format, body)));
            }
            b"fmt " => {
                let Some(fields) = bytes.get(body..body + 16) else {
                    return Ok(None);
                };
                format = Some(read_format(fields)?);
            }
            _ => {}
        }
        at = body.saturating_add(length).saturating_add(length % 2);
        if at > HEADER_BYTES_MAX {
            return Err(bad("never ends"));
        }
    }
    Ok(None)
}

fn read_format(fields: &[u8]) -> Result<Format, Unreadable> {
    let word = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
    let rate_hz = u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]);
    let (kind, channels, bits) = (word(0), word(2), word(14));
    // 0xfffe says that the kind stands further behind; with 16 bits it is plain samples in practice.
    if !matches!(kind, 1 | 0xfffe)
        || bits != 16
        || !(1..=8).contains(&channels)
        || !(4_000..=192_000).contains(&rate_hz)
    {
        return Err(Unreadable(format!(
            "it is WAV of kind {kind}, {bits} bits, {channels} channels, {rate_hz} Hz; 16-bit PCM is needed"
        )));
    }
    Ok(Format { channels, rate_hz })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], piece: usize, raw_rate_hz: u32) -> Result<Vec<i16>, Unreadable> {
        let mut reader = SoundReader::new(raw_rate_hz);
        let mut samples = Vec::new();
        for part in bytes.chunks(piece) {
            samples.extend(reader.push(part)?);
        }
        samples.extend(reader.finish()?);
        Ok(samples)
    }

    fn wav(kind: u16, channels: u16, rate_hz: u32, bits: u16, more_chunks: &[u8], samples: &[i16]) -> Vec<u8> {
        let mut file = b"RIFF\xff\xff\xff\xffWAVE".to_vec();
        file.extend(more_chunks);
        file.extend(b"fmt ");
        file.extend(16u32.to_le_bytes());
        for word in [kind, channels] {
            file.extend(word.to_le_bytes());
        }
        file.extend(rate_hz.to_le_bytes());
        file.extend((rate_hz * 2).to_le_bytes());
        for word in [2, bits] {
            file.extend(word.to_le_bytes());
        }
        file.extend(b"data\xff\xff\xff\xff");
        file.extend(bytes_of(samples));
        file
    }

    #[test]
    fn what_is_written_is_read_however_it_is_cut() {
        let samples: Vec<i16> = (0..500).map(|n| n * 60 - 15_000).collect();
        let raw: Vec<u8> = bytes_of(&samples).collect();
        for piece in [1, 2, 3, 7, 44, 5_000] {
            assert_eq!(
                read(&file_of(&samples), piece, 8_000).unwrap(),
                samples,
                "a file in pieces of {piece}"
            );
            assert_eq!(read(&raw, piece, 8_000).unwrap(), samples, "raw in pieces of {piece}");
            let odd = b"LIST\x03\x00\x00\x00abc\x00";
            assert_eq!(
                read(&wav(1, 1, 8_000, 16, odd, &samples), piece, 24_000).unwrap(),
                samples
            );
        }
    }

    #[test]
    fn channels_are_mixed_and_rates_converted() {
        let stereo: Vec<i16> = (0..4_800).map(|n| if n % 2 == 0 { 3_000 } else { 1_000 }).collect();
        let out = read(&wav(0xfffe, 2, 24_000, 16, b"", &stereo), 100, 8_000).unwrap();
        assert!(out.len().abs_diff(800) <= 1, "{}", out.len());
        assert!(out[100..700].iter().all(|sample| sample.abs_diff(2_000) <= 2));
    }

    #[test]
    fn what_is_no_sound_is_named() {
        let samples = [1i16; 100];
        for (name, bytes) in [
            ("nothing", Vec::new()),
            ("3 bytes", b"abc".to_vec()),
            ("mp3", b"ID3\x04and more".to_vec()),
            ("ogg", b"OggS and more".to_vec()),
            ("half a header", file_of(&samples)[..30].to_vec()),
            ("RIFF, not WAVE", b"RIFF\x00\x00\x00\x00AVI and more".to_vec()),
            ("8 bits", wav(1, 1, 8_000, 8, b"", &samples)),
            ("floats", wav(3, 1, 8_000, 32, b"", &samples)),
            ("no channel", wav(1, 0, 8_000, 16, b"", &samples)),
            ("no rate", wav(1, 1, 0, 16, b"", &samples)),
            (
                "a chunk without end",
                wav(1, 1, 8_000, 16, b"JUNK\xff\xff\xff\x7f", &samples),
            ),
        ] {
            assert!(read(&bytes, 10, 8_000).is_err(), "{name}");
        }
    }
}
