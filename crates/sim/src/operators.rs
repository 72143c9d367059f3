//! The people and programs that use the platform: they set it up, push records, pause and change campaigns, ask for single
//! calls, keep the do-not-call list. They come back when the process is down, and remember what was acknowledged.

use crate::dice::Dice;
use crate::plan::{Act, CampaignPlan, WorkspacePlan};
use crate::verdict::Checker;
use crate::world::World;
use carillon_app::{
    App, CampaignRefusal, NewAgent, NewCampaign, NewEndpoint, NewRecord, NewTrunk, PushRefusal, SaveRefusal, SingleCall,
};
use carillon_domain::agent::Variables;
use carillon_domain::campaign::{CampaignInput, CampaignPolicy};
use carillon_domain::do_not_call::DoNotCallScope;
use carillon_domain::ids::{AgentId, CallId, CampaignId, ClipId, WorkspaceId};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::pii::Secret;
use carillon_domain::script::{Digit, KeyAction, Script};
use carillon_domain::trunk::{Codec, NumberFormat, Transport};
use carillon_domain::webhook::{DeliveryState, Dialect};
use carillon_domain::workspace::{Mode, StatusStyle, Workspace};
use carillon_interfaces::clock::IdMaker;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long a client waits before it tries again.
const AGAIN: Duration = Duration::from_millis(700);

/// A workspace as it was set up.
pub(crate) struct Site {
    id: WorkspaceId,
    agents: Vec<AgentId>,
    campaigns: Vec<CampaignId>,
}

/// Sets everything up over an app whose loops do not run yet.
pub(crate) async fn set_up(world: &World, app: &App) -> anyhow::Result<Vec<Site>> {
    let mut sites = Vec::new();
    for (index, plan) in world.plan.workspaces.iter().enumerate() {
        sites.push(set_up_workspace(world, app, index, plan).await?);
    }
    Ok(sites)
}

async fn set_up_workspace(world: &World, app: &App, index: usize, plan: &WorkspacePlan) -> anyhow::Result<Site> {
    let workspace = Workspace {
        id: WorkspaceId::new(world.next_id()),
        name: format!("workspace {index}"),
        mode: Mode::Live,
        region: "IN".to_owned(),
        allowed_regions: Vec::new(),
        max_concurrent_calls: plan.max_concurrent_calls,
        status_style: StatusStyle::default(),
        version: 0,
    };
    let workspace = app.save_workspace(workspace).await?.id;
    let mut trunks = Vec::new();
    for (place, trunk) in plan.trunks.iter().enumerate() {
        let new = NewTrunk {
            name: format!("trunk {place}"),
            host: format!("t{place}.example"),
            port: 5060,
            transport: Transport::Udp,
            credentials: None,
            domain: None,
            caller_ids: PhoneNumber::from_e164_shape("+911140000000").into_iter().collect(),
            number_format: if place == 0 {
                NumberFormat::E164
            } else {
                NumberFormat::Digits
            },
            codecs: vec![Codec::Pcma, Codec::Pcmu],
            lines: trunk.lines,
            calls_per_second: trunk.calls_per_second,
            assert_identity: false,
            sandbox: false,
            enabled: true,
        };
        trunks.push(app.save_trunk(workspace, None, new).await?.id);
    }
    let agents = set_up_agents(world, app, workspace).await?;
    for endpoint in &plan.endpoints {
        let new = NewEndpoint {
            url: endpoint.url.clone(),
            secret: Secret::new("secret"),
            events: endpoint.only.iter().map(|event| (*event).to_owned()).collect(),
            agent_id: None,
            campaign_id: None,
            dialect: endpoint.dialect,
            enabled: endpoint.enabled,
        };
        app.save_endpoint(workspace, None, new).await?;
    }
    let mut campaigns = Vec::new();
    for (place, campaign) in plan.campaigns.iter().enumerate() {
        let policy = CampaignPolicy {
            trunk_id: campaign.trunk.and_then(|trunk| trunks.get(trunk).copied()),
            ..campaign.policy.clone()
        };
        let new = NewCampaign {
            name: format!("campaign {place}"),
            agent_id: agents[place % agents.len()],
            policy,
        };
        campaigns.push(app.create_campaign(workspace, new).await?.id);
    }
    // One endpoint hears of one campaign only.
    let new = NewEndpoint {
        url: format!("https://w{index}-one.example/hook"),
        secret: Secret::new("secret"),
        events: Vec::new(),
        agent_id: None,
        campaign_id: campaigns.first().copied(),
        dialect: Dialect::Native,
        enabled: true,
    };
    app.save_endpoint(workspace, None, new).await?;
    Ok(Site {
        id: workspace,
        agents,
        campaigns,
    })
}

