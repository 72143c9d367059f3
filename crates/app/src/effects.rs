//! Performs effects: the one place where a decision becomes a deed.

use crate::App;
use crate::call_task::TaskStart;
use carillon_domain::call::Call;
use carillon_domain::transition::Effect;

impl App {
    /// A call gave its line back: the runner looks if it waits for one.
    pub(crate) fn line_freed(&self) {
        if self.inner.runner_plan.line_freed() {
            self.inner.wake_runner.notify_one();
        }
    }

    /// Performs an effect of a transition of `call`. Effects on sound and signalling are the call task's own, which
    /// performs them through [`crate::call_task`]; the others are wake-ups and new tasks.
    pub(crate) fn perform(&self, effect: Effect, call: &Call) {
        match effect {
            Effect::PlaceCall(_) => self.spawn_call(call.clone(), TaskStart::Place),
            Effect::EndOrphan(_) => self.spawn_call(call.clone(), TaskStart::Orphan),
            Effect::WakeRunner => self.inner.wake_runner.notify_one(),
            Effect::WakeWebhooks => self.inner.wake_webhooks.notify_one(),
            Effect::StartScript(_) | Effect::HangUp(_) | Effect::ReleaseMedia(_) => {
                tracing::error!(call = %call.id, ?effect, "an effect on sound or signalling was left to the shell's loops");
            }
        }
    }
}
