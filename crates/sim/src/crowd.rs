//! The crowd: what the far end of each call does, drawn from the seed.

use crate::dice::Dice;
use carillon_domain::call::{CallFailure, WireState};
use std::time::Duration;

/// What the far end does with an INVITE. Times count from the INVITE.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    /// Nothing leaves: the trunk's name does not resolve.
    NotSent,
    /// No response at all.
    Silence,
    /// It rings (or not), and a final response that is no 2xx comes.
    Fails {
        rings_at: Option<Duration>,
        after: Duration,
        code: u16,
        retry_after_s: Option<u32>,
    },
    /// It rings until it is cancelled.
    RingsOut { rings_at: Duration, crosses: bool },
    /// Somebody answers.
    Answers {
        rings_at: Option<Duration>,
        early_media: bool,
        after: Duration,
        then: Person,
    },
}

/// What somebody who answered does. Times count from the beginning of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Person {
    /// Listens until the script is over.
    Listens { script: Duration },
    /// Presses a key whose action ends the script.
    Presses { key: Key, after: Duration },
    /// Presses the do-not-call key and hangs up before the confirmation has been played.
    PressesAndHangsUp { after: Duration },
    /// Hangs up.
    HangsUp { after: Duration },
    /// Hangs up at the very end of the script, so that two BYEs cross.
    HangsUpAtTheEnd { script: Duration },
    /// Stays on the line until somebody ends it.
    Stays,
    /// Its sound stops.
    SoundStops { after: Duration },
    /// A clip of the script cannot be played.
    ClipFails { after: Duration },
    /// Its SDP cannot be used.
    BadSdp,
}

/// Keys of the script that every agent here reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Mark,
    DoNotCall,
    CallBack { after_s: u32 },
    FollowUp { after_s: u32 },
    Nothing,
}

impl Reaction {
    /// The reaction to one attempt.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let ringing = Some(dice.ms(80, 6_000)).filter(|_| dice.chance(850));
        let slow = dice.chance(80);
        let ring_for = if slow {
            dice.ms(8_000, 19_000)
        } else {
            dice.ms(500, 9_000)
        };
        let rang = ringing.unwrap_or_default();
        let fails = |code, rings_at: Option<Duration>, retry_after_s, dice: &mut Dice| Self::Fails {
            rings_at,
            after: rings_at.unwrap_or_default() + dice.ms(60, 4_000),
            code,
            retry_after_s,
        };
        match dice.below(1_000) {
            0..610 => Self::Answers {
                rings_at: ringing,
                early_media: dice.chance(150),
                after: rang + ring_for,
                then: Person::draw(dice),
            },
            610..690 => fails(
                if dice.chance(850) { 486 } else { 600 },
                ringing.filter(|_| dice.chance(300)),
                None,
                dice,
            ),
            690..720 => fails(603, ringing, None, dice),
            720..850 => Self::RingsOut {
                rings_at: dice.ms(80, 7_000),
                crosses: dice.chance(150),
            },
            850..875 => fails(404, None, None, dice),
            875..920 => fails(480, ringing, None, dice),
            920..945 => {
                let retry_after = dice
                    .chance(600)
                    .then(|| u32::try_from(dice.between(5, 900)).unwrap_or(5));
                fails(503, None, retry_after, dice)
            }
            945..965 => fails(500, ringing.filter(|_| dice.chance(300)), None, dice),
            965..985 => Self::Silence,
            _ => Self::NotSent,
        }
    }
}

impl Person {
    fn draw(dice: &mut Dice) -> Self {
        let after = dice.ms(900, 14_000);
        let script = dice.ms(12_000, 40_000);
        let press = |key| Self::Presses { key, after };
        match dice.below(1_000) {
            0..380 => Self::Listens { script },
            380..500 => press(Key::Mark),
            500..545 => press(Key::DoNotCall),
            545..590 => press(Key::CallBack {
                after_s: u32::try_from(dice.between(60, 5_400)).unwrap_or(60),
            }),
            590..635 => press(Key::FollowUp {
                after_s: u32::try_from(dice.between(60, 7_200)).unwrap_or(60),
            }),
            635..665 => press(Key::Nothing),
            665..685 => Self::PressesAndHangsUp { after },
            685..860 => Self::HangsUp { after },
            860..900 => Self::HangsUpAtTheEnd { script },
            900..915 => Self::Stays,
            915..955 => Self::SoundStops { after },
            955..975 => Self::ClipFails { after },
            _ => Self::BadSdp,
        }
    }
}

/// The failure that a final response makes.
pub(crate) fn failure(code: u16, rang: bool, retry_after_s: Option<u32>) -> CallFailure {
    CallFailure {
        code: Some(code),
        reason: format!("response {code}"),
        reason_header: (code == 486).then(|| "Q.850;cause=17".to_owned()),
        retry_after_s,
        rang,
        wire: WireState::Final,
    }
}

/// The failure of an INVITE that nobody answers in any way.
pub(crate) fn no_response() -> CallFailure {
    CallFailure {
        code: None,
        reason: "no response".to_owned(),
        reason_header: None,
        retry_after_s: None,
        rang: false,
        wire: WireState::Unknown,
    }
}
