//! From nothing to a connection that may write: found, checked, taken over, read.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{ALIVE_INTERVAL, Applier};
use crate::{
    address::Peer,
    connection::{Connection, ConnectionError},
    contract::{Owner, Verification},
    position::DbIndex,
    preflight::{refusal, watch::evicting},
    record::{CopyPhase, Record, StreamPosition},
    resp::encode,
    sentinel::{
        follow::Resolution,
        role::{Role, check_role},
    },
    spool::SpoolProgress,
    state::End,
    target::{
        error::{TargetError, is_passing},
        examine::{Capabilities, capabilities, foreign_keys},
        guarded::{Expected, GuardedConnection, Outcome},
        knows::known_commands,
        take_over::take_over,
    },
    terms::Terms,
};

/// A foreign owner whose sign of life has not changed for so long is displaced (Promise 7).
const RIVAL_SILENCE: Duration = Duration::from_secs(30);

/// A foreign owner, and when its sign of life was last seen to change.
#[derive(Debug)]
pub(super) struct Rival {
    owner: Owner,
    sign_of_life: Option<Vec<u8>>,
    since: Instant,
}

/// A target that is ours.
pub(super) struct Attached {
    /// The node.
    pub(super) peer: Peer,
    /// Writes.
    pub(super) writer: GuardedConnection,
    /// Reads what is not in the record (keys, sizes).
    pub(super) reader: Connection,
    /// As it is in the target; only we write it.
    pub(super) record: Option<Record>,
    /// What the target can take.
    pub(super) capabilities: Capabilities,
    /// Wakes when the spool has changed.
    pub(super) spool_progress: watch::Receiver<SpoolProgress>,
    /// On what terms the stream goes to it.
    pub(super) terms: Terms,
    /// Keys per database that are not ours; known once they were looked for.
    foreign: Vec<(DbIndex, u64)>,
}

impl Attached {
    /// What the record holds as we wrote it.
    pub(super) fn expected(&self) -> Expected {
        self.record.as_ref().map_or_else(Expected::absent, Expected::record)
    }

    /// Asks again what the target can take.
    pub(super) async fn learn_target(&mut self) -> Result<(), TargetError> {
        self.capabilities = capabilities(&mut self.reader).await?;
        self.terms.target = self.capabilities;
        self.terms.known = known_commands(&mut self.reader, &self.capabilities).await?;
        Ok(())
    }

    /// Looks whether there are keys that are not ours.
    pub(super) async fn has_foreign_keys(&mut self) -> Result<bool, TargetError> {
        self.foreign = foreign_keys(&mut self.reader).await?;
        Ok(!self.foreign.is_empty())
    }

