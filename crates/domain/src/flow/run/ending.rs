//! Goodbye has been said, or is being said: a last word still counts.

use super::{FlowInput, FlowOutput, FlowRun, State};
use crate::conversation::Expect;
use crate::flow::grammar::{Intent, Phrase};
use crate::time::UnixMicros;

/// So many inputs after the goodbye, then it is over whatever happens.
const INPUTS_MAX: u8 = 6;

impl FlowRun {
    pub(super) fn while_ending(&mut self, inputs: u8, interrupted: bool, input: FlowInput) -> Vec<FlowOutput> {
        if inputs >= INPUTS_MAX {
            return self.finish("goodbye");
        }
        let stay = |run: &mut Self, interrupted: bool| {
            run.state = State::Ending {
                inputs: inputs + 1,
                interrupted,
            };
        };
        match input {
            FlowInput::SpeechFinished | FlowInput::Silence => self.finish("goodbye"),
            FlowInput::Heard { text } => {
                let last_word = self.last_word(&text);
                if let Some(text) = last_word {
                    stay(self, false);
                    return vec![self.say(text, Expect::Nothing, true, Vec::new())];
                }
                if interrupted {
                    return self.finish("goodbye");
                }
                stay(self, false);
                vec![FlowOutput::Wait]
            }
            FlowInput::Interrupted { .. } => {
                stay(self, true);
                vec![FlowOutput::Wait]
            }
            FlowInput::Keys(_) | FlowInput::ModelSaid { .. } | FlowInput::ModelFailed | FlowInput::Start => {
                stay(self, interrupted);
                vec![FlowOutput::Wait]
            }
            FlowInput::TimeUp | FlowInput::HungUp => self.finish("goodbye"),
        }
    }

    /// What to say to a wish that comes with the goodbye ("and don't call me again").
    fn last_word(&mut self, text: &str) -> Option<String> {
        match self.wish_in(text)?.intent {
            Intent::DoNotCall if !self.result.do_not_call => {
                self.result.do_not_call = true;
                self.result.call_back_at = None;
                Some(self.speech.phrase(&Phrase::WillNotCall))
            }
            Intent::Later if !self.result.do_not_call => {
                let moment = self.moment();
                let at = self.speech.call_back_time(text, &moment).ok()?;
                self.result.call_back_at = Some(UnixMicros(at.timestamp().as_microsecond()));
                Some(
                    self.speech
                        .phrase(&Phrase::WillCallBackAt(self.speech.speak_moment(&at, &moment))),
                )
            }
            Intent::WrongPerson if !self.result.wrong_person => {
                self.result.wrong_person = true;
                Some(self.speech.phrase(&Phrase::SorryWrongPerson))
            }
            _ => None,
        }
    }
}
