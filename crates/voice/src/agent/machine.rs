//! Who answered: the detector beside a conversation, and what its advice does to it.

use super::Line;
use super::brain::Heard;
use super::talk::Talk;
use carillon_domain::conversation::{AfterSpeech, SpokenText, VoiceEdge, VoiceEdges, VoiceSettings};
use carillon_domain::machine_detection::{Advice, Class, Detector, Evidence, Policy, Reaction, Signal};
use carillon_domain::script::TalkEnd;
use carillon_media::call_tones::CallTones;

/// With whom we talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stance {
    /// A person, as far as we know.
    Person,
    /// Nobody listens yet: the brain is not asked.
    Waiting,
    /// An assistant was told who calls.
    Announced,
    /// The message is being left.
    Leaving,
}

/// The detector and what feeds it.
pub(crate) struct Watch {
    detector: Detector,
    policy: Policy,
    edges: VoiceEdges,
    tones: CallTones,
    stance: Stance,
    message: Option<String>,
    screening_words: Option<String>,
    now_ms: u64,
}

impl Watch {
    pub(crate) fn new(
        policy: Policy,
        voice: VoiceSettings,
        message: Option<String>,
        screening_words: Option<String>,
    ) -> Self {
        Self {
            detector: Detector::new(policy.clone()),
            policy,
            edges: VoiceEdges::new(voice),
            tones: CallTones::new(),
            stance: Stance::Person,
            message,
            screening_words,
            now_ms: 0,
        }
    }

    pub(crate) fn wake_at_ms(&self) -> Option<u64> {
        self.detector.wake_at_ms()
    }

    /// Whether the brain is not to be asked: nobody is there to talk with.
    pub(crate) fn holds_the_brain(&self) -> bool {
        matches!(self.stance, Stance::Waiting | Stance::Leaving)
    }

    fn feed(&mut self, at_ms: u64, signal: Signal) -> Vec<Advice> {
        self.now_ms = self.now_ms.max(at_ms);
        self.detector.handle(self.now_ms, signal)
    }

    /// 20 ms of the far end.
    pub(crate) fn frame(&mut self, at_ms: u64, samples: &[i16], probability: f32, loudness_dbfs: f32) -> Vec<Advice> {
        let mut advice = Vec::new();
        if let Some(tone) = self.tones.push(samples) {
            advice.extend(self.feed(at_ms, Signal::Tone(tone)));
        }
        // A judge of voices may take a tone for one.
        let probability = if self.tones.sounds() { 0.0 } else { probability };
        let at = carillon_domain::conversation::CallMs(at_ms);
        match self.edges.frame(at, probability, loudness_dbfs) {
            Some(VoiceEdge::Started { since }) => {
                advice.extend(self.feed(at_ms, Signal::VoiceBegan { since_ms: since.0 }));
            }
            Some(VoiceEdge::Stopped { last_voice }) => {
                advice.extend(self.feed(at_ms, Signal::VoiceEnded { since_ms: last_voice.0 }));
            }
            None => {}
        }
        advice
    }
}

impl<L: Line> Talk<L> {
    async fn watch_signal(&mut self, signal: Signal) {
        let now = self.now_ms();
        let Some(watch) = self.watch.as_mut() else { return };
        let advice = watch.feed(now.0, signal);
        self.follow(advice).await;
    }

    pub(super) async fn watch_machine_tick(&mut self) {
        self.watch_signal(Signal::Tick).await;
    }

    pub(super) async fn watch_words(&mut self, text: &SpokenText, is_final: bool) {
        if self.watch.is_some() {
            let text = text.as_str().to_owned();
            self.watch_signal(Signal::Words { text, is_final }).await;
        }
    }

    pub(super) async fn watch_us(&mut self, begin: bool) {
        self.watch_signal(if begin { Signal::WeBegan } else { Signal::WeEnded })
            .await;
    }

    /// Does what the detector advises.
    pub(super) async fn follow(&mut self, advice: Vec<Advice>) {
        for advice in advice {
            if self.over {
                return;
            }
            match advice {
                Advice::Verdict(evidence) => self.verdict(evidence).await,
                // Turn taking decides when a person is spoken to.
                Advice::SpeakNow => {}
                Advice::StopTalking => {
                    self.fall_silent().await;
                    let nothing = self.nothing_to_say();
                    self.tell(nothing).await;
                }
                Advice::LeaveMessage { .. } => self.leave_message().await,
                Advice::Announce => self.announce().await,
                Advice::Press(digit) => self.line.press(digit).await,
                Advice::HangUp => self.hang_up_on_machine(),
            }
        }
    }

    async fn verdict(&mut self, evidence: Evidence) {
        metrics::counter!("carillon_answered_by_total", "class" => class_name(evidence.class)).increment(1);
        let class = evidence.class;
        self.findings.answered_by = Some(evidence);
        let Some(watch) = self.watch.as_mut() else { return };
        let before = watch.stance;
        watch.stance = match (watch.policy.reaction(class), before) {
            (_, Stance::Leaving) => Stance::Leaving,
            (Reaction::Continue | Reaction::HangUp, _) => Stance::Person,
            (Reaction::Announce, Stance::Announced) => Stance::Announced,
            (Reaction::LeaveMessage | Reaction::Announce | Reaction::Press { .. }, _) => Stance::Waiting,
        };
        // Whoever was taken for a machine, or came after one, has not been greeted.
        if watch.stance == Stance::Person && before != Stance::Person {
            let inputs = self.ask(Heard::Begin {
                greeting: String::new(),
            });
            self.tell(carillon_domain::conversation::TurnInput::BrainThinking).await;
            self.tell_all(inputs).await;
        }
    }

    async fn leave_message(&mut self) {
        let Some(watch) = self.watch.as_mut() else { return };
        let Some(message) = watch.message.clone() else {
            self.hang_up_on_machine();
            return;
        };
        watch.stance = Stance::Leaving;
        self.fall_silent().await;
        self.findings.end(TalkEnd::Machine {
            class: Class::Voicemail,
            message_left: true,
        });
        self.speak_out_of_turn(message, AfterSpeech::HangUp).await;
    }

    async fn announce(&mut self) {
        let Some(watch) = self.watch.as_mut() else { return };
        watch.stance = Stance::Announced;
        match watch.screening_words.clone() {
            Some(words) => self.speak_out_of_turn(words, AfterSpeech::Listen).await,
            None => {
                let inputs = self.ask(Heard::Begin {
                    greeting: String::new(),
                });
                self.tell(carillon_domain::conversation::TurnInput::BrainThinking).await;
                self.tell_all(inputs).await;
            }
        }
    }

    fn hang_up_on_machine(&mut self) {
        let class = self
            .findings
            .answered_by
            .as_ref()
            .map_or(Class::Undecided, |evidence| evidence.class);
        self.finish(match class {
            Class::Silence => TalkEnd::Silence,
            class => TalkEnd::Machine {
                class,
                message_left: false,
            },
        });
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Human => "human",
        Class::Voicemail => "voicemail",
        Class::Screening => "screening",
        Class::Menu => "menu",
        Class::Fax => "fax",
        Class::Network => "network",
        Class::Silence => "silence",
        Class::Undecided => "undecided",
    }
}
