//! Dates and times.
use crate::flow::answer::{NotUnderstood, Understood};
use crate::flow::grammar::Moment;
use jiff::Zoned;
use jiff::civil::Time;

pub(super) fn date(_heard: &str, _moment: &Moment, _past: bool) -> Result<Understood, NotUnderstood> {
    Err(NotUnderstood::NoAnswer)
}
pub(super) fn time(
    _heard: &str,
    _moment: &Moment,
    _earliest: Option<Time>,
    _latest: Option<Time>,
) -> Result<Understood, NotUnderstood> {
    Err(NotUnderstood::NoAnswer)
}
pub(super) fn date_time(
    _heard: &str,
    _moment: &Moment,
    _earliest: Option<Time>,
    _latest: Option<Time>,
) -> Result<Understood, NotUnderstood> {
    Err(NotUnderstood::NoAnswer)
}
pub(super) fn call_back(_heard: &str, _moment: &Moment) -> Result<Zoned, NotUnderstood> {
    Err(NotUnderstood::NoAnswer)
}
