//! Far ends to try: who they are, what they say, and the sound of it.

use crate::SPEECH_DB;
use carillon_domain::machine_detection::Class;
use carillon_media::line_conditions::{Dice, set_speech_level, trimmed};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TUNING: &str = include_str!("texts/tuning.txt");
const HELD_OUT: &str = include_str!("texts/held_out.txt");
const SECOND_HELD_OUT: &str = include_str!("texts/second_held_out.txt");
const RECORDED: &str = include_str!("texts/recorded.txt");
const RECORDINGS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";

/// A voice: its program with arguments, and what the room and telephone do to it.
type Voice = (&'static str, &'static [&'static str], &'static [&'static str]);

const PLAIN: &[&str] = &[];
const TELEPHONE: &[&str] = &["highpass", "300", "lowpass", "3300"];
const ROOM: &[&str] = &["reverb", "25"];

/// No voice stands in two sets, and no wording.
const TUNING_VOICES: &[Voice] = &[
    ("espeak-ng", &["-v", "en-us", "-s", "165"], PLAIN),
    ("espeak-ng", &["-v", "en-us+f3", "-s", "180"], TELEPHONE),
    ("espeak-ng", &["-v", "en-gb+m3", "-s", "150", "-p", "35"], PLAIN),
    ("flite", &["-voice", "kal"], TELEPHONE),
    ("flite", &["-voice", "rms"], ROOM),
];
const HELD_OUT_VOICES: &[Voice] = &[
    ("espeak-ng", &["-v", "en-gb-scotland+f2", "-s", "170"], PLAIN),
    (
        "espeak-ng",
        &["-v", "en-gb-x-rp+m7", "-s", "155", "-p", "60"],
        TELEPHONE,
    ),
    ("flite", &["-voice", "slt"], PLAIN),
    ("flite", &["-voice", "awb", "--setf", "duration_stretch=0.9"], ROOM),
    ("text2wave", &["-eval", "(voice_cmu_us_slt_arctic_hts)"], TELEPHONE),
    ("text2wave", &["-eval", "(voice_ked_diphone)"], PLAIN),
];

const SECOND_HELD_OUT_VOICES: &[Voice] = &[
    ("espeak-ng", &["-v", "en-029+f4", "-s", "160"], PLAIN),
    ("espeak-ng", &["-v", "en-gb-x-gbclan+m1", "-s", "175"], TELEPHONE),
    ("espeak-ng", &["-v", "en-us+f5", "-s", "195", "-p", "65"], ROOM),
    ("text2wave", &["-eval", "(voice_kal_diphone)"], PLAIN),
];

/// One thing said without a pause, and its words.
#[derive(Clone, Debug)]
pub(crate) struct Sentence {
    pub(crate) samples: Vec<i16>,
    pub(crate) words: String,
    /// The pause after it, in milliseconds.
    pub(crate) pause_ms: u64,
}

/// What a far end says before it waits for us.
#[derive(Clone, Debug)]
pub(crate) struct Turn(pub(crate) Vec<Sentence>);

impl Turn {
    pub(crate) fn words(&self) -> String {
        self.0
            .iter()
            .map(|sentence| sentence.words.as_str())
            .collect::<Vec<_>>()
            .join(" / ")
    }
}

/// One far end.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) class: Class,
    pub(crate) voice: String,
    pub(crate) turns: Vec<Turn>,
}

pub(crate) fn tuning() -> Vec<Script> {
    synthesised(TUNING, TUNING_VOICES)
}

pub(crate) fn held_out() -> Vec<Script> {
    synthesised(HELD_OUT, HELD_OUT_VOICES)
}

pub(crate) fn second_held_out() -> Vec<Script> {
    synthesised(SECOND_HELD_OUT, SECOND_HELD_OUT_VOICES)
}

fn lines(text: &str) -> impl Iterator<Item = (Class, &str)> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .filter_map(|line| {
            let (class, rest) = line.split_once('|')?;
            let class = serde_class(class.trim())?;
            Some((class, rest))
        })
}

fn serde_class(name: &str) -> Option<Class> {
    [
        ("human", Class::Human),
        ("voicemail", Class::Voicemail),
        ("screening", Class::Screening),
        ("menu", Class::Menu),
        ("network", Class::Network),
    ]
    .into_iter()
    .find(|(known, _)| *known == name)
    .map(|(_, class)| class)
}

fn synthesised(text: &str, voices: &[Voice]) -> Vec<Script> {
    let mut missing = BTreeSet::new();
    let mut scripts = Vec::new();
    for (index, (class, line)) in lines(text).enumerate() {
        for (number, voice) in voices.iter().enumerate() {
            let mut dice = Dice::new((index * 100 + number) as u64);
            let turns: Option<Vec<Turn>> = line
                .split('|')
                .map(|turn| synthesised_turn(turn, *voice, &mut dice))
                .collect();
            match turns {
                Some(turns) => scripts.push(Script {
                    class,
                    voice: format!("{} {}", voice.0, voice.1.join(" ")),
                    turns,
                }),
                None => drop(missing.insert(voice.0)),
            }
        }
    }
    for program in missing {
        println!("left out: {program} or sox is not installed");
    }
    scripts
}

fn synthesised_turn(turn: &str, voice: Voice, dice: &mut Dice) -> Option<Turn> {
    let mut sentences: Vec<Sentence> = Vec::new();
    for part in turn.split(" / ") {
        for (place, words) in part.split(" // ").enumerate() {
            if place > 0
                && let Some(before) = sentences.last_mut()
            {
                before.pause_ms = dice.between(800, 1_200);
            }
            sentences.push(Sentence {
                samples: spoken(voice, words.trim())?,
                words: words.trim().to_owned(),
                pause_ms: dice.between(150, 650),
            });
        }
    }
    Some(Turn(sentences))
}

/// The sound of a sentence, made once and kept below `target`.
fn spoken(voice: Voice, words: &str) -> Option<Vec<i16>> {
    let (program, arguments, effects) = voice;
    // FNV-1a: the same in every version.
    let key = format!("{program} {arguments:?} {effects:?} {words}");
    let hash = key.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    let folder = cache_folder();
    std::fs::create_dir_all(&folder).ok()?;
    let raw = folder.join(format!("{hash:016x}.raw"));
    if !raw.exists() {
        let wave = folder.join(format!("{hash:016x}.wav"));
        synthesise(program, arguments, words, &wave)?;
        convert(&wave, effects, &raw)?;
        std::fs::remove_file(&wave).ok()?;
    }
    let samples = read_raw(&raw)?;
    Some(levelled(&samples))
}

fn cache_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/machine-detection")
}

