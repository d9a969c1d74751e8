//! From nothing to a running stream: found, checked, asked, answered.

use std::{sync::Arc, time::Duration};

use super::{
    SourceSide,
    error::SourceError,
    handshake::{Answer, announce, psync},
    info::History,
    prepare::{Ask, prepare},
};
use crate::{
    connection::Connection,
    contract::{FullCopyReason, Phase, WaitReason},
    failpoint::{Failpoint, hit},
    link::Goal,
    position::{DbIndex, Offset, Position},
    sentinel::{
        follow::Resolution,
        role::{Role, check_role},
    },
    spool::CopyId,
    state::{End, WaitSubject},
};

/// The preflight takes a few round trips. It is advice: a full copy is not held up for it any longer.
const PREFLIGHT_MAX: Duration = Duration::from_millis(1500);

/// What follows on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// The stream, from this offset with this database.
    Stream(Offset, Option<DbIndex>),
    /// The RDB of this copy, then the stream.
    Rdb(CopyId, Offset),
}

impl SourceSide {
    /// Attaches to the source as it is now.
    pub(super) async fn attach(
        &mut self,
        goal: Goal,
    ) -> Result<(Connection, Follows), SourceError> {
        let link = Arc::clone(&self.link);
        self.peer = match &*self.resolution.borrow_and_update() {
            Resolution::Known(candidate) => candidate.peer(),
            Resolution::Unknown { reason, message } => {
                return Err(SourceError::NoMaster { reason: *reason, message: message.clone() });
            }
        };
        let login = link.config().source.login.read()?;
        let mut connection = Connection::open(&self.peer, &login, &link.names.reader).await?;
        self.check_role(&mut connection).await?;
        self.check_no_record(&mut connection).await?;
        link.state.clear_waiting_for(WaitSubject::Pair, &[WaitReason::RoleConflict]);
        link.state.set_address(End::Source, &self.peer.address);
        if matches!(link.state.phase(), Phase::Resolving) {
            link.state.set_phase(Phase::Handshaking);
        }
        let info = connection.call(&["INFO", "replication"]).await?;
        let history = info.text().and_then(History::parse);
        let ask = prepare(&link, goal, history.as_ref()).await?;
        announce(&mut connection).await?;
        let from = ask.from.map(|from| from.position);
        if from.is_none() {
            self.await_preflight().await;
        }
        let follows = match psync(&mut connection, from).await? {
            Answer::Continue(replid) => self.go_on(&ask, replid)?,
            Answer::FullResync(position) => self.begin_copy(&ask, history.as_ref(), position)?,
        };
        self.copy_id = link.spool.live_range().map(|range| range.copy_id);
        Ok((connection, follows))
    }

    /// What may make a full copy futile is told before the source forks for it the first time.
    async fn await_preflight(&self) {
        let mut is_preflighted = self.link.is_preflighted.subscribe();
        let is_told = is_preflighted.wait_for(|is_preflighted| *is_preflighted);
        let _told = tokio::time::timeout(PREFLIGHT_MAX, is_told).await;
    }

    async fn check_role(&self, connection: &mut Connection) -> Result<(), SourceError> {
        let address = self.peer.address.clone();
        let is_sentinel = link_is_sentinel(&self.link);
        match check_role(connection).await? {
            Role::Master { .. } => Ok(()),
            // A user who names a replica wants it.
            Role::Replica { state, .. } if !is_sentinel => match state.as_str() {
                "connected" => Ok(()),
                _ => Err(SourceError::MasterLinkDown { address }),
            },
            Role::Replica { .. } | Role::Sentinel => Err(SourceError::NotMaster { address }),
        }
    }

    /// A node that holds this pair's record is its target.
    async fn check_no_record(&self, connection: &mut Connection) -> Result<(), SourceError> {
        let record = self.link.names.record.clone();
        match connection.call(&["EXISTS", &record]).await?.integer() {
            Some(0) => Ok(()),
            _ => Err(SourceError::RoleConflict { address: self.peer.address.clone(), record }),
        }
    }

    /// `+CONTINUE`: the stream goes on where it was asked for, maybe under a new name.
    fn go_on(
        &mut self,
        ask: &Ask,
        replid: Option<crate::position::ReplId>,
    ) -> Result<Follows, SourceError> {
        let Some(from) = ask.from else {
            return Err(SourceError::Psync("+CONTINUE to a full request".into()));
        };
        let spool = &self.link.spool;
        if let Some(copy_id) = ask.new_range {
            spool.begin_range(copy_id, from.position, from.db)?;
        }
        if let Some(replid) = replid
            && spool.live_range().and_then(|range| range.lineage.last().map(|entry| entry.replid))
                != Some(replid)
        {
            tracing::info!(%replid, offset = from.position.offset.0, "the source's history has a new name");
            spool.adopt(replid)?;
        }
        self.was_spool_full = false;
        tracing::info!(
            offset = from.position.offset.0,
            address = self.peer.address,
            "the stream goes on"
        );
        Ok(Follows::Stream(from.position.offset, from.db))
    }

    /// `+FULLRESYNC`: a new copy, whatever was spooled.
    fn begin_copy(
        &mut self,
        ask: &Ask,
        history: Option<&History>,
        position: Position,
    ) -> Result<Follows, SourceError> {
        let asked = ask
            .reason
            .filter(|reason| !self.was_spool_full || *reason != FullCopyReason::InterruptedCopy);
        let reason = asked.unwrap_or_else(|| match (self.was_spool_full, ask.from, history) {
            (true, ..) => FullCopyReason::SpoolFull,
            (false, Some(from), Some(history)) => history.full_copy_reason(from.position),
            (false, ..) => FullCopyReason::HistoryReset,
        });
        let copy_id = CopyId::random().map_err(SourceError::CopyId)?;
        hit(Failpoint::BeforeBeginCopy);
        self.link.spool.begin_copy(copy_id, position)?;
        hit(Failpoint::AfterBeginCopy);
        self.was_spool_full = false;
        self.link.state.full_copy_started(reason, copy_id.to_string());
        // In this order: whoever sees the copy finds the wish for it fulfilled.
        self.link.set_begun_copy(Some(copy_id));
        self.link.goal.send_if_modified(|goal| {
            let is_fulfilled = matches!(goal, Goal::FullCopy { .. } | Goal::Resume(..));
            if is_fulfilled {
                *goal = Goal::Continue;
            }
            is_fulfilled
        });
        Ok(Follows::Rdb(copy_id, position.offset))
    }
}

pub(super) fn link_is_sentinel(link: &crate::link::Link) -> bool {
    matches!(link.config().source.endpoint, crate::config::Endpoint::Sentinel { .. })
}
