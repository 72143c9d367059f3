//! The runner: looks for records and single calls to dial when something is pushed, a line becomes free, or time has come.

use crate::trunk_choice::choose;
use crate::{App, committed};
use carillon_domain::agent::Agent;
use carillon_domain::call::{Call, CallInput, CallState};
use carillon_domain::campaign::calling_window::{ZoneName, local_date};
use carillon_domain::campaign::{Campaign, CampaignInput, CampaignView, LinePlan, decide, new_call};
use carillon_domain::do_not_call::DoNotCallEntry;
use carillon_domain::ids::{CallId, CampaignId, TrunkId, WorkspaceId};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::record::{Record, RecordState};
use carillon_domain::time::UnixMicros;
use carillon_domain::transition::{Change, Effect, Transition};
use carillon_domain::trunk::{StartRate, Trunk};
use carillon_domain::workspace::Workspace;
use carillon_interfaces::store::{CallFilter, Slice, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How many waiting records are looked at beyond the free lines, and a quarter of those: some will be suppressed or put off.
/// More would be read for each line that becomes free while thousands wait.
const LOOK_AHEAD: u32 = 8;
/// Most records looked at in one look.
const LOOK_AT_MOST: u32 = 512;
/// How many records of an ended campaign are closed in one commit.
const SETTLE_BATCH: u32 = 500;
/// The runner looks at least this often, whatever it believes about what comes next.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long it waits at start when there was an earlier life: the calls which that one started in its last second count
/// against calls per second, and are not known here.
const FORGOTTEN_STARTS: Duration = Duration::from_millis(1_010);
/// How long it waits after the store failed.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// Lines in use, derived from live calls. Read once a look, and only if there is something to dial: there may be thousands.
#[derive(Debug, Default)]
struct Lines {
    in_use: Option<LinesInUse>,
}

impl Lines {
    async fn in_use(&mut self, app: &App) -> Result<&mut LinesInUse, StoreError> {
        let in_use = match self.in_use.take() {
            Some(in_use) => in_use,
            None => app.lines_in_use().await?,
        };
        Ok(self.in_use.insert(in_use))
    }
}

/// Lines in use, derived from live calls.
#[derive(Debug, Default)]
pub(crate) struct LinesInUse {
    campaigns: BTreeMap<CampaignId, u32>,
    workspaces: BTreeMap<WorkspaceId, u32>,
    trunks: BTreeMap<TrunkId, u32>,
}

impl LinesInUse {
    fn add(&mut self, workspace: WorkspaceId, campaign: Option<CampaignId>, trunk: Option<TrunkId>) {
        *self.workspaces.entry(workspace).or_default() += 1;
        if let Some(campaign) = campaign {
            *self.campaigns.entry(campaign).or_default() += 1;
        }
        if let Some(trunk) = trunk {
            *self.trunks.entry(trunk).or_default() += 1;
        }
    }
}

/// What a decision about one campaign needs, loaded.
pub(crate) struct LoadedView {
    pub(crate) workspace: Option<Workspace>,
    pub(crate) agent: Option<Agent>,
    pub(crate) trunk: Option<Trunk>,
    starts_allowed: u32,
    next_start_at: Option<UnixMicros>,
    trunk_live: u32,
    campaign_live: u32,
    workspace_live: u32,
    pub(crate) do_not_call: BTreeMap<PhoneNumber, DoNotCallEntry>,
    pub(crate) calls_today: BTreeMap<PhoneNumber, u32>,
}

impl LoadedView {
    pub(crate) fn view<'a>(&'a self, campaign: &'a Campaign) -> CampaignView<'a> {
        CampaignView {
            campaign,
            agent: self.agent.as_ref(),
            line: LinePlan {
                trunk: self.trunk.as_ref(),
                trunk_live: self.trunk_live,
                starts_allowed: self.starts_allowed,
                next_start_at: self.next_start_at,
            },
            campaign_live: self.campaign_live,
            workspace_live: self.workspace_live,
            workspace_max: self
                .workspace
                .as_ref()
                .map_or(0, |workspace| workspace.max_concurrent_calls),
            do_not_call: &self.do_not_call,
            calls_today: &self.calls_today,
        }
    }
}

/// When the runner should look again.
#[derive(Clone, Copy, Debug, Default)]
struct NextLook {
    at: Option<UnixMicros>,
    at_once: bool,
    /// Something is due that only lacks a line.
    wants_line: bool,
}

impl NextLook {
    fn by(&mut self, at: Option<UnixMicros>) {
        self.at = match (self.at, at) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
    }
}

impl App {
    /// The runner's loop.
    pub(crate) async fn run_campaigns(&self) {
        let mut rates: BTreeMap<TrunkId, StartRate> = BTreeMap::new();
        let mut turn: usize = 0;
        if !self.is_first_life().await {
            tokio::time::sleep(FORGOTTEN_STARTS).await;
        }
        while !self.inner.draining.is_cancelled() {
            let looked_at = Instant::now();
            self.inner.runner_plan.begin();
            let (sleep, wants_line) = match self.look(&mut rates, turn).await {
                Ok(next) if next.at_once => (Duration::ZERO, next.wants_line),
                Ok(next) => {
                    let sleep = next.at.map_or(LONGEST_SLEEP, |at| at.since(self.now()));
                    (sleep.min(LONGEST_SLEEP), next.wants_line)
                }
                Err(error) => {
                    tracing::warn!(%error, "the runner could not read or write the store; it will look again");
                    (STORE_PAUSE, true)
                }
            };
            let now = self.now();
            let looks_at = self.inner.runner_plan.end(now, now + sleep, wants_line);
            let sleep = looks_at.since(now);
            turn = turn.wrapping_add(1);
            metrics::histogram!("carillon_runner_look_seconds").record(looked_at.elapsed().as_secs_f64());
            tokio::select! {
                biased;
                () = self.inner.draining.cancelled() => {}
                () = self.inner.wake_runner.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
            tokio::time::sleep_until(looked_at + self.inner.settings.runner_pause).await;
        }
    }

    /// Whether the store knows of no call at all.
    async fn is_first_life(&self) -> bool {
        let newest = Slice { offset: 0, limit: 1 };
        let Ok(workspaces) = self.store().workspaces().await else {
            return false;
        };
        for workspace in workspaces {
            match self.store().calls(workspace.id, &CallFilter::default(), newest).await {
                Ok(page) if page.items.is_empty() => {}
                Ok(_) | Err(_) => return false,
            }
        }
        true
    }

    pub(crate) async fn lines_in_use(&self) -> Result<LinesInUse, StoreError> {
        let mut lines = LinesInUse::default();
        for live in self.store().live_calls().await? {
            lines.add(live.workspace_id, live.campaign_id, live.trunk_id);
        }
        Ok(lines)
    }

    async fn look(&self, rates: &mut BTreeMap<TrunkId, StartRate>, turn: usize) -> Result<NextLook, StoreError> {
        let mut next = NextLook::default();
        let mut lines = Lines::default();
        self.dispatch_single_calls(rates, &mut lines, &mut next).await?;
        let mut campaigns = self.store().open_campaigns().await?;
        if !campaigns.is_empty() {
            // Campaigns that share a trunk take turns at its lines.
            let first = turn % campaigns.len();
            campaigns.rotate_left(first);
        }
        let capped = capped_zones(&campaigns);
        for campaign in campaigns {
            let campaign = self.tick(campaign).await;
            if campaign.status.has_ended() {
                next.at_once |= self.settle(&campaign).await?;
                continue;
            }
            next.by(campaign.next_tick_at());
            let zones = capped.get(&campaign.workspace_id);
            self.dispatch_campaign(&campaign, zones, rates, &mut lines, &mut next)
                .await?;
        }
        Ok(next)
    }

    /// Lets dates act on the campaign. If somebody else changed it meanwhile, the next look will see that.
    async fn tick(&self, campaign: Campaign) -> Campaign {
        match campaign.handle(self.now(), CampaignInput::Tick) {
            Ok(ticked) if ticked != campaign => {
                let transition =
                    Transition::new(ticked.workspace_id).with(Change::PutCampaign(Box::new(ticked.clone())));
                match self.commit(transition).await {
                    Ok(()) => Campaign {
                        version: ticked.version + 1,
                        ..ticked
                    },
                    Err(error) => {
                        tracing::info!(campaign = %campaign.id, %error, "a campaign's date could not be applied yet");
                        campaign
                    }
                }
            }
            Ok(_) | Err(_) => campaign,
        }
    }

    /// Closes records that still wait in an ended campaign; true while there may be more.
    async fn settle(&self, campaign: &Campaign) -> Result<bool, StoreError> {
        let now = self.now();
        let waiting = self
            .store()
            .due_records(campaign.workspace_id, campaign.id, UnixMicros(i64::MAX), SETTLE_BATCH)
            .await?;
        let mut transition = Transition::new(campaign.workspace_id);
        for record in &waiting {
            let mut closed = record.clone();
            closed.state = if record.reached_a_person() {
                RecordState::Completed
            } else {
                RecordState::Failed
            };
            closed.final_reason = campaign.status.final_reason().map(str::to_owned);
            closed.updated_at = now;
            transition = transition.with(Change::PutRecord(Box::new(closed)));
        }
        if waiting.is_empty() {
            let settled = Campaign {
                settled: true,
                ..campaign.clone()
            };
            transition = transition.with(Change::PutCampaign(Box::new(settled)));
        }
        if let Err(error) = self.commit(transition).await {
            tracing::info!(campaign = %campaign.id, %error, "an ended campaign could not be settled yet");
        }
        Ok(true)
    }

    async fn dispatch_campaign(
        &self,
        campaign: &Campaign,
        capped_zones: Option<&BTreeSet<ZoneName>>,
        rates: &mut BTreeMap<TrunkId, StartRate>,
        lines: &mut Lines,
        next: &mut NextLook,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let store = self.store();
        let next_due_at = store.next_due_at(campaign.workspace_id, campaign.id).await?;
        if next_due_at.is_none_or(|at| at > now) {
            next.by(next_due_at);
            return Ok(());
        }
        let lines = lines.in_use(self).await?;
        let mut loaded = self.load_lines(campaign, lines).await?;
        if let Some(trunk) = &loaded.trunk {
            let rate = rates.entry(trunk.id).or_default();
            loaded.starts_allowed = rate.allowed(trunk.calls_per_second, now);
            loaded.next_start_at = rate.next_start_at(trunk.calls_per_second, now);
        }
        // Records are read only for a campaign that can dial one now: with many campaigns, most looks are for the others.
        let closed = decide(&loaded.view(campaign), &[], now);
        if !closed.held.is_empty() {
            next.by(closed.wake_at);
            next.wants_line |= closed.held.iter().any(|held| held.gate.is_for_a_line());
            return Ok(());
        }
        let free = loaded.view(campaign).free_lines();
        let limit = free.saturating_add(free / 4 + LOOK_AHEAD).min(LOOK_AT_MOST);
        let due = store
            .due_records(campaign.workspace_id, campaign.id, now, limit)
            .await?;
        if due.is_empty() {
            // Somebody else took them in between.
            next.at_once = true;
            return Ok(());
        }
        self.load_callees(&mut loaded, campaign, &due, now).await?;
        let view = loaded.view(campaign);
        let decision = decide(&view, &due, now);
        next.by(decision.wake_at);
        let looked_at_all_due = due.len() < usize::try_from(limit).unwrap_or(usize::MAX);

        let mut kept = Transition::new(campaign.workspace_id);
        for record in decision
            .suppressed
            .into_iter()
            .map(|s| s.record)
            .chain(decision.waits.into_iter().map(|w| w.record))
        {
            next.by(record.due_at());
            kept = kept.with(Change::PutRecord(Box::new(record)));
        }
        if !kept.changes.is_empty() {
            next.at_once |= !looked_at_all_due;
            if let Err(error) = self.commit(kept).await {
                tracing::info!(campaign = %campaign.id, %error, "records could not be put off yet");
            }
        }

        let dials = decision.dials.len();
        let mut calls = Vec::new();
        let mut transitions = Vec::new();
        if let (Some(agent), Some(trunk), Some(from)) = (view.agent, view.line.trunk, view.caller_id()) {
            for dial in decision.dials {
                let call_id = CallId::new(self.next_id());
                let (record, call) = new_call(&view, agent, &dial.record, call_id, now);
                let step = call.handle(
                    now,
                    CallInput::Dispatch {
                        trunk_id: trunk.id,
                        from: from.clone(),
                    },
                );
                transitions.push(dial_transition(campaign, capped_zones, record, &step.call, now));
                calls.push(step.call);
            }
            if self.commit_and_place(transitions, calls, trunk, rates, lines).await {
                // What is left is seen by the next look: it may lack a line by then, or a start.
                let all_free_used = dials >= usize::try_from(free).unwrap_or(usize::MAX);
                next.at_once |= dials > 0 && (!looked_at_all_due || (all_free_used && due.len() > dials));
            } else {
                next.by(Some(now + STORE_PAUSE));
            }
        }
        if looked_at_all_due {
            next.by(store
                .next_due_at(campaign.workspace_id, campaign.id)
                .await?
                .filter(|at| *at > now));
        }
        Ok(())
    }

    /// Returns whether all were committed.
    async fn commit_and_place(
        &self,
        transitions: Vec<Transition>,
        calls: Vec<Call>,
        trunk: &Trunk,
        rates: &mut BTreeMap<TrunkId, StartRate>,
        lines: &mut LinesInUse,
    ) -> bool {
        if transitions.is_empty() {
            return true;
        }
        let mut all = true;
        let results = self.inner.parts.store.commit_many(transitions).await;
        for (call, result) in calls.into_iter().zip(results) {
            match result {
                Ok(()) => {
                    rates.entry(trunk.id).or_default().started(self.now());
                    lines.add(call.workspace_id, call.campaign_id(), Some(trunk.id));
                    let call = committed(call);
                    self.perform(Effect::PlaceCall(call.id), &call);
                }
                Err(error) => {
                    all = false;
                    tracing::info!(call = %call.id, %error, "a call was not committed, so it is not dialled");
                }
            }
        }
        all
    }

    /// What a decision about these records needs.
    pub(crate) async fn load_view(
        &self,
        campaign: &Campaign,
        records: &[Record],
        lines: &LinesInUse,
        now: UnixMicros,
    ) -> Result<LoadedView, StoreError> {
        let mut loaded = self.load_lines(campaign, lines).await?;
        self.load_callees(&mut loaded, campaign, records, now).await?;
        Ok(loaded)
    }

    /// Agent, trunk and lines.
    async fn load_lines(&self, campaign: &Campaign, lines: &LinesInUse) -> Result<LoadedView, StoreError> {
        let store = self.store();
        let id = campaign.workspace_id;
        let workspace = store.workspace(id).await?;
        let trunks = store.trunks(id).await?;
        let agent = store.agent(id, campaign.agent_id).await?;
        let trunk = workspace
            .as_ref()
            .and_then(|workspace| choose(workspace, &trunks, campaign.policy.trunk_id))
            .cloned();
        Ok(LoadedView {
            trunk_live: trunk
                .as_ref()
                .and_then(|trunk| lines.trunks.get(&trunk.id).copied())
                .unwrap_or(0),
            campaign_live: lines.campaigns.get(&campaign.id).copied().unwrap_or(0),
            workspace_live: lines.workspaces.get(&id).copied().unwrap_or(0),
            starts_allowed: trunk.as_ref().map_or(0, |trunk| trunk.calls_per_second),
            next_start_at: None,
            do_not_call: BTreeMap::new(),
            calls_today: BTreeMap::new(),
            workspace,
            agent,
            trunk,
        })
    }

    /// The do-not-call list and today's calls, for the numbers of these records.
    async fn load_callees(
        &self,
        loaded: &mut LoadedView,
        campaign: &Campaign,
        records: &[Record],
        now: UnixMicros,
    ) -> Result<(), StoreError> {
        let (store, id) = (self.store(), campaign.workspace_id);
        let phones: Vec<PhoneNumber> = records.iter().map(|record| record.phone.clone()).collect();
        let entries = store.do_not_call(id, &phones).await?;
        loaded.do_not_call = entries.into_iter().map(|entry| (entry.phone.clone(), entry)).collect();
        if campaign.policy.max_calls_per_number_per_day.is_some() {
            let names: BTreeMap<String, &PhoneNumber> = phones
                .iter()
                .filter_map(|phone| daily_counter(&campaign.policy.window.zone, phone, now).map(|name| (name, phone)))
                .collect();
            let wanted: Vec<String> = names.keys().cloned().collect();
            for (name, count) in store.counters(id, &wanted).await? {
                if let Some(phone) = names.get(&name) {
                    loaded
                        .calls_today
                        .insert((*phone).clone(), u32::try_from(count).unwrap_or(u32::MAX));
                }
            }
        }
        Ok(())
    }

    async fn dispatch_single_calls(
        &self,
        rates: &mut BTreeMap<TrunkId, StartRate>,
        lines: &mut Lines,
        next: &mut NextLook,
    ) -> Result<(), StoreError> {
        for call in self.store().queued_calls(256).await? {
            let now = self.now();
            if call.deadline.is_some_and(|deadline| now >= deadline) {
                self.finish_unsent(&call, CallInput::Tick).await;
                continue;
            }
            next.by(call.deadline);
            let lines = lines.in_use(self).await?;
            let Some(workspace) = self.store().workspace(call.workspace_id).await? else {
                continue;
            };
            let trunks = self.store().trunks(call.workspace_id).await?;
            let agent = self.store().agent(call.workspace_id, call.agent_id).await?;
            let wanted = agent.as_ref().and_then(|agent| agent.trunk_id);
            let Some(trunk) = choose(&workspace, &trunks, wanted) else {
                continue;
            };
            let from = agent
                .and_then(|agent| agent.caller_id)
                .or_else(|| trunk.caller_ids.first().cloned());
            let Some(from) = from else { continue };
            let in_use = |map: &BTreeMap<TrunkId, u32>| map.get(&trunk.id).copied().unwrap_or(0);
            let workspace_live = lines.workspaces.get(&workspace.id).copied().unwrap_or(0);
            if in_use(&lines.trunks) >= trunk.lines || workspace_live >= workspace.max_concurrent_calls {
                next.wants_line = true;
                continue;
            }
            let rate = rates.entry(trunk.id).or_default();
            if rate.allowed(trunk.calls_per_second, now) == 0 {
                next.by(rate.next_start_at(trunk.calls_per_second, now));
                continue;
            }
            let step = call.handle(
                now,
                CallInput::Dispatch {
                    trunk_id: trunk.id,
                    from,
                },
            );
            let transition = Transition::new(workspace.id).with(Change::PutCall(Box::new(step.call.clone())));
            if !self
                .commit_and_place(vec![transition], vec![step.call], trunk, rates, lines)
                .await
            {
                next.by(Some(now + STORE_PAUSE));
            }
        }
        Ok(())
    }

    /// Closes a call that was never dialled.
    pub(crate) async fn finish_unsent(&self, call: &Call, input: CallInput) {
        let step = call.handle(self.now(), input);
        if step.call.state != CallState::Closed {
            return;
        }
        let (closed, result) = self.close(step.call).await;
        if let Err(error) = result {
            tracing::info!(call = %closed.id, %error, "a queued call could not be closed yet");
        }
    }
}

/// Zones by whose days some campaign of a workspace caps the calls to a number.
fn capped_zones(campaigns: &[Campaign]) -> BTreeMap<WorkspaceId, BTreeSet<ZoneName>> {
    let mut zones: BTreeMap<WorkspaceId, BTreeSet<ZoneName>> = BTreeMap::new();
    for campaign in campaigns
        .iter()
        .filter(|campaign| campaign.policy.max_calls_per_number_per_day.is_some())
    {
        zones
            .entry(campaign.workspace_id)
            .or_default()
            .insert(campaign.policy.window.zone.clone());
    }
    zones
}

/// Record, call and the number's daily counts together. A campaign's cap is on the calls of all campaigns, by the days of
/// its own zone: each dial counts by its own zone's day, and by that of every zone in which some campaign has a cap.
fn dial_transition(
    campaign: &Campaign,
    capped_zones: Option<&BTreeSet<ZoneName>>,
    record: Record,
    call: &Call,
    now: UnixMicros,
) -> Transition {
    let mut transition = Transition::new(call.workspace_id);
    let mut count = |zone: &ZoneName, max: Option<u32>| {
        if let Some(counter) = daily_counter(zone, &record.phone, now) {
            transition.changes.push(Change::AddToCounter {
                counter,
                add: 1,
                max: max.map(i64::from),
                floor: None,
            });
        }
    };
    let own = &campaign.policy.window.zone;
    count(own, campaign.policy.max_calls_per_number_per_day);
    for zone in capped_zones.into_iter().flatten().filter(|zone| *zone != own) {
        count(zone, None);
    }
    transition
        .with(Change::PutRecord(Box::new(record)))
        .with(Change::PutCall(Box::new(call.clone())))
}

fn daily_counter(zone: &ZoneName, phone: &PhoneNumber, now: UnixMicros) -> Option<String> {
    let date = local_date(zone, now)?;
    Some(format!("dialled/{}/{zone}/{date}", phone.as_str()))
}
