//! A temporary installation: made in this process, then served by a process of its own.

use super::server::ServerProcess;
use super::{Wishes, far_end::FarEnd};
use crate::bootstrap::{CredentialsFile, read_credentials};
use crate::config::Config;
use crate::wiring::Server;
use anyhow::{Context, bail};
use bytes::Bytes;
use carillon_app::{NewAgent, NewCampaign};
use carillon_domain::campaign::calling_window::{DailyHours, MinuteOfDay, WeekdaySet, ZoneName};
use carillon_domain::campaign::{CampaignInput, CampaignPolicy};
use carillon_domain::ids::ClipId;
use carillon_domain::script::Script;
use carillon_interfaces::failpoint::NoFailpoints;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// More than is ever used at once: only the machine limits.
pub(crate) const LINES: u32 = 20_000;

/// A campaign to measure with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CampaignWish {
    /// Length of its clip, in seconds.
    pub(crate) clip_s: u32,
    /// How many times the clip is played.
    pub(crate) times: u8,
    /// Whether its calls are recorded.
    pub(crate) record: bool,
    /// Whether its window is open now.
    pub(crate) open: bool,
    /// Most calls at once.
    pub(crate) lines: u32,
}

/// A served installation.
pub(crate) struct Installation {
    /// Its server.
    pub(crate) server: ServerProcess,
    /// Its campaigns, in the order of the wishes.
    pub(crate) campaigns: Vec<String>,
    client: reqwest::Client,
    credentials: CredentialsFile,
    log: PathBuf,
    _folder: TempDir,
}

impl Installation {
    /// Makes it, with one trunk to the far end, and serves it.
    pub(crate) async fn start(wishes: &Wishes, far_end: &FarEnd, campaigns: &[CampaignWish]) -> anyhow::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("carillon-bench-");
        let folder = match &wishes.folder {
            Some(folder) => builder.tempdir_in(folder),
            None => builder.tempdir(),
        };
        let folder = folder.context("there is no folder for a temporary installation; name one with --folder")?;
        let config = folder.path().join("bench.toml");
        std::fs::write(&config, settings(folder.path(), far_end.address()))?;
        let campaigns = make(&config, campaigns).await?;
        let log = folder.path().join("server.log");
        let server = ServerProcess::start(&config, &log).await?;
        crate::wiring::install_crypto();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()?;
        let credentials = read_credentials(&folder.path().join("data"))?;
        Ok(Self {
            server,
            campaigns,
            client,
            credentials,
            log,
            _folder: folder,
        })
    }

    /// Pushes a body made by [`records`]; returns when it is durable. Fails if a record is not accepted.
    pub(crate) async fn push(&self, campaign: usize, body: Bytes) -> anyhow::Result<()> {
        let campaign = self.campaigns.get(campaign).context("no such campaign")?;
        let url = format!(
            "{}/v1/campaigns/{campaign}/records/push-bulk",
            self.credentials.base_url
        );
        let request = self
            .client
            .post(url)
            .header("X-API-Key", &self.credentials.revrag.api_key);
        let reply = request
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await?;
        let status = reply.status();
        let text = reply.text().await?;
        // Reading the whole answer would cost the machine as much as writing it did.
        if !status.is_success() || !text.contains("\"rejected\":0") {
            bail!("a push was not taken: {status}: {}", text.get(..300).unwrap_or(&text));
        }
        Ok(())
    }

    /// Counts of a campaign's records by status, as RevRag's API tells them.
    pub(crate) async fn counts(&self, campaign: usize) -> anyhow::Result<Value> {
        let campaign = self.campaigns.get(campaign).context("no such campaign")?;
        let url = format!("{}/v1/campaigns/{campaign}/status", self.credentials.base_url);
        let request = self
            .client
            .get(url)
            .header("X-API-Key", &self.credentials.revrag.api_key);
        let text = request.send().await?.error_for_status()?.text().await?;
        let status: Value = serde_json::from_str(&text)?;
        status
            .get("stats")
            .cloned()
            .context("a campaign's status has no counts")
    }

    /// How many lines the server has logged: warnings and errors.
    pub(crate) fn warnings(&self) -> usize {
        std::fs::read_to_string(&self.log).map_or(0, |text| text.lines().count())
    }

    /// The first line that it has logged.
    pub(crate) fn first_warning(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// Stops the server and removes everything.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.server.stop().await
    }
}

