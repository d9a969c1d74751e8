//! The connections that restore: while one waits for its EXEC the target works for the other.

use tokio::sync::mpsc;

use super::stop::Stop;
use crate::{
    contract::HaltReason,
    failpoint::{Failpoint, hit},
    release::Decision,
    spool::CopyId,
    state::HaltDetails,
    target::{
        error::{TargetError, is_passing, without_arguments},
        guarded::{Expected, GuardedConnection, Outcome},
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
    pub(super) fn start(&mut self, writer: GuardedConnection, expected: Expected, copy_id: CopyId) {
        let recycle = self.recycle.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(2 * RESTORE_CONNECTIONS + 1);
            self.recycled = Some(receiver);
            sender
        });
        let (sender, receiver) = mpsc::channel(1);
        self.senders.push(sender);
        self.tasks.spawn(restore_batches(writer, expected, copy_id, receiver, recycle.clone()));
    }

    pub(super) async fn send(&mut self, batch: &mut RestoreBatch) -> Result<(), Stop> {
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
        self.next = (self.next + 1) % self.senders.len();
        if self.senders[self.next].send(full).await.is_err() {
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

async fn restore_batches(
    mut writer: GuardedConnection,
    expected: Expected,
    copy_id: CopyId,
    mut batches: mpsc::Receiver<RestoreBatch>,
    recycle: mpsc::Sender<RestoreBatch>,
) -> Result<(), Stop> {
    while let Some(mut batch) = batches.recv().await {
        match writer.execute(&batch.bytes, batch.command_count, &expected).await? {
            Outcome::Applied(errors) if errors.count == 0 => {}
            Outcome::RecordChanged => return Err(TargetError::RecordChanged.into()),
            Outcome::Applied(errors) | Outcome::Aborted { queued: errors, .. } => {
                let Some((index, error)) = errors.first.first() else {
                    return Err(TargetError::Refused("EXECABORT".into()).into());
                };
                if is_passing(error) || errors.count >= batch.command_count - batch.select_count {
                    return Err(TargetError::Refused(error.clone()).into());
                }
                return Err(Stop::Halt(HaltDetails {
                    reason: HaltReason::ValueRejected,
                    message: format!(
                        "the target refuses a key of type {}: {:?}",
                        batch.type_of(*index),
                        without_arguments(error)
                    ),
                    remedy: format!(
                        "make the target accept it (a missing module, rights, limits), then release with {}",
                        Decision::copy_again_after(copy_id)
                    ),
                    offset: None,
                    copy_id: Some(copy_id.to_string()),
                }));
            }
        }
        batch.clear();
        // Nobody may be left to take it.
        let _ = recycle.try_send(batch);
    }
    Ok(())
}
