//! Our own words, for what a flow need not write.

use crate::flow::answer::{AnswerType, NotUnderstood};
use crate::flow::grammar::Phrase;

pub(super) fn say(phrase: &Phrase<'_>) -> String {
    match phrase {
        Phrase::Silence => "Sorry, I did not hear anything.".to_owned(),
        Phrase::Why(reason, wanted) => why(reason, wanted),
        Phrase::DidYouSay(answer) => format!("Did you say {answer}?"),
        Phrase::WhenToCallBack => "Sure. When shall we call you back?".to_owned(),
        Phrase::WillCallBackAt(at) => format!("All right, we will call you {at}. Goodbye."),
        Phrase::WillCallBack => "All right, we will try again later. Goodbye.".to_owned(),
        Phrase::WillNotCall => "I understand. We will not call you again. Goodbye.".to_owned(),
        Phrase::SorryWrongPerson => "I am sorry for the mistake. Goodbye.".to_owned(),
        Phrase::WillPassOn => "I will pass that on, and somebody will get back to you. Goodbye.".to_owned(),
        Phrase::Goodbye => "Thank you. Goodbye.".to_owned(),
        Phrase::TakeYourTime => "Sure, take your time.".to_owned(),
        Phrase::StillThere => "Are you still there?".to_owned(),
        Phrase::WhoWeAre { company: Some(company) } => format!("I am an automated assistant calling for {company}."),
        Phrase::WhoWeAre { company: None } => "I am an automated assistant.".to_owned(),
        Phrase::GivingUp => "I am sorry, we are not getting anywhere. Goodbye.".to_owned(),
        Phrase::PleaseAnswer => "Please tell me your answer.".to_owned(),
        Phrase::Trouble => "I am sorry, I have a technical problem. We will be in touch. Goodbye.".to_owned(),
    }
}

fn why(reason: &NotUnderstood, wanted: &AnswerType) -> String {
    match reason {
        NotUnderstood::Nothing => "Sorry, I did not hear anything.".to_owned(),
        NotUnderstood::DoesNotKnow => "That is all right.".to_owned(),
        NotUnderstood::NoAnswer => match wanted {
            AnswerType::YesNo => "Sorry, is that a yes or a no?".to_owned(),
            AnswerType::Options { options } => {
                let names: Vec<&str> = options.iter().map(crate::flow::answer::Choice::name).collect();
                if names.len() <= 4 {
                    format!("Sorry, I did not get that. You can say {}.", list(&names, "or"))
                } else {
                    "Sorry, I did not get that.".to_owned()
                }
            }
            _ => "Sorry, I did not get that.".to_owned(),
        },
        NotUnderstood::Ambiguous(names) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("Do you mean {}?", list(&names, "or"))
        }
        NotUnderstood::TooFewDigits { .. } | NotUnderstood::TooManyDigits => match wanted {
            AnswerType::Digits { at_least, at_most } if at_least == at_most => {
                format!("I need {} digits.", super::spoken::integer(u64::from(*at_least)))
            }
            AnswerType::Digits { at_least, at_most } => format!(
                "I need {} to {} digits.",
                super::spoken::integer(u64::from(*at_least)),
                super::spoken::integer(u64::from(*at_most))
            ),
            _ => "Sorry, that is not the right number of digits.".to_owned(),
        },
        NotUnderstood::TooSmall(bound) => format!("It has to be at least {bound}."),
        NotUnderstood::TooLarge(bound) => format!("It can be at most {bound}."),
        NotUnderstood::NotWhole => "It has to be a whole number.".to_owned(),
        NotUnderstood::InThePast => "That has already passed.".to_owned(),
        NotUnderstood::TooFar(bound) => format!("It can be no later than {bound}."),
        NotUnderstood::OutsideHours(from, to) => format!("It has to be between {from} and {to}."),
        NotUnderstood::TimeMissing(_) => "At what time?".to_owned(),
        NotUnderstood::DateMissing(_) => "On which day?".to_owned(),
        NotUnderstood::NoSuchDate => "There is no such day.".to_owned(),
    }
}

/// "a, b or c".
pub(super) fn list(names: &[&str], word: &str) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [head @ .., last] => format!("{} {word} {last}", head.join(", ")),
    }
}
