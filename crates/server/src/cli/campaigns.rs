//! `carillon campaigns`.

use super::api_client::{ApiClient, ServerArgs};
use super::output::Output;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Campaigns.
#[derive(Args, Debug)]
pub(crate) struct CampaignsArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: CampaignsCommand,
}

#[derive(Subcommand, Debug)]
enum CampaignsCommand {
    /// List campaigns.
    List,
    /// Show one with the counts of its records.
    Show {
        /// Its id.
        id: String,
    },
    /// Start it, now or at its start date.
    Launch {
        /// Its id.
        id: String,
    },
    /// Stop dialling for now.
    Pause {
        /// Its id.
        id: String,
    },
    /// Dial again.
    Resume {
        /// Its id.
        id: String,
    },
    /// End it as done; records that wait become failed.
    Complete {
        /// Its id.
        id: String,
    },
    /// Call it off; records that wait become failed.
    Cancel {
        /// Its id.
        id: String,
    },
    /// Say why a record has not been dialled yet.
    Why {
        /// The campaign's id.
        id: String,
        /// The record's id.
        record: String,
    },
}

/// Runs `carillon campaigns`.
pub(crate) async fn campaigns(args: &CampaignsArgs, out: Output) -> anyhow::Result<ExitCode> {
    let client = ApiClient::of(&args.server)?;
    let (id, verb) = match &args.command {
        CampaignsCommand::List => {
            let list = client.get("/campaigns").await?;
            let columns = ["id", "name", "status", "created_at"];
            out.table(
                &columns,
                &super::rows(&list, |campaign| super::cells(campaign, &columns)),
            );
            return Ok(ExitCode::SUCCESS);
        }
        CampaignsCommand::Show { id } => {
            let campaign = client.get(&format!("/campaigns/{id}")).await?;
            out.note(&serde_json::to_string_pretty(&campaign)?);
            out.value(&campaign);
            return Ok(ExitCode::SUCCESS);
        }
        CampaignsCommand::Why { id, record } => {
            let held = client
                .get(&format!("/campaigns/{id}/records/{record}/why-not-yet"))
                .await?;
            let columns = ["gate", "opens_at", "reason"];
            let rows = held
                .get("held")
                .map(|gates| super::rows(gates, |gate| super::cells(gate, &columns)));
            match rows {
                Some(rows) if !rows.is_empty() => out.table(&columns, &rows),
                _ => out.note("No gate holds it."),
            }
            out.value(&held);
            return Ok(ExitCode::SUCCESS);
        }
        CampaignsCommand::Launch { id } => (id, "launch"),
        CampaignsCommand::Pause { id } => (id, "pause"),
        CampaignsCommand::Resume { id } => (id, "resume"),
        CampaignsCommand::Complete { id } => (id, "complete"),
        CampaignsCommand::Cancel { id } => (id, "cancel"),
    };
    let campaign = client.post(&format!("/campaigns/{id}/{verb}"), &json!({})).await?;
    out.note(&format!(
        "The campaign is {}.",
        campaign.get("status").and_then(Value::as_str).unwrap_or("changed")
    ));
    out.value(&campaign);
    Ok(ExitCode::SUCCESS)
}
