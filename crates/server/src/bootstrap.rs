//! The first start: a workspace, its keys, `credentials.json`. Later starts find them again.

use crate::config::{Config, NumberFormatConfig, TrunkConfig};
use anyhow::Context;
use carillon_app::{App, NewTrunk};
use carillon_domain::ids::WorkspaceId;
use carillon_domain::phone::PhoneNumber;
use carillon_domain::pii::Secret;
use carillon_domain::trunk::{Codec, Credentials, NumberFormat, Transport, Trunk};
use carillon_domain::webhook::Dialect;
use carillon_domain::workspace::{StatusStyle, Workspace};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Name of the trunk to the built-in far end.
pub(crate) const SANDBOX_TRUNK: &str = "sandbox";

/// What newcomers and tests read after the first start. Mode 0600.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct CredentialsFile {
    /// How the APIs are reached.
    pub(crate) base_url: String,
    /// Our own API.
    pub(crate) native: ApiKeyEntry,
    /// RevRag's API.
    pub(crate) revrag: ApiKeyEntry,
}

/// A key of one dialect.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ApiKeyEntry {
    /// The key.
    pub(crate) api_key: String,
}

/// Reads `credentials.json` of a data folder.
pub(crate) fn read_credentials(data: &Path) -> anyhow::Result<CredentialsFile> {
    let path = data.join("credentials.json");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}: start the server once with `carillon serve`",
            path.display()
        )
    })?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
}

/// The secret with which recording links are signed; made at the first start.
pub(crate) fn link_secret(data: &Path) -> anyhow::Result<Secret> {
    let path = data.join("link-secret");
    if let Ok(text) = std::fs::read_to_string(&path) {
        return Ok(Secret::new(text.trim().to_owned()));
    }
    let secret: String = {
        use rand::RngExt;
        let mut rng = rand::rng();
        (0..32).map(|_| format!("{:02x}", rng.random::<u8>())).collect()
    };
    write_private(&path, &secret)?;
    Ok(Secret::new(secret))
}

/// Makes or finds the workspace, its keys and its trunks.
pub(crate) async fn bootstrap(
    app: &App,
    config: &Config,
    base_url: &str,
    sandbox: Option<SocketAddr>,
) -> anyhow::Result<Workspace> {
    let workspace = match app.store().workspaces().await?.into_iter().next() {
        Some(found) => found,
        None => first_workspace(app, config).await?,
    };
    write_credentials(app, config, &workspace, base_url).await?;
    let trunks = app.store().trunks(workspace.id).await?;
    for trunk in &config.trunks {
        save_trunk(app, workspace.id, &trunks, from_config(trunk)).await?;
    }
    if let Some(address) = sandbox {
        save_trunk(app, workspace.id, &trunks, sandbox_trunk(address)).await?;
    }
    Ok(workspace)
}

async fn first_workspace(app: &App, config: &Config) -> anyhow::Result<Workspace> {
    let settings = &config.workspace;
    let workspace = Workspace {
        id: WorkspaceId::new(app.next_id()),
        name: settings.name.clone(),
        mode: settings.mode,
        region: settings.region.clone(),
        allowed_regions: settings.allowed_regions.clone(),
        max_concurrent_calls: settings.max_concurrent_calls,
        status_style: StatusStyle::ByOrigin,
        version: 0,
    };
    Ok(app.save_workspace(workspace).await?)
}

async fn write_credentials(app: &App, config: &Config, workspace: &Workspace, base_url: &str) -> anyhow::Result<()> {
    let data = &config.server.data;
    let path = data.join("credentials.json");
    let mut credentials = match read_credentials(data) {
        Ok(found) if found.base_url == base_url => return Ok(()),
        Ok(found) => found,
        // A store that has keys already belongs to somebody who has kept them elsewhere.
        Err(_) if !app.store().api_keys(workspace.id).await?.is_empty() => return Ok(()),
        Err(_) => {
            let native = app
                .create_api_key(workspace.id, "first native key".to_owned(), Dialect::Native, None)
                .await?;
            let revrag = app
                .create_api_key(workspace.id, "first RevRag key".to_owned(), Dialect::Revrag, None)
                .await?;
            CredentialsFile {
                base_url: String::new(),
                native: ApiKeyEntry {
                    api_key: native.secret.expose().to_owned(),
                },
                revrag: ApiKeyEntry {
                    api_key: revrag.secret.expose().to_owned(),
                },
            }
        }
    };
    base_url.clone_into(&mut credentials.base_url);
    write_private(&path, &serde_json::to_string_pretty(&credentials)?)
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path).with_context(|| format!("cannot write {}", path.display()))
}

async fn save_trunk(app: &App, workspace: WorkspaceId, existing: &[Trunk], new: NewTrunk) -> anyhow::Result<()> {
    let id = existing
        .iter()
        .find(|trunk| trunk.name == new.name)
        .map(|trunk| trunk.id);
    app.save_trunk(workspace, id, new).await?;
    Ok(())
}

fn sandbox_trunk(address: SocketAddr) -> NewTrunk {
    NewTrunk {
        name: SANDBOX_TRUNK.to_owned(),
        host: address.ip().to_string(),
        port: address.port(),
        transport: Transport::Udp,
        credentials: Some(Credentials {
            username: "sandbox".to_owned(),
            password: Secret::new("sandbox"),
        }),
        domain: None,
        caller_ids: PhoneNumber::from_e164_shape("+911140000000").into_iter().collect(),
        number_format: NumberFormat::E164,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        lines: 1_000,
        calls_per_second: 100,
        assert_identity: false,
        sandbox: true,
        enabled: true,
    }
}

fn from_config(trunk: &TrunkConfig) -> NewTrunk {
    let credentials = (!trunk.username.is_empty()).then(|| Credentials {
        username: trunk.username.clone(),
        password: Secret::new(trunk.password.clone()),
    });
    NewTrunk {
        name: trunk.name.clone(),
        host: trunk.host.clone(),
        port: trunk.port,
        transport: trunk.transport,
        credentials,
        domain: (!trunk.domain.is_empty()).then(|| trunk.domain.clone()),
        caller_ids: trunk
            .caller_ids
            .iter()
            .filter_map(|number| PhoneNumber::from_e164_shape(number))
            .collect(),
        number_format: match trunk.number_format {
            NumberFormatConfig::E164 => NumberFormat::E164,
            NumberFormatConfig::Digits => NumberFormat::Digits,
        },
        codecs: trunk.codecs.clone(),
        lines: trunk.lines,
        calls_per_second: trunk.calls_per_second,
        assert_identity: trunk.assert_identity,
        sandbox: false,
        enabled: true,
    }
}
