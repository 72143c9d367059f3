//! Writes of one or many transitions, sorted into chunks in which no row is touched twice. Within a chunk the order means
//! nothing, so each kind of write is one statement.

use crate::table::{Prepared, Row, Table, Value, Write};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A transition and the number of each of its writes (0 where none is needed).
pub(super) type Numbered<'a> = (&'a Prepared, &'a [i64]);

/// Whether additions to one counter may be added up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counters {
    /// Each stands alone, in its order, so that the right one is refused.
    Apart,
    /// They are added up, and the sum is guarded more strictly than its parts: if it passes, each of them would have.
    Together,
}

/// A row to insert.
pub(super) struct Insert<'a> {
    pub(super) workspace: Uuid,
    pub(super) row: &'a Row,
    pub(super) number: i64,
}

/// A row to replace.
pub(super) struct Update<'a> {
    pub(super) workspace: Uuid,
    pub(super) row: &'a Row,
}

/// A row to take away.
pub(super) struct Removed {
    pub(super) workspace: Uuid,
    pub(super) table: Table,
    pub(super) id: Uuid,
    pub(super) expected: i64,
}

/// What is added to a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delta {
    /// What is added in all.
    pub(super) add: i64,
    /// The most that the value rises on the way.
    pub(super) rise: i64,
    /// The most that it falls on the way, as a negative number.
    pub(super) fall: i64,
    pub(super) max: i64,
    pub(super) floor: i64,
}

impl Delta {
    fn of(add: i64, max: Option<i64>, floor: Option<i64>) -> Self {
        let (max, floor) = (max.unwrap_or(i64::MAX), floor.unwrap_or(i64::MIN));
        Self {
            add,
            rise: add.max(0),
            fall: add.min(0),
            max,
            floor,
        }
    }

    /// Both, one after the other; `None` if a sum leaves the range.
    fn then(self, next: Self) -> Option<Self> {
        Some(Self {
            add: self.add.checked_add(next.add)?,
            rise: self.rise.checked_add(next.rise)?,
            fall: self.fall.checked_add(next.fall)?,
            max: self.max.min(next.max),
            floor: self.floor.max(next.floor),
        })
    }
}

/// Writes that touch different rows.
#[derive(Default)]
pub(super) struct Chunk<'a> {
    pub(super) inserts: BTreeMap<Table, Vec<Insert<'a>>>,
    pub(super) updates: BTreeMap<Table, Vec<Update<'a>>>,
    pub(super) removals: Vec<Removed>,
    pub(super) counters: BTreeMap<(Uuid, &'a str), Delta>,
    /// Entries of the do-not-call list: put, or (`None`) removed.
    pub(super) do_not_call: BTreeMap<(Uuid, &'a str), Option<&'a str>>,
    pub(super) api_keys: Vec<(Uuid, &'a Write)>,
    touched: BTreeSet<(Table, Uuid, Uuid, i64)>,
}

/// The chunks of these transitions, in order.
pub(super) fn chunks<'a>(transitions: impl IntoIterator<Item = Numbered<'a>>, counters: Counters) -> Vec<Chunk<'a>> {
    let mut chunks = Vec::new();
    let mut chunk = Chunk::default();
    for (prepared, numbers) in transitions {
        for (write, number) in prepared.writes.iter().zip(numbers) {
            if !chunk.takes(prepared.workspace_id, write, counters) {
                chunks.push(std::mem::take(&mut chunk));
            }
            chunk.add(prepared.workspace_id, write, *number);
        }
    }
    chunks.push(chunk);
    chunks
}

fn place(workspace: Uuid, row: &Row) -> (Table, Uuid, Uuid, i64) {
    // The log's rows are told apart by their number, the first key column.
    let number = match (row.table, row.keys.first()) {
        (Table::DeliveryAttempts, Some(Value::Int(Some(number)))) => *number,
        _ => 0,
    };
    (row.table, workspace, row.id, number)
}

