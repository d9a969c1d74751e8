//! The connections that restore: while one waits for its EXEC the target works for the other.

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};

use super::{left_out::LeftOut, stop::Stop};
use crate::{
    connection::ConnectionError,
    contract::HaltReason,
    failpoint::{Failpoint, hit},
    release::Decision,
    route::Route,
    spool::CopyId,
    state::HaltDetails,
    target::{
        commands::STRLEN,
        error::{
            TargetError, is_about_the_value, is_no_such_key, is_part_gone, is_passing,
            without_arguments,
        },
        examine::Capabilities,
        guarded::{Errors, Expected, GuardedConnection, Outcome},
        restore::{RefusedKey, RestoreBatch, WantedLength},
    },
};

/// How many there are.
pub(super) const RESTORE_CONNECTIONS: usize = 2;

/// The connections that restore, each with a task of its own.
#[derive(Default)]
pub(super) struct Workers {
    senders: Vec<mpsc::Sender<RestoreBatch>>,
    tasks: tokio::task::JoinSet<Result<(), Stop>>,
    /// Emptied batches come back, so that no memory is allocated per batch.
    recycled: Option<mpsc::Receiver<RestoreBatch>>,
    recycle: Option<mpsc::Sender<RestoreBatch>>,
    next: usize,
}

impl Workers {
    pub(super) fn start(&mut self, restorer: Restorer) {
        let recycle = self.recycle.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(2 * RESTORE_CONNECTIONS + 1);
            self.recycled = Some(receiver);
            sender
        });
        let (sender, receiver) = mpsc::channel(1);
        self.senders.push(sender);
        self.tasks.spawn(restorer.restore_batches(receiver, recycle.clone()));
    }

    /// Sends a batch on any connection; an empty one stays.
    pub(super) async fn send(&mut self, batch: &mut RestoreBatch) -> Result<(), Stop> {
        self.next = (self.next + 1) % self.senders.len();
        self.send_to(self.next, batch).await
    }

    /// Sends a batch on the one connection that takes all of these: they are applied in their order.
    pub(super) async fn send_in_order(&mut self, batch: &mut RestoreBatch) -> Result<(), Stop> {
        self.send_to(0, batch).await
    }

    async fn send_to(&mut self, index: usize, batch: &mut RestoreBatch) -> Result<(), Stop> {
        if batch.command_count == 0 {
            return Ok(());
        }
        batch.finish();
        let empty = self
            .recycled
            .as_mut()
            .and_then(|recycled| recycled.try_recv().ok())
            .unwrap_or_default();
        let full = std::mem::replace(batch, empty);
        if self.senders[index].send(full).await.is_err() {
            self.check().await?;
            return Err(Stop::Target(TargetError::Unexpected("a restoring connection")));
        }
        hit(Failpoint::InRestore);
        Ok(())
    }

    /// A worker that has ended before its time has failed.
    pub(super) async fn check(&mut self) -> Result<(), Stop> {
        match self.tasks.try_join_next() {
            None => Ok(()),
            Some(Ok(result)) => {
                result.and(Err(Stop::Target(TargetError::Unexpected("a restoring connection"))))
            }
            Some(Err(_)) => Err(Stop::Target(TargetError::Unexpected("a restoring task"))),
        }
    }

    /// Waits until everything sent is applied.
    pub(super) async fn finish(&mut self) -> Result<(), Stop> {
        self.senders.clear();
        while let Some(result) = self.tasks.join_next().await {
            result.unwrap_or(Err(Stop::Target(TargetError::Unexpected("a restoring task"))))?;
        }
        Ok(())
    }
}

/// A connection that is given nothing to do asks the target something after this time.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// One connection that restores, with what its task needs.
pub(super) struct Restorer {
    pub(super) writer: GuardedConnection,
    pub(super) expected: Expected,
    pub(super) copy_id: CopyId,
    pub(super) left_out: LeftOut,
    pub(super) target: Capabilities,
}

impl Restorer {
    async fn restore_batches(
        mut self,
        mut batches: mpsc::Receiver<RestoreBatch>,
        recycle: mpsc::Sender<RestoreBatch>,
    ) -> Result<(), Stop> {
        loop {
            // While a large value is built all goes through one connection. A target with a client timeout would close
            // the others, and the copy would begin anew each time.
            let Ok(received) = timeout(IDLE_MAX, batches.recv()).await else {
                self.writer.watch(&self.expected).await?;
                continue;
            };
            let Some(mut batch) = received else { return Ok(()) };
            self.restore(&batch).await?;
            batch.clear();
            // Nobody may be left to take it.
            let _ = recycle.try_send(batch);
        }
    }

