//! Statistics for tables that grow by thousands of rows at once.
//!
//! The server's own ANALYZE comes up to a minute later. Until then the planner guesses that a campaign has one record, and
//! may read all 100,000 of them by an index that only begins with the right columns. So the committer analyses a table
//! inside the transaction that makes it much larger.

use crate::table::{Prepared, Table, Write};
use sqlx::postgres::PgConnection;
use std::collections::BTreeMap;

/// Rows after which a table is analysed for the first time.
const FIRST: u64 = 500;
/// From then on each time that it has doubled, until the server's own ANALYZE is quick enough.
const LAST: u64 = 500_000;

/// Rows that this process has inserted into each table.
#[derive(Default)]
pub(super) struct Growth {
    rows: BTreeMap<Table, u64>,
}

impl Growth {
    /// Counts the rows of a batch, and names the tables that it makes much larger.
    pub(super) fn add(&mut self, batch: &[Prepared]) -> Vec<Table> {
        let mut inserted: BTreeMap<Table, u64> = BTreeMap::new();
        for write in batch.iter().flat_map(|prepared| &prepared.writes) {
            if let Write::Put(row) = write
                && row.expected == 0
            {
                *inserted.entry(row.table).or_default() += 1;
            }
        }
        let mut grown = Vec::new();
        for (table, count) in inserted {
            let rows = self.rows.entry(table).or_default();
            let before = *rows;
            *rows += count;
            if steps(*rows) > steps(before) {
                grown.push(table);
            }
        }
        grown
    }
}

/// How often a table of so many rows should have been analysed.
fn steps(rows: u64) -> u32 {
    (rows.min(LAST) / FIRST)
        .checked_ilog2()
        .map_or(0, |doublings| doublings + 1)
}

/// Analyses the tables, with what this transaction has written. Leaves out one that somebody else is analysing or
/// vacuuming.
pub(super) async fn analyze(db: &mut PgConnection, tables: &[Table]) -> Result<(), sqlx::Error> {
    for table in tables {
        let sql = format!("ANALYZE (SKIP_LOCKED) {}", table.name());
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *db).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_analysed_each_time_that_it_doubles() {
        // rows → times
        for (rows, times) in [
            (0, 0),
            (499, 0),
            (500, 1),
            (999, 1),
            (1_000, 2),
            (10_000, 5),
            (500_000, 10),
            (u64::MAX, 10),
        ] {
            assert_eq!(steps(rows), times, "{rows}");
        }
    }
}