impl<'a> Chunk<'a> {
    fn takes(&self, workspace: Uuid, write: &'a Write, counters: Counters) -> bool {
        match write {
            Write::Put(row) => !self.touched.contains(&place(workspace, row)),
            Write::Remove { table, id, .. } => !self.touched.contains(&(*table, workspace, *id, 0)),
            Write::PutDoNotCall { phone, .. } | Write::RemoveDoNotCall { phone } => {
                !self.do_not_call.contains_key(&(workspace, phone.as_str()))
            }
            Write::AddToCounter {
                counter,
                add,
                max,
                floor,
            } => match self.counters.get(&(workspace, counter.as_str())) {
                Some(before) => counters == Counters::Together && before.then(Delta::of(*add, *max, *floor)).is_some(),
                None => true,
            },
            Write::PutApiKey { .. } => self.api_keys.is_empty(),
        }
    }

    fn add(&mut self, workspace: Uuid, write: &'a Write, number: i64) {
        match write {
            Write::Put(row) => {
                self.touched.insert(place(workspace, row));
                if row.expected == 0 {
                    self.inserts
                        .entry(row.table)
                        .or_default()
                        .push(Insert { workspace, row, number });
                } else {
                    self.updates
                        .entry(row.table)
                        .or_default()
                        .push(Update { workspace, row });
                }
            }
            Write::Remove { table, id, expected } => {
                let (table, id, expected) = (*table, *id, *expected);
                self.touched.insert((table, workspace, id, 0));
                self.removals.push(Removed {
                    workspace,
                    table,
                    id,
                    expected,
                });
            }
            Write::PutDoNotCall { phone, doc } => {
                self.do_not_call.insert((workspace, phone), Some(doc));
            }
            Write::RemoveDoNotCall { phone } => {
                self.do_not_call.insert((workspace, phone), None);
            }
            Write::AddToCounter {
                counter,
                add,
                max,
                floor,
            } => {
                let delta = Delta::of(*add, *max, *floor);
                let sum = match self.counters.get(&(workspace, counter.as_str())) {
                    Some(before) => before.then(delta).unwrap_or(delta),
                    None => delta,
                };
                self.counters.insert((workspace, counter), sum);
            }
            Write::PutApiKey { .. } => self.api_keys.push((workspace, write)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(counter: &str, add: i64, max: Option<i64>) -> Write {
        Write::AddToCounter {
            counter: counter.to_owned(),
            add,
            max,
            floor: None,
        }
    }

    fn row(id: u128, expected: i64) -> Write {
        let (table, doc) = (Table::Trunks, String::new());
        Write::Put(Row {
            table,
            id: Uuid::from_u128(id),
            expected,
            keys: Vec::new(),
            doc,
        })
    }

    fn sizes(writes: Vec<Write>, counters: Counters) -> Vec<usize> {
        let prepared = Prepared {
            workspace_id: Uuid::nil(),
            writes,
        };
        let numbers = vec![0; prepared.writes.len()];
        let size = |chunk: &Chunk<'_>| {
            let inserts: usize = chunk.inserts.values().map(Vec::len).sum();
            let updates: usize = chunk.updates.values().map(Vec::len).sum();
            inserts + updates + chunk.counters.len() + chunk.do_not_call.len()
        };
        chunks([(&prepared, numbers.as_slice())], counters)
            .iter()
            .map(size)
            .collect()
    }

    #[test]
    fn a_row_that_comes_again_opens_a_new_chunk() {
        assert_eq!(
            sizes(vec![row(1, 0), row(2, 0), row(1, 1), row(2, 1)], Counters::Together),
            [2, 2]
        );
        assert_eq!(
            sizes(vec![row(1, 0), row(1, 1), row(1, 2)], Counters::Together),
            [1, 1, 1]
        );
        assert_eq!(sizes(vec![], Counters::Together), [0]);
    }

    #[test]
    fn counters_are_added_up_only_if_that_is_asked_for() {
        let writes = vec![add("a", 1, Some(9)), add("b", 1, None), add("a", 1, Some(3))];
        assert_eq!(sizes(writes.clone(), Counters::Together), [2]);
        assert_eq!(sizes(writes, Counters::Apart), [2, 1]);
    }

    #[test]
    fn a_sum_is_guarded_by_its_highest_point_and_strictest_bound() {
        let sum = Delta::of(5, Some(9), None)
            .then(Delta::of(-3, None, Some(0)))
            .and_then(|d| d.then(Delta::of(1, Some(7), None)));
        assert_eq!(
            sum,
            Some(Delta {
                add: 3,
                rise: 6,
                fall: -3,
                max: 7,
                floor: 0
            })
        );
        assert_eq!(Delta::of(i64::MAX, None, None).then(Delta::of(1, None, None)), None);
    }
}
