//! The command line speaks to a running server through the native API, as any client would.

use crate::bootstrap::{CredentialsFile, read_credentials};
use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Which server.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArgs {
    /// Data folder of the server; its credentials.json names address and key.
    #[arg(long, env = "CARILLON_DATA", default_value = "./carillon-data")]
    pub(crate) data: PathBuf,
}

/// A client of the native API.
pub(crate) struct ApiClient {
    http: reqwest::Client,
    credentials: CredentialsFile,
}

impl ApiClient {
    /// A client of the server with this data folder.
    pub(crate) fn of(args: &ServerArgs) -> anyhow::Result<Self> {
        Self::with(read_credentials(&args.data)?)
    }

    /// A client with these credentials.
    pub(crate) fn with(credentials: CredentialsFile) -> anyhow::Result<Self> {
        crate::wiring::install_crypto();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()?;
        Ok(Self { http, credentials })
    }

    /// How the APIs are reached.
    pub(crate) fn base_url(&self) -> &str {
        &self.credentials.base_url
    }

    /// GET below `/carillon/v1`.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.http.get(self.native(path)), path).await
    }

    /// POST below `/carillon/v1`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(self.http.post(self.native(path)).json(body), path).await
    }

    /// DELETE below `/carillon/v1`.
    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.http.delete(self.native(path)), path).await
    }

    /// POST to RevRag's API.
    pub(crate) async fn revrag_post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self
            .http
            .post(format!("{}{path}", self.credentials.base_url))
            .json(body);
        Self::read(request.header("X-API-Key", &self.credentials.revrag.api_key), path).await
    }

    /// GET from RevRag's API.
    pub(crate) async fn revrag_get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.http.get(format!("{}{path}", self.credentials.base_url));
        Self::read(request.header("X-API-Key", &self.credentials.revrag.api_key), path).await
    }

    fn native(&self, path: &str) -> String {
        format!("{}/carillon/v1{path}", self.credentials.base_url)
    }

    async fn send(&self, request: reqwest::RequestBuilder, path: &str) -> anyhow::Result<Value> {
        Self::read(request.bearer_auth(&self.credentials.native.api_key), path).await
    }

    async fn read(request: reqwest::RequestBuilder, path: &str) -> anyhow::Result<Value> {
        let reply = request
            .send()
            .await
            .with_context(|| "the server does not answer; is it running?".to_owned())?;
        let status = reply.status();
        let text = reply.text().await?;
        if !status.is_success() {
            let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            let message = body
                .pointer("/error/message")
                .or_else(|| body.get("detail"))
                .unwrap_or(&body);
            bail!("{path}: {status}: {message}");
        }
        if text.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_str(&text).context("the server sent no JSON")
        }
    }
}