async fn set_up_agents(world: &World, app: &App, workspace: WorkspaceId) -> Result<Vec<AgentId>, SaveRefusal> {
    let clip = ClipId::new(world.next_id());
    app.add_clip(workspace, clip, "prompt".to_owned(), 8_000).await?;
    let keys: BTreeMap<Digit, KeyAction> = [
        (
            '1',
            KeyAction::Mark {
                name: "interested".to_owned(),
                value: "yes".to_owned(),
                clip: None,
            },
        ),
        (
            '2',
            KeyAction::CallBack {
                after_s: 600,
                clip: None,
            },
        ),
        (
            '3',
            KeyAction::FollowUp {
                after_s: 600,
                clip: None,
            },
        ),
        ('9', KeyAction::DoNotCall { clip: Some(clip) }),
    ]
    .into_iter()
    .filter_map(|(key, action)| Some((Digit::parse(key)?, action)))
    .collect();
    let scripts = [
        Script::Press1 {
            clip,
            times: 2,
            wait_ms: 5_000,
            keys,
        },
        Script::Announce {
            clip,
            times: 1,
            gap_ms: 0,
        },
    ];
    let mut agents = Vec::new();
    for (place, script) in scripts.into_iter().enumerate() {
        let new = NewAgent {
            name: format!("agent {place}"),
            variables: Vec::new(),
            script,
            caller_id: None,
            trunk_id: None,
            ring_timeout_s: if place == 0 { 20 } else { 35 },
            max_duration_s: if place == 0 { 90 } else { 240 },
            record_calls: place == 0,
            active: true,
        };
        agents.push(app.save_agent(workspace, None, new).await?.id);
    }
    Ok(agents)
}

/// Starts everybody.
pub(crate) fn start(world: &Arc<World>, sites: Vec<Site>) -> Vec<JoinHandle<()>> {
    let mut clients = Vec::new();
    for (index, site) in sites.into_iter().enumerate() {
        let site = Arc::new(site);
        for place in 0..site.campaigns.len() {
            let (world, site) = (Arc::clone(world), Arc::clone(&site));
            clients.push(tokio::spawn(
                async move { run_campaign(&world, &site, index, place).await },
            ));
        }
        let (singles, of_singles) = (Arc::clone(world), Arc::clone(&site));
        clients.push(tokio::spawn(async move {
            place_single_calls(&singles, &of_singles, index).await
        }));
        let (list, of_list) = (Arc::clone(world), Arc::clone(&site));
        clients.push(tokio::spawn(async move {
            keep_do_not_call_list(&list, &of_list, index).await
        }));
    }
    let canceller = Arc::clone(world);
    clients.push(tokio::spawn(async move { cancel_calls(&canceller).await }));
    clients
}

