//! The three implementations of [`Store`]: memory (tests and the simulator), SQLite (the default) and PostgreSQL. In front
//! of SQLite stands [`cached`].
//!
//! [`open`] picks one by URL, [`migrate`](migrate::migrate) moves one. This crate alone knows SQL. The stored form of an entity is its serde form in a `doc` column;
//! `table` says which columns stand beside it, and `migrations/` how they are indexed.

mod batch;
pub mod cached;
mod counter;
mod error;
pub mod memory;
mod meters;
pub mod migrate;
pub mod postgres;
pub mod sqlite;
mod table;

use carillon_interfaces::store::{Store, StoreError};
pub use error::OpenError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens the store of `url`, and brings its schema up to date:
///
/// - `memory:` is empty at each start;
/// - `sqlite:` is `carillon.db` in `data_dir`, `sqlite:PATH` another file;
/// - `postgres://USER:PASSWORD@HOST/DATABASE` is a PostgreSQL server, version 15 or later.
///
/// # Errors
///
/// The text of an [`OpenError`], without the URL's password.
pub async fn open(url: &str, data_dir: &Path) -> Result<Arc<dyn Store>, StoreError> {
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Arc::new(memory::MemoryStore::new())),
        Some(("sqlite", path)) => {
            let store = open_sqlite(sqlite_path(path, data_dir)).await?;
            Ok(Arc::new(cached::CachedStore::new(Arc::new(store))))
        }
        Some(("postgres" | "postgresql", _)) => Ok(Arc::new(postgres::PostgresStore::open(url).await?)),
        _ => Err(OpenError::UnknownUrl(redacted(url)).into()),
    }
}

async fn open_sqlite(path: PathBuf) -> Result<sqlite::SqliteStore, StoreError> {
    tokio::task::spawn_blocking(move || sqlite::SqliteStore::open(&path))
        .await
        .map_err(|error| StoreError(format!("opening the store: {error}")))?
        .map_err(StoreError::from)
}

/// The file that the part after `sqlite:` names; `//` in front of it is ignored, as other programs write it.
fn sqlite_path(path: &str, data_dir: &Path) -> PathBuf {
    match path.strip_prefix("//").unwrap_or(path) {
        "" => data_dir.join("carillon.db"),
        path => PathBuf::from(path),
    }
}

/// A URL without its password and parameters.
fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    // A password may contain anything but a `@` of its own that comes last.
    let (user, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let place = place.split('?').next().unwrap_or_default();
    match user.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***@{place}"),
        None if user.is_empty() => format!("{scheme}://{place}"),
        None => format!("{scheme}://{user}@{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_redacted() {
        for (url, shown) in [
            ("postgres://carillon:geheim@db/main", "postgres://carillon:***@db/main"),
            (
                "postgres://carillon:ge@h:eim@db/main",
                "postgres://carillon:***@db/main",
            ),
            ("mysql://db/main?password=geheim", "mysql://db/main"),
            ("mysql://carillon@db/main?password=geheim", "mysql://carillon@db/main"),
            ("sqlite:a.db", "sqlite:a.db"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }

    #[test]
    fn a_sqlite_url_names_a_file() {
        let data = Path::new("data");
        for (path, file) in [
            ("", "data/carillon.db"),
            ("a/b.db", "a/b.db"),
            ("///tmp/b.db", "/tmp/b.db"),
        ] {
            assert_eq!(sqlite_path(path, data), PathBuf::from(file));
        }
    }
}