    /// Whether the target has a database. Asked outside of any MULTI: within one, a SELECT that fails lets what
    /// follows it run in the database before (seen on 6.2 and 7.0).
    pub(super) async fn has_database(&mut self, db: DbIndex) -> Result<bool, TargetError> {
        if self.terms.has_database(db) {
            return Ok(true);
        }
        match self.reader.call(&["SELECT", &db.to_string()]).await {
            Ok(_) => {
                self.reader.call(&["SELECT", "0"]).await?;
                self.terms.allow(db);
                Ok(true)
            }
            Err(ConnectionError::Refused { error, .. }) if !is_passing(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn not_empty(&self) -> TargetError {
        let count = |(db, keys): &(DbIndex, u64)| format!("db{db}: {keys} keys");
        TargetError::NotEmpty {
            counts: self.foreign.iter().map(count).collect::<Vec<_>>().join(", "),
        }
    }
}

impl Applier {
    pub(super) async fn attach(&mut self) -> Result<Attached, TargetError> {
        let link = Arc::clone(&self.link);
        let peer = match &*self.resolution.borrow_and_update() {
            Resolution::Known(candidate) => candidate.peer(),
            Resolution::Unknown { reason, message } => {
                return Err(TargetError::NoMaster { reason: *reason, message: message.clone() });
            }
        };
        let login = link.config().target.login.read()?;
        // Signs of life belong to the time attached: the first is due at once.
        self.alive_due = Instant::now();
        let mut writer = Connection::open(&peer, &login, &link.names.writer).await?;
        if !matches!(check_role(&mut writer).await?, Role::Master { .. }) {
            return Err(TargetError::NotMaster { address: peer.address });
        }
        self.check_eviction(&mut writer).await?;
        let capabilities = capabilities(&mut writer).await?;
        let record =
            match take_over(&mut writer, &link.names.record, &link.names.writer, &mut self.claim)
                .await
            {
                Err(TargetError::Superseded(owner)) => {
                    self.watch_rival(&mut writer, owner.clone()).await?;
                    return Err(TargetError::Superseded(owner));
                }
                other => other?,
            };
        self.rival = None;
        self.claim.may_displace = false;
        let mut reader = Connection::open(&peer, &login, &link.names.reader).await?;
        let known = known_commands(&mut reader, &capabilities).await?;
        link.state.set_address(End::Target, &peer.address);
        if let Some(term) = self.claim.term {
            link.state.set_owner(term, &self.claim.nonce);
        }
        let mut attached = Attached {
            writer: GuardedConnection::new(
                writer,
                &peer,
                &link.names.record,
                Arc::clone(&link.state),
            ),
            peer,
            reader,
            record,
            capabilities,
            spool_progress: link.spool.subscribe(),
            terms: Terms::new(capabilities, known, link.config().grace)
                .with_publish(link.config().publish),
            foreign: Vec::new(),
        };
        self.settle(&mut attached).await?;
        Ok(attached)
    }

    /// A target that evicts keys loses them without a word, so it is not even taken over (Promise 1).
    async fn check_eviction(&self, connection: &mut Connection) -> Result<(), TargetError> {
        let link = &self.link;
        let why = evicting(connection).await?.and_then(|(max_memory, policy)| {
            refusal(max_memory, &policy, link.config().evicting_target)
        });
        link.evicts.send_replace(why.clone());
        why.map_or(Ok(()), |why| Err(TargetError::Evicts(why)))
    }

    /// A connection that only reads.
    pub(super) async fn open_reader(&self, peer: &Peer) -> Result<Connection, TargetError> {
        let login = self.link.config().target.login.read()?;
        Ok(Connection::open(peer, &login, &self.link.names.reader).await?)
    }

    /// The record tells what became of the last batch: nothing is outstanding any more.
    async fn settle(&mut self, attached: &mut Attached) -> Result<(), TargetError> {
        let link = &self.link;
        let position = attached.record.as_ref().and_then(|record| record.position);
        let mut guard = match self.held.take() {
            Some(guard) => guard,
            None => link.gate.enter().await,
        };
        let data = attached.record.as_ref().and_then(Record::data_position);
        *guard = data.map(|at| at.position);
        drop(guard);
        if let Some(record) = &mut attached.record {
            // Promise 8: a batch whose replies nobody saw is never assumed good.
            if let Some(batch) = record.unchecked
                && self.confirmed.is_none_or(|seen| batch.end > seen.offset)
            {
                record.unverified += 1;
                record.unchecked = None;
                link.state.counts.unchecked_batches.add(1);
                tracing::warn!(
                    start = batch.start.0,
                    end = batch.end.0,
                    "a batch was applied whose replies were lost"
                );
            }
        }
        self.show(attached.record.as_ref());
        // A switch of the master, or a lost volume, may have taken the target back: what is above it is kept.
        self.confirmed = position.map(|at| at.position);
        let watched = attached.expected();
        attached.writer.watch(&watched).await
    }

    /// Shows a record, and lets the source and the spool know how far the target is.
    pub(super) fn show(&self, record: Option<&Record>) {
        let state = &self.link.state;
        let ladder = &state.ladder;
        match record.and_then(|record| record.position) {
            Some(StreamPosition { position, db }) => {
                let offset = position.offset;
                state.set_position(position, db.unwrap_or_default());
                for rung in
                    [&ladder.written, &ladder.checkpoint, &ladder.confirmed, &ladder.durable]
                {
                    rung.set(offset);
                }
                self.link.set_acknowledged(record.map(|record| (record.copy_id, offset)));
                let durable =
                    record.map(|record| self.link.spool.set_durable(record.copy_id, offset));
                if let Some(Err(error)) = durable {
                    tracing::warn!(%error, "failed to remove old segments of the spool");
                }
            }
            None => {
                state.clear_position();
                for rung in
                    [&ladder.written, &ladder.checkpoint, &ladder.confirmed, &ladder.durable]
                {
                    rung.clear();
                }
                // Promise 10, and no lie about a copy that has not ended.
                self.link.set_acknowledged(None);
            }
        }
        if let Some(record) = record {
            let is_verified = record.unverified == 0 && record.copy_phase == CopyPhase::Complete;
            let verified = if is_verified { Verification::True } else { Verification::Unknown };
            state.set_data_verified(verified, record.unverified);
            if record.halt.is_none() {
                state.clear_halt();
            }
        }
    }

    /// Another process owns the target. It may go on for as long as it gives signs of life.
    async fn watch_rival(
        &mut self,
        connection: &mut Connection,
        owner: Owner,
    ) -> Result<(), TargetError> {
        let reply = connection.call(&["GET", &self.link.names.alive]).await?;
        let sign_of_life = reply.bytes().map(<[u8]>::to_vec);
        match &self.rival {
            Some(rival) if rival.owner == owner && rival.sign_of_life == sign_of_life => {
                self.claim.may_displace = rival.since.elapsed() > RIVAL_SILENCE;
            }
            _ => {
                self.claim.may_displace = false;
                self.rival = Some(Rival { owner, sign_of_life, since: Instant::now() });
            }
        }
        Ok(())
    }

    /// Writes our own sign of life when it is due, under guard like everything.
    pub(super) async fn give_sign_of_life(
        &mut self,
        attached: &mut Attached,
    ) -> Result<(), TargetError> {
        if Instant::now() < self.alive_due {
            return Ok(());
        }
        if attached.record.is_none() {
            // Nobody owns a target without a record.
            self.alive_due = Instant::now() + ALIVE_INTERVAL;
            return Ok(());
        }
        self.alive_count += 1;
        let sign = format!("{}:{}", self.claim.nonce, self.alive_count);
        let mut command = Vec::new();
        encode::command(&mut command, &["SET", &self.link.names.alive, &sign]);
        let expected = attached.expected();
        match attached.writer.execute(&command, 1, &expected).await? {
            Outcome::Applied(errors) if errors.count == 0 => {}
            Outcome::Applied(errors) => return Err(refused(&errors.first)),
            Outcome::Aborted { queued, exec } => {
                return Err(if queued.count > 0 {
                    refused(&queued.first)
                } else {
                    TargetError::Refused(exec)
                });
            }
            Outcome::RecordChanged => return Err(TargetError::RecordChanged),
        }
        self.alive_due = Instant::now() + ALIVE_INTERVAL;
        self.target_took_a_write();
        Ok(())
    }
}

/// The first of a batch's errors as the reason why all of it was refused.
pub(super) fn refused(errors: &[(usize, String)]) -> TargetError {
    TargetError::Refused(
        errors.first().map_or_else(|| "EXECABORT".to_owned(), |(_, error)| error.clone()),
    )
}
