//! A call on a stage: turn taking with a mouth that plays at the speed of sound, in steps of 20 ms.

use super::super::*;
use crate::conversation::heard::SAMPLES_PER_MS;
use crate::language::Language;
use crate::script::Digit;

pub(super) const STEP_MS: u64 = 20;

/// A unit of ours that is played.
#[derive(Clone, Debug)]
struct Clip {
    unit: UnitNumber,
    length_ms: u64,
    played_ms: u64,
}

/// Turn taking and the driver's half that plays sound.
pub(super) struct Stage {
    pub(super) turns: Turns,
    pub(super) now_ms: u64,
    clips: Vec<Clip>,
    stopped: bool,
    next_unit: UnitNumber,
    /// Playback that stands still though it should run, and sound that is never made.
    pub(super) mute: bool,
}

impl Stage {
    pub(super) fn new(settings: TurnSettings) -> Self {
        Self {
            turns: Turns::new(settings, &Language::english()),
            now_ms: 0,
            clips: Vec::new(),
            stopped: false,
            next_unit: 0,
            mute: false,
        }
    }

    /// Whether sound of ours reaches the far end now.
    pub(super) fn is_playing(&self) -> bool {
        !self.stopped && !self.mute && !self.clips.is_empty()
    }

    pub(super) fn give(&mut self, input: TurnInput) -> Vec<TurnOutput> {
        let outputs = self.turns.handle(CallMs(self.now_ms), input);
        for output in &outputs {
            match output {
                TurnOutput::StopPlayback => self.stopped = true,
                TurnOutput::ResumeFrom { unit, sample } => {
                    self.stopped = false;
                    while self.clips.first().is_some_and(|clip| clip.unit != *unit) {
                        self.clips.remove(0);
                    }
                    if let Some(clip) = self.clips.first_mut() {
                        assert!(
                            sample / SAMPLES_PER_MS <= clip.played_ms,
                            "resumed ahead of what was played"
                        );
                        clip.played_ms = sample / SAMPLES_PER_MS;
                    }
                }
                TurnOutput::Interrupted(_) => {
                    self.clips.clear();
                    self.stopped = false;
                }
                _ => {}
            }
        }
        outputs
    }

    /// The brain says sentences of given lengths (0: by their letters).
    pub(super) fn say(
        &mut self,
        sentences: &[(&str, u64)],
        interruptible: bool,
        end: Option<SpeechEnd>,
    ) -> Vec<TurnOutput> {
        let mut units = Vec::new();
        let first = self.next_unit + 1;
        for (text, _) in sentences {
            self.next_unit += 1;
            units.push(Unit {
                number: self.next_unit,
                text: (*text).into(),
            });
        }
        let mut outputs = self.give(TurnInput::BrainSays {
            units,
            interruptible,
            end,
        });
        for (unit, (text, length_ms)) in (first..).zip(sentences) {
            let length_ms = match length_ms {
                0 => text.chars().count() as u64 * 60,
                length_ms => *length_ms,
            };
            self.clips.push(Clip {
                unit,
                length_ms,
                played_ms: 0,
            });
            if !self.mute {
                outputs.extend(self.give(TurnInput::SpeechMade {
                    unit,
                    samples: length_ms * SAMPLES_PER_MS,
                    complete: true,
                }));
            }
        }
        outputs
    }

    /// 20 ms pass.
    pub(super) fn step(&mut self) -> Vec<TurnOutput> {
        self.now_ms += STEP_MS;
        let mut outputs = Vec::new();
        if self.is_playing() {
            let clip = &mut self.clips[0];
            clip.played_ms = (clip.played_ms + STEP_MS).min(clip.length_ms);
            let (unit, played_ms, finished) = (clip.unit, clip.played_ms, clip.played_ms >= clip.length_ms);
            outputs.extend(self.give(TurnInput::PlaybackAt {
                unit,
                samples: played_ms * SAMPLES_PER_MS,
            }));
            if finished && self.clips.first().is_some_and(|clip| clip.unit == unit) {
                self.clips.remove(0);
                outputs.extend(self.give(TurnInput::PlaybackFinished { unit }));
            }
        }
        outputs.extend(self.give(TurnInput::Tick));
        outputs
    }
}

/// An output as a timeline writes it; `None` for those that timelines leave out.
pub(super) fn line(output: &TurnOutput) -> Option<String> {
    Some(match output {
        TurnOutput::WakeAt(_) | TurnOutput::AskPartial { .. } => return None,
        TurnOutput::SpeakFirst { heard } => format!("speak first [{}]", heard.as_str()),
        TurnOutput::BeginUtterance { utterance, pre_roll_ms } => format!("begin {utterance} pre-roll {pre_roll_ms}"),
        TurnOutput::EndUtterance { utterance } => format!("end {utterance}"),
        TurnOutput::DiscardUtterance { utterance } => format!("discard {utterance}"),
        TurnOutput::AskTurnJudge { pause } => format!("judge {pause}?"),
        TurnOutput::Duck => "duck".to_owned(),
        TurnOutput::Unduck => "unduck".to_owned(),
        TurnOutput::StopPlayback => "stop".to_owned(),
        TurnOutput::ResumeFrom { unit, sample } => format!("resume {unit} at {}", sample / SAMPLES_PER_MS),
        TurnOutput::Interrupted(Interruption {
            heard_text,
            unheard_text,
        }) => format!("interrupted [{}|{}]", heard_text.as_str(), unheard_text.as_str()),
        TurnOutput::TurnIs(turn) => {
            let mut text = format!("turn [{}] {:?}", turn.text.as_str(), turn.why);
            if !turn.keys.is_empty() {
                text.push_str(&format!(" keys {}", turn.keys.as_str()));
            }
            if turn.continues {
                text.push_str(&format!(" adds [{}]", turn.added.as_str()));
            }
            if turn.hearing != Hearing::Complete {
                text.push_str(&format!(" {:?}", turn.hearing));
            }
            text
        }
        TurnOutput::Reprompt { count } => format!("reprompt {count}"),
        TurnOutput::Nudge(nudge) => format!("nudge {nudge:?}"),
        TurnOutput::WrapUp { left_ms } => format!("wrap up, {left_ms} left"),
        TurnOutput::GiveUp => "give up".to_owned(),
        TurnOutput::HangUp(reason) => format!("hang up {reason:?}"),
    })
}