/// Asks the app, whichever life answers. `None`: the process died before it answered.
async fn ask<T, F: Future<Output = T>>(world: &World, request: impl FnOnce(App) -> F) -> Option<T> {
    loop {
        if let Some(life) = world.life()
            && let Some(app) = life.app()
        {
            return tokio::select! {
                biased;
                () = life.over() => None,
                answer = request(app) => Some(answer),
            };
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn sleep_until(world: &World, at: Duration) {
    let now = world.now().since(world.plan.begins_at);
    tokio::time::sleep(at.saturating_sub(now)).await;
}

/// What a campaign's operator does, in order.
enum Turn<'a> {
    Launch,
    Push(&'a [PhoneNumber]),
    Act(&'a Act),
}

async fn run_campaign(world: &World, site: &Site, workspace: usize, place: usize) {
    let plan: &CampaignPlan = &world.plan.workspaces[workspace].campaigns[place];
    let campaign = site.campaigns[place];
    let mut turns: Vec<(Duration, Turn<'_>)> = vec![(plan.launch_at, Turn::Launch)];
    turns.extend(
        plan.batches
            .iter()
            .map(|(at, numbers)| (*at, Turn::Push(numbers.as_slice()))),
    );
    turns.extend(plan.acts.iter().map(|(at, act)| (*at, Turn::Act(act))));
    turns.sort_by_key(|(at, _)| *at);
    for (at, turn) in turns {
        sleep_until(world, at).await;
        match turn {
            Turn::Launch => put_in(world, site.id, campaign, CampaignInput::Launch).await,
            Turn::Act(Act::Input(input)) => put_in(world, site.id, campaign, *input).await,
            Turn::Act(Act::Change(policy)) => change(world, site, place, campaign, policy).await,
            Turn::Push(numbers) => push(world, site.id, campaign, numbers, plan.policy.skip_known_numbers).await,
        }
    }
}

async fn put_in(world: &World, workspace: WorkspaceId, campaign: CampaignId, input: CampaignInput) {
    loop {
        let answer = ask(world, |app| async move {
            app.campaign_input(workspace, campaign, input).await
        })
        .await;
        match answer {
            Some(Ok(_) | Err(CampaignRefusal::Lifecycle(_))) => return,
            _ => tokio::time::sleep(AGAIN).await,
        }
    }
}

async fn change(world: &World, site: &Site, place: usize, campaign: CampaignId, policy: &CampaignPolicy) {
    let (workspace, agent) = (site.id, site.agents[place % site.agents.len()]);
    let trunk_id = {
        let mut ledger = world.ledger();
        let Some(seen) = ledger.campaigns.get_mut(&campaign) else {
            return;
        };
        seen.policies.last().and_then(|(_, _, policy)| policy.trunk_id)
    };
    let policy = CampaignPolicy {
        trunk_id,
        ..policy.clone()
    };
    let asked_at = world.now();
    if let Some(seen) = world.ledger().campaigns.get_mut(&campaign) {
        seen.policies.push((asked_at, None, policy.clone()));
    }
    loop {
        let new = NewCampaign {
            name: "changed".to_owned(),
            agent_id: agent,
            policy: policy.clone(),
        };
        let answer = ask(world, |app| async move {
            app.update_campaign(workspace, campaign, new).await
        })
        .await;
        let now = world.now();
        if let Some(answer) = answer {
            let mut ledger = world.ledger();
            let Some(seen) = ledger.campaigns.get_mut(&campaign) else {
                return;
            };
            match answer {
                Ok(_) => {
                    for (_, until, _) in seen.policies.iter_mut().rev().skip(1) {
                        until.get_or_insert(now);
                    }
                    return;
                }
                Err(CampaignRefusal::Lifecycle(_)) => return drop(seen.policies.pop()),
                Err(_) => {}
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn push(world: &World, workspace: WorkspaceId, campaign: CampaignId, numbers: &[PhoneNumber], skips_known: bool) {
    for _ in 0..20 {
        let records: Vec<NewRecord> = numbers
            .iter()
            .map(|phone| NewRecord {
                phone: phone.clone(),
                variables: Variables::new(),
                app_user_id: None,
                app_session_id: None,
            })
            .collect();
        let answer = ask(world, |app| async move {
            app.push_records(workspace, campaign, records).await
        })
        .await;
        match answer {
            Some(Ok(receipt)) => {
                if receipt.results.len() != numbers.len() {
                    world.fail(
                        Checker::Durable,
                        "a push was answered with another number of results".to_owned(),
                    );
                }
                let ledger = world.ledger();
                let lost = receipt
                    .results
                    .iter()
                    .flatten()
                    .find(|id| !ledger.records.contains_key(id));
                if let Some(lost) = lost {
                    world.fail(
                        Checker::Durable,
                        format!("record {lost} was acknowledged and is not there"),
                    );
                }
                return;
            }
            Some(Err(PushRefusal::NotAccepting(status))) if status.has_ended() => return,
            Some(Err(PushRefusal::NotAccepting(_))) => tokio::time::sleep(Duration::from_secs(900)).await,
            Some(Err(PushRefusal::CampaignNotFound)) => {
                return world.fail(Checker::Durable, format!("campaign {campaign} is gone"));
            }
            // It may have been taken or not. Who can repeat it without harm does.
            Some(Err(PushRefusal::Store(_))) | None if skips_known => tokio::time::sleep(AGAIN).await,
            Some(Err(PushRefusal::Store(_))) | None => return,
        }
    }
}

async fn place_single_calls(world: &World, site: &Site, workspace: usize) {
    let mut plan = world.plan.workspaces[workspace].single_calls.clone();
    plan.sort();
    for (at, to) in plan {
        sleep_until(world, at).await;
        let mut dice = Dice::of(
            world.seed,
            "single",
            u128::from(at.subsec_nanos()) + u128::from(at.as_secs()) * 1_000_000_000,
        );
        let single = SingleCall {
            agent_id: *dice.pick(&site.agents),
            to,
            variables: Variables::new(),
            custom_metadata: None,
            dialect: Dialect::Revrag,
        };
        let id = site.id;
        let answer = ask(world, |app| async move { app.place_single_call(id, single).await }).await;
        let Some(Ok(call)) = answer else { continue };
        if world.ledger().call(call.id).is_none() {
            world.fail(
                Checker::Durable,
                format!("the single call {} was acknowledged and is not there", call.id),
            );
        }
        if dice.chance(300) {
            // At once, so that it meets the dispatch, or while it rings.
            tokio::time::sleep(if dice.chance(600) {
                dice.ms(0, 8)
            } else {
                dice.seconds(0, 20)
            })
            .await;
            cancel(world, id, call.id).await;
        }
    }
}

async fn cancel(world: &World, workspace: WorkspaceId, call: CallId) {
    // Whatever comes of it: a call that cannot be cancelled ends by itself.
    drop(ask(world, |app| async move { app.cancel_call(workspace, call).await }).await);
}

/// Ends open calls, now and then.
async fn cancel_calls(world: &World) {
    let mut dice = Dice::of(world.seed, "cancel", 0);
    while world.now().since(world.plan.begins_at) < world.plan.ends_after / 2 {
        tokio::time::sleep(dice.seconds(60, 900)).await;
        let open: Vec<(WorkspaceId, CallId)> = {
            let ledger = world.ledger();
            ledger
                .open_calls
                .iter()
                .filter_map(|id| Some((ledger.call(*id)?.workspace_id, *id)))
                .collect()
        };
        if !open.is_empty() {
            let (workspace, call) = *dice.pick(&open);
            cancel(world, workspace, call).await;
        }
    }
}

async fn keep_do_not_call_list(world: &World, site: &Site, workspace: usize) {
    let mut turns: Vec<(Duration, PhoneNumber, bool)> = Vec::new();
    for (on, phone, off) in &world.plan.workspaces[workspace].do_not_call {
        turns.push((*on, phone.clone(), true));
        turns.extend(off.map(|off| (off, phone.clone(), false)));
    }
    turns.sort();
    for (at, phone, on) in turns {
        sleep_until(world, at).await;
        let id = site.id;
        loop {
            let phone = phone.clone();
            let done = if on {
                let add = |app: App| async move {
                    app.add_do_not_call(id, vec![phone], DoNotCallScope::All, "asked for by letter")
                        .await
                        .map(drop)
                };
                ask(world, add).await
            } else {
                ask(world, |app| async move { app.remove_do_not_call(id, phone).await }).await
            };
            match done {
                Some(Ok(()) | Err(SaveRefusal::NotFound)) => break,
                _ => tokio::time::sleep(AGAIN).await,
            }
        }
    }
}

/// Sends again what was given up.
pub(crate) async fn replay_exhausted(world: &World) {
    let exhausted: Vec<_> = {
        let ledger = world.ledger();
        let given_up =
            |delivery: &&carillon_domain::webhook::Delivery| matches!(delivery.state, DeliveryState::Exhausted { .. });
        ledger
            .deliveries
            .values()
            .filter(given_up)
            .map(|delivery| (delivery.workspace_id, delivery.id))
            .collect()
    };
    for (workspace, id) in exhausted {
        drop(ask(world, |app| async move { app.replay_delivery(workspace, id).await }).await);
    }
}
