//! Moonshine: a stretch of sound into words, by an encoder over all of it and a decoder that gives a token at a time.

use super::models::{ModelProblem, Models, Part};
use super::resample::{Resampler, to_float};
use super::runtime;
use super::tokens::{BEGIN, END, Vocabulary};
use carillon_interfaces::speech::SAMPLE_RATE_HZ;
use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor};
use std::borrow::Cow;
use std::sync::Arc;

/// The rate that the model wants.
const MODEL_RATE_HZ: u32 = 16_000;
/// Tokens for each second of sound, beyond which the model repeats itself.
const TOKENS_PER_SECOND: f64 = 6.5;
/// Short words need some tokens too.
const TOKENS_MIN: usize = 8;
/// Less sound than this is made up with silence: the encoder looks at windows.
const SAMPLES_MIN: usize = MODEL_RATE_HZ as usize;
/// The decoder's layers, heads and size of a head.
const LAYERS: usize = 6;
const HEADS: i64 = 8;
const HEAD_SIZE: i64 = 36;

/// What was recognised.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recognised {
    /// Its words.
    pub(super) text: String,
    /// Mean natural logarithm of the probabilities of its tokens: 0 is certainty.
    pub(super) mean_log_probability: f32,
}

/// One recogniser. It computes on the thread that asks.
pub(super) struct Moonshine {
    encoder: Session,
    decoder: Session,
    vocabulary: Arc<Vocabulary>,
    resampler: Resampler,
    names: Names,
}

/// Names of the decoder's cache, made once: there are 24 of each.
struct Names {
    past: Vec<String>,
    present: Vec<String>,
}

impl Names {
    fn new() -> Self {
        let of = |prefix: &str| {
            (0..LAYERS)
                .flat_map(|layer| {
                    ["decoder.key", "decoder.value", "encoder.key", "encoder.value"]
                        .map(|tail| format!("{prefix}.{layer}.{tail}"))
                })
                .collect()
        };
        Self {
            past: of("past_key_values"),
            present: of("present"),
        }
    }

    /// Whether a place in the lists is of the encoder, whose cache is made once.
    fn is_of_encoder(place: usize) -> bool {
        place % 4 >= 2
    }
}

impl Moonshine {
    /// As many recognisers as wanted, from the models folder.
    pub(super) fn open(environment: &Environment, models: &Models, count: usize) -> Result<Vec<Self>, ModelProblem> {
        let encoder = models.checked_bytes(Part::Hearing, "encoder_model.ort")?;
        let decoder = models.checked_bytes(Part::Hearing, "decoder_model_merged.ort")?;
        let vocabulary = Arc::new(Vocabulary::read(
            &models.checked_bytes(Part::Hearing, "tokenizer.bin")?,
        )?);
        (0..count)
            .map(|_| {
                Ok(Self {
                    encoder: runtime::session(environment, &encoder)?,
                    decoder: runtime::session(environment, &decoder)?,
                    vocabulary: Arc::clone(&vocabulary),
                    resampler: Resampler::new(SAMPLE_RATE_HZ, MODEL_RATE_HZ),
                    names: Names::new(),
                })
            })
            .collect()
    }

    /// The words in a stretch of sound of at most about 15 s.
    pub(super) fn recognise(&mut self, sound: &[i16]) -> Result<Recognised, String> {
        if is_silent(sound) {
            return Ok(Recognised {
                text: String::new(),
                mean_log_probability: 0.0,
            });
        }
        let mut samples = self.resampler.apply(&to_float(sound));
        let seconds = samples.len() as f64 / f64::from(MODEL_RATE_HZ);
        if samples.len() < SAMPLES_MIN {
            samples.resize(SAMPLES_MIN, 0.0);
        }
        let tokens_max = ((seconds * TOKENS_PER_SECOND).ceil() as usize).max(TOKENS_MIN);
        self.decode(samples, tokens_max).map_err(|error| error.to_string())
    }

