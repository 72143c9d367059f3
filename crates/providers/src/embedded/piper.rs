//! A Piper voice: phonemes into sound, at the voice's own rate.

use super::models::{ModelProblem, Models, Part};
use super::runtime;
use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest stretch that is synthesised at once, in phonemes; memory grows with it.
const PHONEMES_MAX: usize = 600;

/// What the voice's own description says.
#[derive(Deserialize)]
struct Description {
    audio: Audio,
    espeak: Espeak,
    inference: Inference,
    phoneme_id_map: BTreeMap<char, Vec<i64>>,
}

#[derive(Deserialize)]
struct Audio {
    sample_rate: u32,
}

#[derive(Deserialize)]
struct Espeak {
    voice: String,
}

#[derive(Deserialize)]
struct Inference {
    noise_scale: f32,
    length_scale: f32,
    noise_w: f32,
}

/// One voice. It computes on the thread that asks.
pub(super) struct Piper {
    session: Session,
    description: Arc<Description>,
}

/// What is known of a voice without computing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VoiceFacts {
    /// Samples a second of its sound.
    pub(super) sample_rate_hz: u32,
    /// The voice of espeak-ng that makes its phonemes.
    pub(super) phonemes_by: String,
}

impl Piper {
    /// As many copies of the voice as wanted, from the models folder.
    pub(super) fn open(
        environment: &Environment,
        models: &Models,
        count: usize,
    ) -> Result<(Vec<Self>, VoiceFacts), ModelProblem> {
        let described = models.checked_bytes(Part::Voice, "en_US-joe-medium.onnx.json")?;
        let description: Arc<Description> = serde_json::from_slice(&described)
            .map(Arc::new)
            .map_err(|_| ModelProblem::Malformed("the description of the Piper voice is not understood"))?;
        let model = models.checked_bytes(Part::Voice, "en_US-joe-medium.onnx")?;
        let voices = (0..count)
            .map(|_| {
                Ok(Self {
                    session: runtime::session(environment, &model)?,
                    description: Arc::clone(&description),
                })
            })
            .collect::<Result<_, ModelProblem>>()?;
        let facts = VoiceFacts {
            sample_rate_hz: description.audio.sample_rate,
            phonemes_by: description.espeak.voice.clone(),
        };
        Ok((voices, facts))
    }

    /// The sound of phonemes (IPA, with the punctuation that shapes the melody), from -1 to 1.
    pub(super) fn say(&mut self, phonemes: &str, speed_percent: u16) -> Result<Vec<f32>, String> {
        let ids = self.description.ids(phonemes);
        self.run(ids, speed_percent).map_err(|error| error.to_string())
    }

    fn run(&mut self, ids: Vec<i64>, speed_percent: u16) -> ort::Result<Vec<f32>> {
        let count = ids.len() as i64;
        let inference = &self.description.inference;
        let length_scale = inference.length_scale * 100.0 / f32::from(speed_percent.clamp(50, 200));
        let scales = vec![inference.noise_scale, length_scale, inference.noise_w];
        let outputs = self.session.run(ort::inputs![
            "input" => Tensor::from_array(([1_i64, count], ids))?,
            "input_lengths" => Tensor::from_array(([1_i64], vec![count]))?,
            "scales" => Tensor::from_array(([3_i64], scales))?,
        ])?;
        let output = outputs
            .get("output")
            .ok_or_else(|| ort::Error::new("the voice gives no `output`"))?;
        Ok(output.try_extract_tensor::<f32>()?.1.to_vec())
    }
}

impl Description {
    /// Numbers of phonemes as the voice was trained on them: a mark of the beginning, a blank after each, a mark of the end.
    /// What the voice has no number for is left out.
    fn ids(&self, phonemes: &str) -> Vec<i64> {
        let of = |phoneme: char| self.phoneme_id_map.get(&phoneme).into_iter().flatten().copied();
        let mut ids: Vec<i64> = of('^').chain(of('_')).collect();
        for phoneme in phonemes.chars().take(PHONEMES_MAX) {
            let mut any = false;
            for id in of(phoneme) {
                ids.push(id);
                any = true;
            }
            if any {
                ids.extend(of('_'));
            }
        }
        ids.extend(of('$'));
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phonemes_are_numbered_with_blanks_between_and_the_unknown_left_out() {
        let description: Description = serde_json::from_str(
            r#"{"audio":{"sample_rate":22050},"espeak":{"voice":"en-us"},
                "inference":{"noise_scale":0.667,"length_scale":1,"noise_w":0.8},
                "phoneme_id_map":{"_":[0],"^":[1],"$":[2]," ":[3],"a":[14],"b":[15]}}"#,
        )
        .expect("a description");
        assert_eq!(description.ids("a b♪"), [1, 0, 14, 0, 3, 0, 15, 0, 2]);
        assert_eq!(description.ids(""), [1, 0, 2]);
    }
}
