//! The parts of `carillon demo`: the far end as a process, a receiver of webhooks, the campaigns, the verdicts.

pub(crate) mod conversations;
pub(crate) mod far_end;
pub(crate) mod outcomes;
pub(crate) mod receiver;
pub(crate) mod setting_up;
