//! How many conversations this machine can hear and answer, from what its models were seen to cost.

use super::moonshine::Moonshine;
use super::piper::{Piper, VoiceFacts};
use super::resample::Resampler;
use carillon_interfaces::speech::SAMPLE_RATE_HZ;
use rustix::time::{ClockId, clock_gettime};

/// "I am calling about your appointment on Friday at half past two." in the voice's phonemes.
const SENTENCE: &str = "aɪɐm kˈɔːlɪŋ ɐbˌaʊt jʊɹ ɐpˈɔɪntmənt ˌɔn fɹˈaɪdeɪ æt hˈæf pˈæst tˈuː.";
/// Seconds of a core for a second of sound, as measured on the machine that the design was made on.
const HEARING_AS_DESIGNED: f64 = 0.025;
const SPEAKING_AS_DESIGNED: f64 = 0.09;

/// How much of a conversation the far end talks, and we.
const SHARE_TALKING: f64 = 0.4;
/// How often a second of the far end's speech is recognised: partials while it grows, and the whole.
const TIMES_HEARD: f64 = 3.0;
/// How much of what we say is said for the first time; the rest is kept from before.
const SHARE_NEW: f64 = 0.5;
/// Seconds of a core for each second of a conversation, for the judges of voice and turn.
const JUDGES: f64 = 0.015;
/// How much of the machine conversations may take: beyond it they wait for each other too long.
const SHARE_OF_CORES: f64 = 0.6;

/// Seconds of a core for each second of sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// To recognise it once.
    pub hearing: f64,
    /// To synthesise it.
    pub speaking: f64,
    /// Whether this machine was measured, rather than the one of the design.
    pub is_measured: bool,
}

impl Costs {
    /// What is taken where nothing can be measured.
    pub(super) fn as_designed() -> Self {
        Self {
            hearing: HEARING_AS_DESIGNED,
            speaking: SPEAKING_AS_DESIGNED,
            is_measured: false,
        }
    }

    /// Says a sentence and hears it again. Counts the processor's time, so that a busy machine measures the same as an idle one,
    /// and takes the second run: the first allocates.
    pub(super) fn measure(piper: &mut Piper, facts: &VoiceFacts, moonshine: &mut Moonshine) -> Option<Self> {
        let mut costs = None;
        for _ in 0..2 {
            let began = core_seconds();
            let sound = piper.say(SENTENCE, 100).ok()?;
            let sound = Resampler::new(facts.sample_rate_hz, SAMPLE_RATE_HZ).apply(&sound);
            let said = core_seconds();
            let sound: Vec<i16> = sound.iter().map(|sample| (sample * 32_767.0) as i16).collect();
            moonshine.recognise(&sound).ok()?;
            let heard = core_seconds();
            let seconds = sound.len() as f64 / f64::from(SAMPLE_RATE_HZ);
            costs = (seconds > 0.5).then(|| Self {
                hearing: (heard - said) / seconds,
                speaking: (said - began) / seconds,
                is_measured: true,
            });
        }
        costs
    }

    /// Conversations that so many cores can hear and answer at once; at least one.
    pub fn conversations(self, cores: usize) -> u32 {
        let each = SHARE_TALKING * (TIMES_HEARD * self.hearing + SHARE_NEW * self.speaking) + JUDGES;
        ((cores as f64 * SHARE_OF_CORES / each) as u32).max(1)
    }
}

/// Processor time of this thread, in seconds.
fn core_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_follow_from_costs_and_cores() {
        let costs = |hearing, speaking| Costs {
            hearing,
            speaking,
            is_measured: true,
        };
        // hearing, speaking, cores, conversations
        let rows = [
            (0.025, 0.09, 2, 19),
            (0.025, 0.09, 8, 76),
            (0.5, 1.0, 2, 1),
            (5.0, 9.0, 1, 1),
        ];
        for (hearing, speaking, cores, wanted) in rows {
            assert_eq!(
                costs(hearing, speaking).conversations(cores),
                wanted,
                "{hearing} {speaking} {cores}"
            );
        }
    }
}
