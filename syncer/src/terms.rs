//! On what terms the stream goes to this target: what is known of it, and what was decided. Pure; answers to questions are
//! put here by who may ask.

use std::collections::BTreeSet;

use crate::{
    batch::UnitRefusal, contract::Publish, grace::Grace, position::DbIndex, resp::command::Command,
    route::Route, target::examine::Capabilities, translate::Known,
};

/// What must be asked of the target before a unit can be judged. Nothing of the unit is sent before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it has this database. A SELECT of one that it lacks fails only within EXEC (seen on 6.2 and 7.0), and what
    /// follows it would be applied to the database before.
    Database(DbIndex),
    /// Whether it knows a command of this name.
    Command(Vec<u8>),
}

/// What is known of the target, and how its data are to be.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What it can take.
    pub target: Capabilities,
    /// The rules of commands.
    pub known: Known,
    /// How much later keys expire there (Promise 6).
    pub grace: Grace,
    /// What becomes of messages.
    pub publish: Publish,
    databases: BTreeSet<DbIndex>,
}

impl Terms {
    /// At first only the record's database is known.
    pub fn new(target: Capabilities, known: Known, grace: Grace) -> Self {
        Self {
            target,
            known,
            grace,
            publish: Publish::Forward,
            databases: BTreeSet::from([Route::RECORD_DB]),
        }
    }

    /// With this policy for messages.
    pub fn with_publish(self, publish: Publish) -> Self {
        Self { publish, ..self }
    }

    /// The target has this database.
    pub fn allow(&mut self, db: DbIndex) {
        self.databases.insert(db);
    }

    /// Whether the target is known to have this database.
    pub fn has_database(&self, db: DbIndex) -> bool {
        self.databases.contains(&db)
    }

    /// The database that a command runs in is there, and those that it names.
    pub fn check_databases(
        &self,
        db: DbIndex,
        command: &Command,
        buf: &[u8],
    ) -> Result<(), UnitRefusal> {
        let unasked = |db| Err(UnitRefusal::Unasked(Question::Database(db)));
        if !self.has_database(db) {
            return unasked(db);
        }
        let name = command.name(buf);
        let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
        let named = match name.len() {
            4 if is(b"MOVE") => [argument(command, buf, 2), None],
            4 if is(b"COPY") => [behind_word(command, buf, b"DB"), None],
            6 if is(b"SWAPDB") => [argument(command, buf, 1), argument(command, buf, 2)],
            _ => return Ok(()),
        };
        match named.into_iter().flatten().find(|db| !self.has_database(*db)) {
            Some(db) => unasked(db),
            None => Ok(()),
        }
    }
}

fn argument(command: &Command, buf: &[u8], index: usize) -> Option<DbIndex> {
    std::str::from_utf8(command.argument(buf, index)?).ok()?.parse().ok().map(DbIndex)
}

fn behind_word(command: &Command, buf: &[u8], word: &[u8]) -> Option<DbIndex> {
    let at = (3..command.argument_count())
        .find(|at| command.argument(buf, *at).is_some_and(|one| one.eq_ignore_ascii_case(word)))?;
    argument(command, buf, at + 1)
}