fn synthesise(program: &str, arguments: &[&str], words: &str, wave: &Path) -> Option<()> {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    match program {
        "espeak-ng" => command.arg("-w").arg(wave).arg(words),
        "flite" => command.arg("-t").arg(words).arg("-o").arg(wave),
        _ => {
            let text = wave.with_extension("txt");
            std::fs::write(&text, words).ok()?;
            command.arg(&text).arg("-o").arg(wave)
        }
    };
    command.status().ok()?.success().then_some(())
}

fn convert(wave: &Path, effects: &[&str], raw: &Path) -> Option<()> {
    // No dither: it would differ between runs.
    Command::new("sox")
        .arg("-D")
        .arg(wave)
        .args(["-t", "raw", "-r", "8000", "-c", "1", "-b", "16", "-e", "signed-integer"])
        .arg(raw)
        .args(effects)
        .stderr(Stdio::null())
        .status()
        .ok()?
        .success()
        .then_some(())
}

fn read_raw(path: &Path) -> Option<Vec<i16>> {
    let bytes = std::fs::read(path).ok()?;
    Some(
        bytes
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect(),
    )
}

fn levelled(samples: &[i16]) -> Vec<i16> {
    let mut samples = trimmed(samples, -50.0).to_vec();
    set_speech_level(&mut samples, SPEECH_DB);
    samples
}

/// Prompts recorded by a human voice, each said once with every condition.
pub(crate) fn recorded() -> Vec<Script> {
    if !Path::new(RECORDINGS).exists() {
        println!("left out: asterisk-core-sounds-en-wav is not installed");
        return Vec::new();
    }
    lines(RECORDED)
        .filter_map(|(class, line)| {
            let (files, words) = line.split_once('=')?;
            Some(Script {
                class,
                voice: "recorded".to_owned(),
                turns: vec![recorded_turn(files, words)?],
            })
        })
        .collect()
}

fn recorded_turn(files: &str, words: &str) -> Option<Turn> {
    let mut samples = Vec::new();
    for file in files.split_whitespace() {
        let raw = cache_folder().join(format!("{}.raw", file.replace('/', "-")));
        std::fs::create_dir_all(cache_folder()).ok()?;
        convert(&Path::new(RECORDINGS).join(format!("{file}.wav")), PLAIN, &raw)?;
        samples.extend(trimmed(&read_raw(&raw)?, -50.0));
        samples.extend([0; 1_200]);
    }
    Some(Turn(vec![Sentence {
        samples: levelled(&samples),
        words: words.trim().to_owned(),
        pause_ms: 0,
    }]))
}
