//! What the target cannot take goes to the dead letters, if the user wants the link to go on (`stream.onRejected`).
//!
//! What is known before it is sent is on disk before the batch that goes on without it. What fails within EXEC is
//! known only when the record has passed it: a process that is killed in between leaves the batch unchecked, and says so.

use super::{Applier, attach::Attached, flow::Flow};
use crate::{
    batch::{Batch, UnitRefusal},
    contract::{OnRejected, Timestamp},
    dead_letters::{Appended, Cause, FILE_BYTES_MAX, Letter},
    position::{DbIndex, Offset},
    resp::command::Command,
    target::{
        error::{TargetError, is_passing},
        guarded::Errors,
    },
};

/// What became of a unit that cannot be applied.
pub(super) enum SetAside {
    /// It is in the dead letters.
    Kept,
    /// It is not: the link halts. Why, if that is not the user's wish.
    Not(Option<String>),
}

impl Applier {
    fn sets_aside(&self) -> bool {
        self.link.config.borrow().on_rejected == OnRejected::DeadLetter
    }

    /// Whether a command that was refused with these words is set aside: they are about the command, not about a state or
    /// a right, which a human puts right.
    pub(super) fn may_set_aside(&self, error: &str) -> bool {
        self.sets_aside() && !is_passing(error) && !error.starts_with("NOPERM")
    }

    /// Sets aside the unit that the flow stands at.
    pub(super) fn set_unit_aside(
        &mut self,
        attached: &Attached,
        flow: &Flow,
        end: Offset,
        refusal: &UnitRefusal,
    ) -> Result<SetAside, TargetError> {
        let cause = match refusal {
            UnitRefusal::Unsupported { .. } => Cause::Unsupported,
            UnitRefusal::Rejected { .. } => Cause::Refused,
            UnitRefusal::Refused { .. }
            | UnitRefusal::Unasked(_)
            | UnitRefusal::NoDatabase(_)
            | UnitRefusal::UnknownDatabase
            | UnitRefusal::TooLarge(_)
            | UnitRefusal::Corrupt(_) => return Ok(SetAside::Not(None)),
        };
        let Some((commands, db)) = flow.refused_unit().filter(|_| self.sets_aside()) else {
            return Ok(SetAside::Not(None));
        };
        if swaps_databases(commands) {
            return Ok(SetAside::Not(None));
        }
        if commands.len() as u64 > FILE_BYTES_MAX {
            return Ok(SetAside::Not(Some(self.full())));
        }
        let commands = commands.to_vec();
        let error = refusal.to_string();
        let Some(letter) = letter(attached, end, (db, 0), cause, error, commands) else {
            return Ok(SetAside::Not(None));
        };
        match self.append(&letter)? {
            Appended::Full => Ok(SetAside::Not(Some(self.full()))),
            Appended::New | Appended::Known => {
                tracing::warn!(offset = end.0, %refusal, "a unit went to the dead letters");
                Ok(SetAside::Kept)
            }
        }
    }

    /// Sets aside the commands that failed within a batch. False if they are to halt.
    pub(super) fn set_failed_aside(
        &mut self,
        attached: &Attached,
        batch: &Batch,
        errors: &Errors,
    ) -> Result<bool, TargetError> {
        let is_all_kept = errors.first.len() == errors.count;
        let may_all = errors
            .first
            .iter()
            .all(|(index, error)| batch.unit_of(*index).is_some() && self.may_set_aside(error));
        if !is_all_kept || !may_all {
            return Ok(false);
        }
        let found = batch.commands_at(&errors.indexes);
        let mut kept: Vec<Letter> = Vec::new();
        for ((index, db, bytes), (_, error)) in found.into_iter().zip(&errors.first) {
            let Some(unit) = batch.unit_of(index).and_then(|unit| batch.units.get(unit)) else {
                return Ok(false);
            };
            let commands = batch.bytes[bytes].to_vec();
            if swaps_databases(&commands) {
                return Ok(false);
            }
            let twins = kept
                .iter()
                .filter(|one| one.end == unit.end && one.db == db && one.commands == commands);
            let place = (db, twins.count() as u64);
            let letter = letter(attached, unit.end, place, Cause::Failed, error.clone(), commands);
            let Some(letter) = letter else { return Ok(false) };
            match self.append(&letter) {
                Ok(Appended::New | Appended::Known) => kept.push(letter),
                Ok(Appended::Full) => return Ok(false),
                // The record has passed it: a wait would lose it, a halt does not.
                Err(error) => {
                    tracing::warn!(%error, "a command that failed is not in the dead letters");
                    return Ok(false);
                }
            }
            tracing::warn!(offset = unit.end.0, "a command that failed went to the dead letters");
        }
        Ok(true)
    }

    fn append(&mut self, letter: &Letter) -> Result<Appended, TargetError> {
        let path = self.dead_letters.path().to_owned();
        let appended = self
            .dead_letters
            .append(letter)
            .map_err(|error| TargetError::DeadLetters { path: path.clone(), error })?;
        self.show_dead_letters();
        Ok(appended)
    }

    /// Counts what the file holds.
    pub(super) fn show_dead_letters(&mut self) {
        match self.dead_letters.count() {
            Ok(count) => self.link.state.dead_letters.set(count),
            Err(error) => {
                let path = self.dead_letters.path().display();
                tracing::warn!(%error, %path, "the dead letters cannot be read");
            }
        }
    }

    fn full(&self) -> String {
        format!(
            "the dead letters {} have reached {} MiB: look at them with `redissync-syncer dead-letters`, and move the file away",
            self.dead_letters.path().display(),
            FILE_BYTES_MAX >> 20
        )
    }
}

/// Without a SWAPDB all that follows would go to the wrong database: it, and what comes with it, halts.
fn swaps_databases(commands: &[u8]) -> bool {
    let mut command = Command::default();
    let mut at = 0;
    while let Ok(Some(next)) = command.parse(commands, at) {
        if command.name(commands).eq_ignore_ascii_case(b"SWAPDB") {
            return true;
        }
        at = next;
    }
    false
}

fn letter(
    attached: &Attached,
    end: Offset,
    (db, twins): (DbIndex, u64),
    cause: Cause,
    error: String,
    commands: Vec<u8>,
) -> Option<Letter> {
    let record = attached.record.as_ref()?;
    Some(Letter {
        copy_id: record.copy_id,
        replid: record.position?.position.replid.to_string(),
        end,
        db,
        twins,
        cause,
        at_ms: Timestamp::now().as_millis(),
        error,
        commands,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::encode;

    #[test]
    fn a_swap_of_databases_is_found_wherever_it_stands_in_its_unit() {
        let mut unit = Vec::new();
        for words in [&["MULTI"][..], &["SET", "k", "SWAPDB"], &["EXEC"]] {
            encode::command(&mut unit, words);
        }
        assert!(!swaps_databases(&unit));
        encode::command(&mut unit, &["swapdb", "1", "2"]);
        assert!(swaps_databases(&unit));
    }
}
