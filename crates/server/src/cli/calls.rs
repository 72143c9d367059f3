//! `carillon calls`.

use super::api_client::{ApiClient, ServerArgs};
use super::output::Output;
use clap::{Args, Subcommand};
use serde_json::json;
use std::process::ExitCode;

/// Calls.
#[derive(Args, Debug)]
pub(crate) struct CallsArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: CallsCommand,
}

#[derive(Subcommand, Debug)]
enum CallsCommand {
    /// List calls, newest first.
    List {
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one.
    Show {
        /// Its id.
        id: String,
    },
    /// End one, whatever its state.
    Cancel {
        /// Its id.
        id: String,
    },
}

/// Runs `carillon calls`.
pub(crate) async fn calls(args: &CallsArgs, out: Output) -> anyhow::Result<ExitCode> {
    let client = ApiClient::of(&args.server)?;
    let call = match &args.command {
        CallsCommand::List { limit } => {
            let list = client.get(&format!("/calls?limit={limit}")).await?;
            let columns = ["id", "to", "state", "outcome", "sip_code", "duration_s", "created_at"];
            out.table(&columns, &super::rows(&list, |call| super::cells(call, &columns)));
            return Ok(ExitCode::SUCCESS);
        }
        CallsCommand::Show { id } => client.get(&format!("/calls/{id}")).await?,
        CallsCommand::Cancel { id } => client.post(&format!("/calls/{id}/cancel"), &json!({})).await?,
    };
    out.note(&serde_json::to_string_pretty(&call)?);
    out.value(&call);
    Ok(ExitCode::SUCCESS)
}
