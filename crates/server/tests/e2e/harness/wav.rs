//! WAV files: written for clips and soft phones, read from recordings.

use super::rtp::sine;

/// 16-bit samples of all channels, interleaved.
#[derive(Clone, Debug)]
pub(crate) struct Wav {
    pub(crate) channels: u16,
    pub(crate) rate_hz: u32,
    pub(crate) samples: Vec<i16>,
}

impl Wav {
    /// A tone of one channel at 8 kHz.
    pub(crate) fn tone(hz: f64, length_ms: u32) -> Self {
        let samples = (0..length_ms * 8).map(|at| sine(hz, at, 10_000.0)).collect();
        Self {
            channels: 1,
            rate_hz: 8_000,
            samples,
        }
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let data = u32::try_from(self.samples.len() * 2).expect("a short file");
        let frame = self.channels * 2;
        let mut file = Vec::new();
        file.extend(b"RIFF");
        file.extend((36 + data).to_le_bytes());
        file.extend(b"WAVEfmt ");
        file.extend(16_u32.to_le_bytes());
        file.extend(1_u16.to_le_bytes());
        file.extend(self.channels.to_le_bytes());
        file.extend(self.rate_hz.to_le_bytes());
        file.extend((self.rate_hz * u32::from(frame)).to_le_bytes());
        file.extend(frame.to_le_bytes());
        file.extend(16_u16.to_le_bytes());
        file.extend(b"data");
        file.extend(data.to_le_bytes());
        file.extend(self.samples.iter().flat_map(|sample| sample.to_le_bytes()));
        file
    }

    /// Reads a file of 16-bit PCM or G.711 mu-law. The text says what is wrong with it.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, String> {
        if file.get(..4) != Some(b"RIFF") || file.get(8..12) != Some(b"WAVE") {
            return Err("it is no WAV file".to_owned());
        }
        let mut format = None;
        let mut at = 12;
        while let (Some(name), Some(length)) = (file.get(at..at + 4), u32_at(file, at + 4)) {
            let length = usize::try_from(length).map_err(|error| error.to_string())?;
            let body = at + 8;
            match name {
                b"fmt " => {
                    format = Some((
                        u16_at(file, body),
                        u16_at(file, body + 2),
                        u32_at(file, body + 4),
                        u16_at(file, body + 14),
                    ))
                }
                b"data" => {
                    let Some((Some(tag), Some(channels), Some(rate_hz), Some(bits))) = format else {
                        return Err("its sound comes before its format".to_owned());
                    };
                    let data = file.get(body..body + length).ok_or_else(|| {
                        format!(
                            "its header says {length} bytes of sound, it has {}",
                            file.len().saturating_sub(body)
                        )
                    })?;
                    let samples = match (tag, bits) {
                        (1 | 0xfffe, 16) => data
                            .chunks_exact(2)
                            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                            .collect(),
                        (7, 8) => data.iter().map(|byte| super::rtp::from_mu_law(*byte)).collect(),
                        other => return Err(format!("its format {other:?} is not read here")),
                    };
                    return Ok(Self {
                        channels,
                        rate_hz,
                        samples,
                    });
                }
                _ => {}
            }
            at = body + length + length % 2;
        }
        Err("it has no sound".to_owned())
    }

    /// Length in milliseconds.
    pub(crate) fn length_ms(&self) -> u64 {
        let frames = self.samples.len() / usize::from(self.channels.max(1));
        u64::try_from(frames).unwrap_or(0) * 1_000 / u64::from(self.rate_hz.max(1))
    }

    /// The samples of one channel, from 0.
    pub(crate) fn channel(&self, number: usize) -> Vec<i16> {
        self.samples
            .iter()
            .skip(number)
            .step_by(usize::from(self.channels.max(1)))
            .copied()
            .collect()
    }

    /// How much of a channel's power is at `hz`: the largest share of any half second.
    pub(crate) fn loudest_share(&self, channel: usize, hz: f64) -> f64 {
        let samples = self.channel(channel);
        let window = usize::try_from(self.rate_hz / 2).unwrap_or(4_000);
        let shares = samples.chunks(window).filter(|chunk| chunk.len() == window);
        shares
            .map(|chunk| super::rtp::share_of_tone(chunk, f64::from(self.rate_hz), hz))
            .fold(0.0, f64::max)
    }
}

fn u16_at(file: &[u8], at: usize) -> Option<u16> {
    file.get(at..at + 2)
        .map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn u32_at(file: &[u8], at: usize) -> Option<u32> {
    file.get(at..at + 4)
        .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
