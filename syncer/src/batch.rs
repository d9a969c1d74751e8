//! The units that reach the target together: one MULTI/EXEC. Pure; between route and the target's socket.
//!
//! The order of units is the source's (Invariant 14), a unit is never split (Promise 3), and a refused command is
//! led back to its unit.

use std::ops::Range;

use crate::{
    position::{DbIndex, Offset},
    resp::command::Command,
    route::Route,
};

mod assembler;
mod refusal;
#[cfg(test)]
mod tests;

pub use self::{assembler::Assembler, refusal::UnitRefusal};

/// What an emptied batch keeps of its memory.
const BYTES_KEPT: usize = 4 << 20;

/// A unit's place in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchedUnit {
    /// Behind the unit, in the source's history.
    pub end: Offset,
    /// The source's database behind it.
    pub db: Option<DbIndex>,
    /// How many commands of the batch end with it.
    pub commands_end: usize,
    /// How many of them are SELECTs.
    pub selects_end: usize,
    /// What the batch has counted there.
    pub counts: BatchCounts,
    /// Where the batch's bytes end with it.
    pub bytes_end: usize,
    /// The target's selected database there.
    pub route: Route,
}

/// What a batch counts of its units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Commands forwarded.
    pub commands: u64,
    /// Commands dropped: they are ours, or the target has no use for them.
    pub dropped: u64,
    /// Commands that carry a time of expiry.
    pub expiring: u64,
    /// Units that went to the dead letters instead.
    pub rejected: u64,
}

/// Units gathered for one EXEC.
#[derive(Debug, Default)]
pub struct Batch {
    /// The commands as bytes, without MULTI and EXEC.
    pub bytes: Vec<u8>,
    /// Its units in order, those without commands included.
    pub units: Vec<BatchedUnit>,
    /// How many commands `bytes` holds.
    pub command_count: usize,
    /// For the counters.
    pub counts: BatchCounts,
    /// How many of the commands are SELECTs: they succeed whatever may be written.
    pub select_count: usize,
    route: Route,
}

impl Batch {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        // One huge transaction must not keep its memory for ever.
        self.bytes.shrink_to(BYTES_KEPT);
        self.units.clear();
        self.command_count = 0;
        self.counts = BatchCounts::default();
        self.select_count = 0;
        self.route = Route::new();
    }

    /// Whether nothing of it needs to reach the target.
    pub fn has_commands(&self) -> bool {
        self.command_count > 0
    }

    /// The end of its last unit.
    pub fn end(&self) -> Option<Offset> {
        self.units.last().map(|unit| unit.end)
    }

    /// The last unit that has commands.
    pub fn last_data_unit(&self) -> Option<&BatchedUnit> {
        let last = self.units.partition_point(|unit| unit.commands_end < self.unit_commands());
        self.units.get(last).filter(|unit| unit.commands_end > 0)
    }

    /// How many commands belong to units; what the record adds comes behind them.
    fn unit_commands(&self) -> usize {
        self.units.last().map_or(0, |unit| unit.commands_end)
    }

    /// The unit that command `index` belongs to, as an index into `units`. What is behind the last unit (the
    /// record's own commands) belongs to none.
    pub fn unit_of(&self, index: usize) -> Option<usize> {
        let at = self.units.partition_point(|unit| unit.commands_end <= index);
        (at < self.units.len()).then_some(at)
    }

    /// These commands, with the database of each. `indexes` are in order.
    pub fn commands_at(&self, indexes: &[usize]) -> Vec<(usize, DbIndex, Range<usize>)> {
        let mut found = Vec::new();
        let mut command = Command::default();
        let mut db = Route::RECORD_DB;
        let (mut at, mut number) = (0, 0);
        let mut indexes = indexes.iter().copied().peekable();
        while let Some(index) = indexes.peek().copied()
            && let Ok(Some(next)) = command.parse(&self.bytes, at)
        {
            if number == index {
                indexes.next();
                found.push((index, db, at..next));
            } else if command.name(&self.bytes) == b"SELECT"
                && let Some(text) = command.argument(&self.bytes, 1)
                && let Some(selected) =
                    std::str::from_utf8(text).ok().and_then(|db| db.parse().ok())
            {
                db = DbIndex(selected);
            }
            (at, number) = (next, number + 1);
        }
        found
    }

    /// Keeps the first `count` units only.
    pub fn truncate(&mut self, count: usize) {
        self.units.truncate(count);
        match self.units.last() {
            None => self.clear(),
            Some(&BatchedUnit { commands_end, selects_end, counts, bytes_end, route, .. }) => {
                self.command_count = commands_end;
                self.select_count = selects_end;
                self.counts = counts;
                self.route = route;
                self.bytes.truncate(bytes_end);
            }
        }
    }

    /// The record's commands are to follow: back to its database.
    pub fn select_record_db(&mut self) {
        self.select(Route::RECORD_DB);
    }

    fn select(&mut self, db: DbIndex) {
        if self.route.select(db, &mut self.bytes) {
            self.command_count += 1;
            self.select_count += 1;
        }
    }
}