/// The body of a push of so many records, the first with this number.
pub(crate) fn records(first: u64, count: u64) -> Bytes {
    let records: Vec<Value> = (first..first + count)
        .map(|number| json!({"phone_number": phone(number), "variables": {"name": "Asha", "amount": number}}))
        .collect();
    json!({ "records": records }).to_string().into()
}

/// A phone number for each number below a hundred million.
pub(crate) fn phone(number: u64) -> String {
    format!("+9198{number:08}")
}

fn settings(folder: &Path, far_end: SocketAddr) -> String {
    let (data, host, port) = (folder.join("data"), far_end.ip(), far_end.port());
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\ndata = {data:?}\nshutdown_grace_s = 0\n\
         [sip]\nlisten = \"127.0.0.1:0\"\n\
         [media]\nport_min = 10000\nport_max = 32000\n\
         # The far end of some measurements is silent all the time.\nrtp_timeout_ms = 3600000\n\
         [speech]\nenabled = false\n\
         [workspace]\nmode = \"live\"\nmax_concurrent_calls = {LINES}\n\
         [log]\nfilter = \"warn\"\n\
         [[trunks]]\nname = \"far end\"\nhost = \"{host}\"\nport = {port}\ncaller_ids = [\"+911140000000\"]\n\
         codecs = [\"pcmu\"]\nlines = {LINES}\ncalls_per_second = {LINES}\n"
    )
}

/// Makes the installation's content and returns its campaigns.
async fn make(config: &Path, wishes: &[CampaignWish]) -> anyhow::Result<Vec<String>> {
    let config = Config::load(Some(config), std::iter::empty())?;
    let clips = config.server.data.join("clips");
    let server = Server::start(config, Arc::new(NoFailpoints)).await?;
    let mut made = Vec::new();
    for wish in wishes {
        made.push(campaign(&server, &clips, wish).await?);
    }
    server.shut_down(Duration::ZERO).await;
    Ok(made)
}

async fn campaign(server: &Server, clips: &Path, wish: &CampaignWish) -> anyhow::Result<String> {
    let (app, workspace) = (&server.app, server.workspace.id);
    let clip = ClipId::new(app.next_id());
    let samples: Vec<u8> = (0..wish.clip_s * 8_000)
        .flat_map(|n| (((n * 37) % 4_001) as i16 - 2_000).to_le_bytes())
        .collect();
    std::fs::write(clips.join(format!("{clip}.pcm")), samples)?;
    app.add_clip(workspace, clip, "noise".to_owned(), u64::from(wish.clip_s) * 1_000)
        .await?;
    let agent = NewAgent {
        name: "Bench".to_owned(),
        variables: Vec::new(),
        script: Script::Announce {
            clip,
            times: wish.times,
            gap_ms: 0,
        },
        caller_id: None,
        trunk_id: None,
        ring_timeout_s: 30,
        max_duration_s: 7_200,
        record_calls: wish.record,
        active: true,
    };
    let agent = app.save_agent(workspace, None, agent).await?;
    let zone = ZoneName::parse("Asia/Kolkata")?;
    let mut policy = CampaignPolicy::always_open(zone.clone());
    policy.max_concurrent_calls = wish.lines;
    policy.retry.max_attempts = 1;
    if !wish.open {
        policy.window = closed_hours()?.in_zone(zone);
    }
    let new = NewCampaign {
        name: "Bench".to_owned(),
        agent_id: agent.id,
        policy,
    };
    let campaign = app.create_campaign(workspace, new).await?;
    app.campaign_input(workspace, campaign.id, CampaignInput::Launch)
        .await?;
    Ok(campaign.id.to_string())
}

/// An hour of the day that begins in about twelve.
fn closed_hours() -> anyhow::Result<DailyHours> {
    let now = jiff::Timestamp::now().in_tz("Asia/Kolkata")?;
    let hour = (u16::try_from(now.hour())? + 12) % 24;
    let minute = |hour: u16| MinuteOfDay::new(hour * 60).context("a time of day");
    Ok(DailyHours::new(
        minute(hour)?,
        minute(hour + 1)?,
        WeekdaySet::EVERY_DAY,
    )?)
}
