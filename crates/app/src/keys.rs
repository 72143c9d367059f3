//! API keys: made here, shown once, stored as a hash, found by it.

use crate::App;
use crate::library::SaveRefusal;
use carillon_domain::ids::{ApiKeyId, WorkspaceId};
use carillon_domain::pii::Secret;
use carillon_domain::time::UnixMicros;
use carillon_domain::webhook::Dialect;
use carillon_interfaces::store::{ApiKey, StoreError};
use rand::RngExt;

/// A key that was just made. The secret is nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct NewKey {
    /// What is stored.
    pub key: ApiKey,
    /// The key itself.
    pub secret: Secret,
}

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// How a key of each dialect begins.
const fn visible_prefix(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Native => "car_live_",
        Dialect::Revrag => "rr_live_",
        Dialect::Agentive => "sk_live_",
        Dialect::Agoralia => "ago_",
        Dialect::Jagcall => "jc_live_",
    }
}

impl App {
    /// Makes a key.
    pub async fn create_api_key(
        &self,
        workspace_id: WorkspaceId,
        name: String,
        dialect: Dialect,
        expires_at: Option<UnixMicros>,
    ) -> Result<NewKey, SaveRefusal> {
        let random: String = {
            let mut rng = rand::rng();
            (0..40)
                .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
                .collect()
        };
        let secret = format!("{}{random}", visible_prefix(dialect));
        let key = ApiKey {
            workspace_id,
            id: ApiKeyId::new(self.next_id()),
            name,
            dialect,
            prefix: secret.chars().take(visible_prefix(dialect).len() + 4).collect(),
            hash: hash(&secret),
            created_at: self.now(),
            expires_at,
            revoked_at: None,
        };
        self.store().put_api_key(key.clone()).await?;
        Ok(NewKey {
            key,
            secret: Secret::new(secret),
        })
    }

    /// Ends a key at once.
    pub async fn revoke_api_key(&self, workspace: WorkspaceId, id: ApiKeyId) -> Result<ApiKey, SaveRefusal> {
        let keys = self.store().api_keys(workspace).await?;
        let mut key = keys.into_iter().find(|key| key.id == id).ok_or(SaveRefusal::NotFound)?;
        key.revoked_at.get_or_insert(self.now());
        self.store().put_api_key(key.clone()).await?;
        Ok(key)
    }

    /// The key behind a secret, if it opens this dialect now.
    pub async fn authenticate(&self, dialect: Dialect, secret: &str) -> Result<Option<ApiKey>, StoreError> {
        let now = self.now();
        // The hash is what is looked up, so nothing about a secret can be learned from how long this takes.
        let key = self.store().api_key_by_hash(&hash(secret)).await?;
        Ok(key.filter(|key| {
            key.dialect == dialect && key.revoked_at.is_none() && key.expires_at.is_none_or(|expires| expires > now)
        }))
    }
}

fn hash(secret: &str) -> String {
    blake3::hash(secret.as_bytes()).to_hex().to_string()
}
