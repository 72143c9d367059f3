//! The callees of a forecast: who answers, and for how long.

use crate::agent::Agent;
use crate::call::Outcome;
use crate::ids::RecordId;
use std::time::Duration;

/// What is assumed of the callees, and how far a forecast looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumptions {
    /// Share of attempts that somebody answers, 0 to 1.
    pub answer_rate: f64,
    /// Share of attempts that end busy, 0 to 1.
    pub busy_rate: f64,
    /// Share of attempts that the network does not connect, 0 to 1. The rest ring out.
    pub not_connected_rate: f64,
    /// Mean time from the INVITE to an answer, in seconds. Each callee takes half of it to one and a half times as long.
    pub ring_s: u32,
    /// Mean length of an answered call, in seconds; spread in the same way.
    pub talk_s: u32,
    /// Chooses the callees.
    pub seed: u64,
    /// How many days it looks ahead.
    pub days: u32,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            answer_rate: 0.3,
            busy_rate: 0.05,
            not_connected_rate: 0.05,
            ring_s: 12,
            talk_s: 60,
            seed: 1,
            days: 60,
        }
    }
}

/// Longest time that may be assumed of a call, in seconds.
const SECONDS_MAX: u32 = 7_200;
/// Farthest that a forecast looks, in days.
const DAYS_MAX: u32 = 400;

/// What is wrong with assumptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssumptionProblem {
    /// A share outside 0 to 1.
    #[error("{0} must be between 0 and 1")]
    Share(&'static str),
    /// The shares add up to more than everything.
    #[error("answer_rate, busy_rate and not_connected_rate must not add up to more than 1")]
    Sum,
    /// A time of 0, or above two hours.
    #[error("{0} must be between 1 and {SECONDS_MAX} seconds")]
    Seconds(&'static str),
    /// No day, or too many.
    #[error("days must be between 1 and {DAYS_MAX}")]
    Days,
}

impl AssumptionProblem {
    /// The field to blame.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Share(field) | Self::Seconds(field) => field,
            Self::Sum => "answer_rate",
            Self::Days => "days",
        }
    }
}

impl Assumptions {
    /// Checks what types cannot.
    pub fn check(&self) -> Result<(), AssumptionProblem> {
        let shares = [
            ("answer_rate", self.answer_rate),
            ("busy_rate", self.busy_rate),
            ("not_connected_rate", self.not_connected_rate),
        ];
        for (name, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return Err(AssumptionProblem::Share(name));
            }
        }
        // A sum of decimal fractions may pass 1 by its last bit.
        if shares.iter().map(|(_, share)| share).sum::<f64>() > 1.0 + 1e-9 {
            return Err(AssumptionProblem::Sum);
        }
        for (name, seconds) in [("ring_s", self.ring_s), ("talk_s", self.talk_s)] {
            if !(1..=SECONDS_MAX).contains(&seconds) {
                return Err(AssumptionProblem::Seconds(name));
            }
        }
        if !(1..=DAYS_MAX).contains(&self.days) {
            return Err(AssumptionProblem::Days);
        }
        Ok(())
    }
}

/// How long the network takes to say that it is busy, or cannot be connected.
const REFUSAL: Duration = Duration::from_secs(2);

/// What one callee does on one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reaction {
    pub(super) outcome: Outcome,
    /// From the INVITE to the answer, or to the end of a call that is not answered.
    pub(super) ring: Duration,
    /// From answer to end; zero when it is not answered.
    pub(super) talk: Duration,
}

impl Reaction {
    pub(super) fn of(assumptions: &Assumptions, agent: &Agent, record: RecordId, attempt: u32) -> Self {
        let mut dice = Dice::of(assumptions.seed, record, attempt);
        let drawn = dice.share();
        let unanswered = |outcome, ring| Self {
            outcome,
            ring,
            talk: Duration::ZERO,
        };
        let ring_max = Duration::from_secs(u64::from(agent.ring_timeout_s));
        if drawn < assumptions.answer_rate {
            return Self {
                outcome: Outcome::AgentHungUp,
                ring: dice.around(assumptions.ring_s).min(ring_max),
                talk: dice
                    .around(assumptions.talk_s)
                    .min(Duration::from_secs(u64::from(agent.max_duration_s))),
            };
        }
        let drawn = drawn - assumptions.answer_rate;
        if drawn < assumptions.busy_rate {
            return unanswered(Outcome::Busy, REFUSAL);
        }
        if drawn - assumptions.busy_rate < assumptions.not_connected_rate {
            return unanswered(Outcome::NotConnected, REFUSAL);
        }
        unanswered(Outcome::NoAnswer, ring_max)
    }
}

/// Numbers that follow from a seed, a record and an attempt alone (`SplitMix64`): the order of calls changes nobody.
struct Dice(u64);

impl Dice {
    fn of(seed: u64, record: RecordId, attempt: u32) -> Self {
        let (high, low) = record.uuid().as_u64_pair();
        let mut dice = Self(seed);
        for part in [high, low, u64::from(attempt)] {
            dice.0 ^= part;
            dice.0 = dice.next();
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to but not including 1.
    fn share(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(u32::MAX)) / 4_294_967_296.0
    }

    /// Half of `mean_s` seconds to one and a half times as long.
    fn around(&mut self, mean_s: u32) -> Duration {
        Duration::from_secs_f64(f64::from(mean_s) * (0.5 + self.share()))
    }
}
