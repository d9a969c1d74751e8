//! The connections that restore: while one waits for its EXEC the target works for the other.

use tokio::sync::mpsc;

use super::{left_out::LeftOut, stop::Stop};
use crate::{
    contract::HaltReason,
    failpoint::{Failpoint, hit},
    release::Decision,
    spool::CopyId,
    state::HaltDetails,
    target::{
        error::{TargetError, is_about_the_value, is_no_such_key, is_passing, without_arguments},
        guarded::{Errors, Expected, GuardedConnection, Outcome},
        restore::RestoreBatch,
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

/// One connection that restores, with what its task needs.
pub(super) struct Restorer {
    pub(super) writer: GuardedConnection,
    pub(super) expected: Expected,
    pub(super) copy_id: CopyId,
    pub(super) left_out: LeftOut,
}

impl Restorer {
    async fn restore_batches(
        mut self,
        mut batches: mpsc::Receiver<RestoreBatch>,
        recycle: mpsc::Sender<RestoreBatch>,
    ) -> Result<(), Stop> {
        while let Some(mut batch) = batches.recv().await {
            self.restore(&batch).await?;
            batch.clear();
            // Nobody may be left to take it.
            let _ = recycle.try_send(batch);
        }
        Ok(())
    }

    async fn restore(&mut self, batch: &RestoreBatch) -> Result<(), Stop> {
        let outcome =
            self.writer.execute(&batch.bytes, batch.command_count, &self.expected).await?;
        let (errors, was_applied) = match outcome {
            Outcome::Applied(errors) if errors.count == 0 => return Ok(()),
            Outcome::Applied(errors) => (errors, true),
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
        let is_of_all = errors.count >= batch.command_count - batch.select_count;
        if is_passing(error) || (is_of_all && !is_about_the_value(error)) {
            return Err(TargetError::Refused(error.clone()).into());
        }
        self.writer.watch(&self.expected).await?;
        let name = batch.type_of(*index);
        self.note_left_out(batch, &errors).await?;
        if was_applied && self.left_out.may_skip() {
            self.left_out.count(errors.count as u64);
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

    /// Lists the keys that were refused, as far as they are known. What refuses that too is not told twice.
    async fn note_left_out(&mut self, batch: &RestoreBatch, errors: &Errors) -> Result<(), Stop> {
        let mut notes = RestoreBatch::default();
        for (index, _) in &errors.first {
            if let Some((db, key)) = batch.key_of(*index) {
                self.left_out.list(&mut notes, db, batch.type_of(*index), &key);
            }
        }
        if notes.command_count == 0 {
            return Ok(());
        }
        notes.finish();
        match self.writer.execute(&notes.bytes, notes.command_count, &self.expected).await? {
            Outcome::Applied(errors) if errors.count == 0 => Ok(()),
            _ => Ok(self.writer.watch(&self.expected).await?),
        }
    }
}
