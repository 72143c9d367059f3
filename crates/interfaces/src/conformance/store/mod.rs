//! What every [`Store`] does.

mod calls;
mod counters;
mod deliveries;
mod isolation;
mod lists;
mod records;
pub mod samples;
mod versions;

use crate::store::Store;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// One behaviour. It panics if the store does not have it.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    run: fn(Arc<dyn Store>) -> BoxFuture<'static, ()>,
}

impl Check {
    /// Runs it on an empty store.
    pub async fn run(self, store: Arc<dyn Store>) {
        (self.run)(store).await;
    }
}

macro_rules! checks {
    ($($module:ident::$name:ident,)*) => {
        /// Every behaviour.
        pub const CHECKS: &[Check] = &[$(
            Check { name: stringify!($name), run: |store| Box::pin($module::$name(store)) },
        )*];
    };
}

checks![
    versions::an_insert_is_read_back_at_version_one,
    versions::a_replacement_raises_the_version,
    versions::a_stale_version_changes_nothing,
    versions::a_missing_row_is_stale_for_a_replacement,
    versions::an_id_that_exists_is_a_conflict,
    versions::a_transition_may_change_one_entity_twice,
    versions::a_failing_transition_leaves_nothing_behind,
    versions::an_empty_transition_succeeds,
    versions::changes_of_another_workspace_are_refused,
    versions::many_transitions_have_a_result_each,
    versions::many_transitions_see_those_before_them,
    versions::rivals_for_one_version_have_one_winner,
    versions::every_entity_survives_the_round_trip,
    versions::what_is_removed_is_gone_at_its_version_only,
    counters::a_counter_starts_at_zero_and_adds_up,
    counters::a_counter_never_passes_its_bounds,
    counters::a_counter_at_its_bound_fails_the_whole_transition,
    counters::a_hundred_rivals_never_pass_the_maximum,
    counters::many_transitions_share_a_bound,
    records::variables_keep_their_order_and_every_character,
    records::due_records_come_by_time_then_id,
    records::only_waiting_records_are_due,
    records::counts_always_add_up,
    records::records_are_listed_newest_first_by_page_and_status,
    records::known_numbers_are_those_of_the_campaign,
    records::a_large_push_is_one_commit,
    calls::an_attempt_exists_once,
    calls::rivals_for_one_attempt_have_one_winner,
    calls::single_calls_share_no_attempt,
    calls::calls_are_filtered_and_paged,
    calls::open_live_and_queued_calls_follow_the_state,
    deliveries::due_deliveries_come_by_time,
    deliveries::deliveries_are_filtered_and_paged,
    deliveries::the_attempt_log_only_grows,
    lists::lists_are_in_their_order,
    lists::open_campaigns_are_those_with_work_left,
    lists::do_not_call_entries_are_put_replaced_and_removed,
    lists::keys_are_found_by_hash,
    lists::pages_past_the_end_are_empty,
    isolation::no_read_crosses_workspaces,
    isolation::ids_may_repeat_in_another_workspace,
];

/// Runs every check on a store of its own that `open` makes, and returns the names of those that failed. What failed in them
/// is printed as panics are.
pub async fn failing<O, F>(open: O) -> Vec<&'static str>
where
    O: Fn(&'static str) -> F,
    F: Future<Output = Arc<dyn Store>>,
{
    let mut failing = Vec::new();
    for check in CHECKS {
        let run = async { check.run(open(check.name).await).await };
        if AssertUnwindSafe(run).catch_unwind().await.is_err() {
            failing.push(check.name);
        }
    }
    failing
}

/// Runs every check on a store of its own that `open` makes.
///
/// # Panics
///
/// After the last check, with the names of those that failed.
pub async fn run_all<O, F>(open: O)
where
    O: Fn(&'static str) -> F,
    F: Future<Output = Arc<dyn Store>>,
{
    let failing = failing(open).await;
    assert!(
        failing.is_empty(),
        "{} of {} checks failed: {failing:#?}",
        failing.len(),
        CHECKS.len()
    );
}
