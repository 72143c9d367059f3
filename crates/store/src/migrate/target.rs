//! Writes an empty PostgreSQL database, in one transaction.

use super::{Cells, Chunk, Kind, MigrateError, TablePlan};
use crate::postgres::connect;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{AssertSqlSafe, Connection, Transaction};

/// The database.
pub(super) struct Target {
    connection: PgConnection,
}

/// The database while it is being filled. Dropped, it is as empty as it was.
pub(super) struct Moving<'a> {
    transaction: Transaction<'a, Postgres>,
}

impl Target {
    /// Connects and makes the tables.
    pub(super) async fn open(url: &str) -> Result<Self, MigrateError> {
        Ok(Self {
            connection: connect(url).await?,
        })
    }

    pub(super) async fn begin(&mut self) -> Result<Moving<'_>, MigrateError> {
        Ok(Moving {
            transaction: self.connection.begin().await?,
        })
    }
}

impl Moving<'_> {
    /// Locks every table against readers and writers, and looks whether there is anything in one.
    pub(super) async fn refuse_unless_empty(&mut self, tables: &[TablePlan]) -> Result<(), MigrateError> {
        for table in tables {
            let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", table.name);
            sqlx::query(AssertSqlSafe(lock)).execute(&mut *self.transaction).await?;
            let rows = self.count(table).await?;
            if rows > 0 {
                return Err(MigrateError::NotEmpty {
                    table: table.name.clone(),
                    rows,
                });
            }
        }
        Ok(())
    }

    pub(super) async fn insert(&mut self, table: &TablePlan, chunk: &Chunk) -> Result<(), MigrateError> {
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
        let arrays: Vec<String> = (1..)
            .zip(&table.columns)
            .map(|(place, (_, kind))| format!("${place}::{}[]", kind.postgres()))
            .collect();
        let sql = format!(
            "INSERT INTO {} ({}) SELECT * FROM unnest({})",
            table.name,
            names.join(", "),
            arrays.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for cells in &chunk.columns {
            query = match cells {
                Cells::Id(cells) => query.bind(cells),
                Cells::Text(cells) => query.bind(cells),
                Cells::Int(cells) => query.bind(cells),
            };
        }
        query.execute(&mut *self.transaction).await?;
        Ok(())
    }

    /// Whether as many rows have arrived as there are.
    pub(super) async fn compare(&mut self, tables: &[TablePlan]) -> Result<(), MigrateError> {
        for table in tables {
            let target_rows = self.count(table).await?;
            if target_rows != table.rows {
                return Err(MigrateError::Counts {
                    table: table.name.clone(),
                    source_rows: table.rows,
                    target_rows,
                });
            }
        }
        Ok(())
    }

    pub(super) async fn commit(self) -> Result<(), MigrateError> {
        Ok(self.transaction.commit().await?)
    }

    async fn count(&mut self, table: &TablePlan) -> Result<u64, MigrateError> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut *self.transaction)
            .await?;
        Ok(rows.unsigned_abs())
    }
}

impl Kind {
    const fn postgres(self) -> &'static str {
        match self {
            Self::Id => "uuid",
            Self::Text => "text",
            Self::Int => "bigint",
        }
    }
}