    /// Reads how long a value under construction is. Gone since, RENAME finds nothing; a string, whose last byte makes it
    /// anew, is watched from here on.
    async fn check_length(&mut self, wanted: &WantedLength) -> Result<(), TargetError> {
        let is_elsewhere = wanted.db != Route::RECORD_DB;
        if is_elsewhere {
            self.writer.ask(&["SELECT", &wanted.db.to_string()]).await?;
        }
        if wanted.verb == STRLEN {
            self.writer.ask(&["WATCH", &wanted.key]).await?;
        }
        let length = self.writer.ask(&[wanted.verb, &wanted.key]).await;
        if is_elsewhere {
            self.writer.ask(&["SELECT", &Route::RECORD_DB.to_string()]).await?;
        }
        let length = match length {
            // A user whose rights are older than this question.
            Err(TargetError::Connection(ConnectionError::Refused { .. })) => return Ok(()),
            answer => answer?.integer().and_then(|length| u64::try_from(length).ok()),
        };
        let length = length.ok_or(TargetError::Unexpected(wanted.verb))?;
        if (wanted.least..=wanted.most).contains(&length) {
            return Ok(());
        }
        Err(TargetError::PartGone(format!("{} is {length}, not {}", wanted.verb, wanted.most)))
    }

    async fn restore(&mut self, batch: &RestoreBatch) -> Result<(), Stop> {
        if let Some(wanted) = &batch.wanted_length {
            self.check_length(wanted).await?;
        }
        let outcome =
            self.writer.execute(&batch.bytes, batch.command_count, &self.expected).await?;
        let (errors, was_applied) = match outcome {
            Outcome::Applied(errors) if errors.count == 0 => return Ok(()),
            Outcome::Applied(errors) => (errors, true),
            Outcome::RecordChanged
                if batch.wanted_length.as_ref().is_some_and(|wanted| wanted.verb == STRLEN) =>
            {
                return Err(TargetError::PartGone("it was touched by another hand".into()).into());
            }
            Outcome::RecordChanged => return Err(TargetError::RecordChanged.into()),
            Outcome::Aborted { queued, .. } => (queued, false),
        };
        let Some((index, error)) = errors.first.first() else {
            return Err(TargetError::Refused("EXECABORT".into()).into());
        };
        if errors.count == 1 && batch.may_be_gone == Some(*index) && is_no_such_key(error) {
            // All fields of the hash have expired since: the key is gone, as it is at the source.
            return Ok(self.writer.watch(&self.expected).await?);
        }
        if was_applied && batch.builds.is_some() && is_part_gone(error) {
            return Err(TargetError::PartGone(without_arguments(error)).into());
        }
        let is_of_all = errors.count >= batch.command_count - batch.select_count;
        if is_passing(error) || (is_of_all && !is_about_the_value(error)) {
            return Err(TargetError::Refused(error.clone()).into());
        }
        self.writer.watch(&self.expected).await?;
        let name = batch.type_of(*index);
        // A value that is built under a temporary name must not be renamed with a part missing: that halts in any case.
        let is_skipped = was_applied && self.left_out.may_skip() && batch.builds.is_none();
        let keys = self.refused_keys(batch, &errors);
        self.note_left_out(&keys, is_skipped).await?;
        if is_skipped {
            self.left_out.count(keys.len().max(1) as u64);
            return Ok(());
        }
        Err(Stop::Halt(HaltDetails {
            reason: HaltReason::ValueRejected,
            message: format!(
                "the target refuses a key of type {name}: {:?}; {}",
                without_arguments(error),
                self.left_out.where_listed()
            ),
            remedy: format!(
                "make the target accept it (a missing module, rights, limits), then release with {}",
                Decision::copy_again_after(self.copy_id)
            ),
            offset: None,
            copy_id: Some(self.copy_id.to_string()),
        }))
    }

    fn refused_keys(&self, batch: &RestoreBatch, errors: &Errors) -> Vec<RefusedKey> {
        match (&batch.builds, errors.first.first()) {
            (Some((db, key)), Some((index, _))) => {
                vec![RefusedKey { db: *db, key: key.clone(), name: batch.type_of(*index) }]
            }
            _ => batch.keys_of(&errors.indexes),
        }
    }

    /// Lists the keys that were refused. Where the copy goes on without them, what the target has under their names goes:
    /// what is there of an older copy, or the part of this one that was applied.
    async fn note_left_out(&mut self, keys: &[RefusedKey], is_skipped: bool) -> Result<(), Stop> {
        let mut notes = RestoreBatch::default();
        for RefusedKey { db, key, name } in keys {
            if is_skipped && self.left_out.may_delete() {
                notes.select(*db);
                notes.remove(key, &self.target, name);
            }
            self.left_out.list(&mut notes, *db, name, key);
        }
        if notes.command_count == 0 {
            return Ok(());
        }
        notes.finish();
        match self.writer.execute(&notes.bytes, notes.command_count, &self.expected).await? {
            Outcome::Applied(errors) if errors.count == 0 => Ok(()),
            Outcome::RecordChanged => Err(TargetError::RecordChanged.into()),
            // Their old values would stay, and the sweep spares them.
            Outcome::Applied(_) | Outcome::Aborted { .. } if is_skipped => {
                Err(TargetError::Refused("the removal of refused keys".into()).into())
            }
            // What refuses that too is not told twice: the halt follows.
            Outcome::Applied(_) | Outcome::Aborted { .. } => {
                Ok(self.writer.watch(&self.expected).await?)
            }
        }
    }
}