fn expect_of(word: &str) -> Expect {
    match word {
        "nothing" => Expect::Nothing,
        "yes-no" => Expect::YesNo,
        "choice" => Expect::Choice,
        "number" => Expect::Number,
        "date" => Expect::DateTime,
        "name" => Expect::Name,
        "open" => Expect::Open,
        _ => {
            let (at_least, at_most) = word.strip_prefix("digits-").unwrap().split_once('-').unwrap();
            Expect::Digits {
                at_least: at_least.parse().unwrap(),
                at_most: at_most.parse().unwrap(),
            }
        }
    }
}

fn event(stage: &mut Stage, text: &str) -> Vec<TurnOutput> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let numbered = || {
        let (number, words) = rest.split_once(' ').unwrap_or((rest, ""));
        (number.parse().unwrap(), words)
    };
    match word {
        "answered" => stage.give(TurnInput::Answered),
        "voice" => stage.give(TurnInput::VoiceStarted),
        "still" => stage.give(TurnInput::VoiceStopped),
        "partial" => {
            let (utterance, words) = numbered();
            stage.give(TurnInput::Partial {
                utterance,
                text: words.into(),
            })
        }
        "final" => {
            let (utterance, words) = numbered();
            stage.give(TurnInput::Final {
                utterance,
                text: words.into(),
            })
        }
        "failed" => stage.give(TurnInput::HearingFailed {
            utterance: rest.parse().unwrap(),
        }),
        "judge" => {
            let (pause, probability) = numbered();
            stage.give(TurnInput::TurnOver {
                pause,
                probability: probability.parse().unwrap(),
            })
        }
        "tick" => stage.give(TurnInput::Tick),
        "thinking" => stage.give(TurnInput::BrainThinking),
        "key" => stage.give(TurnInput::Key(Digit::parse(rest.chars().next().unwrap()).unwrap())),
        "ended" => stage.give(TurnInput::CallEnded),
        "mute" => {
            stage.mute = true;
            Vec::new()
        }
        // say EXPECT LENGTH_MS TEXT, with EXPECT `goodbye`, or `more` for an answer that goes on; `insist` cannot be interrupted.
        "say" | "insist" => {
            let mut words = rest.splitn(3, ' ');
            let (expect, length, text) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            let end = match expect {
                "more" => None,
                "goodbye" => Some(SpeechEnd {
                    expect: Expect::Nothing,
                    then: AfterSpeech::HangUp,
                }),
                kind => Some(SpeechEnd {
                    expect: expect_of(kind),
                    then: AfterSpeech::Listen,
                }),
            };
            stage.say(&[(text, length.parse().unwrap())], word == "say", end)
        }
        other => panic!("no such event: {other}"),
    }
}

/// Plays a timeline: `TIME < event` happens, `TIME > output` is awaited. The outputs must be those, no more and no fewer. The
/// settings begin with the agent speaking at once; returns the stage for further questions.
pub(super) fn check_with(settings: TurnSettings, timeline: &str) -> Stage {
    let mut stage = Stage::new(settings);
    let mut script: Vec<(u64, String)> = Vec::new();
    let mut expected = Vec::new();
    let mut until_ms = 0;
    for row in timeline.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (at, rest) = row.split_once(' ').unwrap();
        let at: u64 = at.parse().unwrap();
        until_ms = until_ms.max(at);
        let rest = rest.trim_start();
        if let Some(event) = rest.strip_prefix("< ") {
            script.push((at, event.to_owned()));
            expected.push(format!("{at} < {event}"));
        } else {
            expected.push(format!("{at} > {}", rest.strip_prefix("> ").unwrap()));
        }
    }
    let mut seen = Vec::new();
    let mut script = script.into_iter().peekable();
    loop {
        while let Some((at, text)) = script.next_if(|(at, _)| *at <= stage.now_ms) {
            seen.push(format!("{at} < {text}"));
            let now_ms = stage.now_ms;
            seen.extend(
                event(&mut stage, &text)
                    .iter()
                    .filter_map(line)
                    .map(|line| format!("{now_ms} > {line}")),
            );
        }
        if stage.now_ms >= until_ms {
            break;
        }
        let outputs = stage.step();
        seen.extend(
            outputs
                .iter()
                .filter_map(line)
                .map(|line| format!("{} > {line}", stage.now_ms)),
        );
    }
    assert_eq!(seen.join("\n"), expected.join("\n"));
    stage
}

/// [`check_with`] where the agent speaks at once, without a judge of sound.
pub(super) fn check(timeline: &str) -> Stage {
    check_with(plain_settings(), timeline)
}

pub(super) fn plain_settings() -> TurnSettings {
    let mut settings = TurnSettings {
        first_speaker: crate::conversation::FirstSpeaker::AgentAtOnce,
        ..TurnSettings::default()
    };
    settings.end_of_turn.has_judge = false;
    settings
}