    fn decode(&mut self, samples: Vec<f32>, tokens_max: usize) -> ort::Result<Recognised> {
        let length = samples.len();
        let shape = [1_i64, length as i64];
        // Both models want a mask as long as the sound itself, the decoder too.
        let mask = Tensor::from_array((shape, vec![1_i64; length]))?;
        let samples = Tensor::from_array((shape, samples))?;
        let mut encoded = self.encoder.run(named([
            ("input_values", (&samples).into()),
            ("attention_mask", (&mask).into()),
        ]))?;
        let hidden = take(&mut encoded, "last_hidden_state")?;
        drop(encoded);

        let mut cache: Vec<DynValue> = Vec::with_capacity(self.names.past.len());
        for _ in &self.names.past {
            let empty = Tensor::<f32>::new(self.decoder.allocator(), [1, HEADS, 0, HEAD_SIZE])?;
            cache.push(empty.into_dyn());
        }
        let mut tokens = Vec::new();
        let mut log_probability = 0.0;
        let mut last = BEGIN;
        for step in 0..tokens_max {
            let token = Tensor::from_array(([1_i64, 1], vec![last]))?;
            let has_cache = Tensor::from_array(([1_i64], vec![step > 0]))?;
            let mut inputs = named([
                ("input_ids", (&token).into()),
                ("encoder_attention_mask", (&mask).into()),
                ("encoder_hidden_states", (&hidden).into()),
                ("use_cache_branch", (&has_cache).into()),
            ]);
            for (name, value) in self.names.past.iter().zip(&cache) {
                inputs.push((Cow::Borrowed(name.as_str()), value.into()));
            }
            let mut outputs = self.decoder.run(inputs)?;
            let (next, probability) = {
                let logits = outputs
                    .get("logits")
                    .ok_or_else(|| ort::Error::new("the decoder gives no logits"))?;
                likeliest(logits.try_extract_tensor::<f32>()?.1)
            };
            log_probability += probability;
            if next == END {
                tokens.push(next);
                break;
            }
            for (place, name) in self.names.present.iter().enumerate() {
                if step == 0 || !Names::is_of_encoder(place) {
                    cache[place] = take(&mut outputs, name)?;
                }
            }
            tokens.push(next);
            last = next;
        }
        Ok(Recognised {
            text: self.vocabulary.text(&tokens),
            mean_log_probability: log_probability / tokens.len().max(1) as f32,
        })
    }
}

/// Whether no 20 ms of it are louder than what G.711 makes of silence: -58 dBFS.
fn is_silent(sound: &[i16]) -> bool {
    const QUIET: u64 = 42;
    let power = |frame: &[i16]| {
        frame
            .iter()
            .map(|sample| u64::from(sample.unsigned_abs()).pow(2))
            .sum::<u64>()
    };
    sound
        .chunks(160)
        .all(|frame| power(frame) <= QUIET.pow(2) * frame.len() as u64)
}

type Inputs<'a> = Vec<(Cow<'a, str>, SessionInputValue<'a>)>;

fn named<'a, const N: usize>(inputs: [(&'static str, SessionInputValue<'a>); N]) -> Inputs<'a> {
    inputs
        .into_iter()
        .map(|(name, value)| (Cow::Borrowed(name), value))
        .collect()
}

fn take(outputs: &mut ort::session::SessionOutputs<'_>, name: &str) -> ort::Result<DynValue> {
    outputs
        .remove(name)
        .ok_or_else(|| ort::Error::new(format!("the model gives no `{name}`")))
}

/// The likeliest token and the natural logarithm of its probability.
fn likeliest(logits: &[f32]) -> (i64, f32) {
    let mut best = (END as usize, f32::NEG_INFINITY);
    for (index, logit) in logits.iter().enumerate() {
        if *logit > best.1 {
            best = (index, *logit);
        }
    }
    let sum: f32 = logits.iter().map(|logit| (logit - best.1).exp()).sum();
    (best.0 as i64, -sum.max(1.0).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_token_comes_with_its_probability() {
        let (token, log_probability) = likeliest(&[0.0, 2.0, 1.0]);
        assert_eq!(token, 1);
        let wanted = 1.0 / (1.0 + (-2.0_f32).exp() + (-1.0_f32).exp());
        assert!((log_probability.exp() - wanted).abs() < 1e-6);
        assert_eq!(likeliest(&[]).0, END, "nothing to choose from ends the text");
        assert_eq!(likeliest(&[f32::NAN; 3]).0, END);
    }
}
