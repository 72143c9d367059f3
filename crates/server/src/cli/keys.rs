//! `carillon keys`.

use super::api_client::{ApiClient, ServerArgs};
use super::output::Output;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;

/// API keys.
#[derive(Args, Debug)]
pub(crate) struct KeysArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand, Debug)]
enum KeysCommand {
    /// List the keys of the workspace.
    List,
    /// Make a key; it is shown once.
    Create {
        /// Whose API it opens: native, revrag.
        #[arg(long, default_value = "native")]
        dialect: String,
        /// A name for people.
        #[arg(long)]
        name: String,
    },
    /// End a key at once.
    Revoke {
        /// Its id.
        id: String,
    },
}

/// Runs `carillon keys`.
pub(crate) async fn keys(args: &KeysArgs, out: Output) -> anyhow::Result<ExitCode> {
    let client = ApiClient::of(&args.server)?;
    match &args.command {
        KeysCommand::List => {
            let keys = client.get("/keys").await?;
            out.table(
                &["id", "dialect", "name", "prefix", "created_at", "revoked_at"],
                &super::rows(&keys, |key| {
                    super::cells(key, &["id", "dialect", "name", "prefix", "created_at", "revoked_at"])
                }),
            );
        }
        KeysCommand::Create { dialect, name } => {
            let made = client.post("/keys", &json!({"dialect": dialect, "name": name})).await?;
            out.note("Write it down now; it is not shown again:");
            out.note(made.get("secret").and_then(Value::as_str).unwrap_or_default());
            out.value(&made);
        }
        KeysCommand::Revoke { id } => {
            let gone = client.delete(&format!("/keys/{id}")).await?;
            out.note("Revoked.");
            out.value(&gone);
        }
    }
    Ok(ExitCode::SUCCESS)
}
