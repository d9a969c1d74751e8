//! Removing, after a full copy, the target's keys that the source no longer has (Promise 5).
//!
//! Before the stream is applied, and with no other writer: what is neither in the copy nor ours is stale. The keys
//! are counted first, so that the brake can hold before anything is deleted.

use super::{
    error::TargetError,
    examine::keyspace,
    guarded::{Expected, GuardedConnection, Outcome},
    key_set::KeySet,
};
use crate::{
    connection::Connection,
    filter::is_reserved_key,
    position::DbIndex,
    resp::{encode, frame::Frame},
    route::Route,
};

/// Keys asked for at once: a page is answered in well under a millisecond.
const PAGE: &str = "1000";
/// A sweep of more than this share of the target's keys needs a human.
const BRAKE_PERCENT: u64 = 20;

/// What a sweep would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepCount {
    /// The target's keys, without our own.
    pub keys: u64,
    /// Those that the copy did not have.
    pub stale: u64,
}

impl SweepCount {
    /// Whether so much would go that a human must agree. What counts is what the target had before the copy: a wrong
    /// source with many keys must not hide how much is lost. Where that is not known, or was nothing, what it has now.
    pub fn is_over_brake(&self, keys_before: u64) -> bool {
        let keys = if keys_before > 0 { keys_before.min(self.keys) } else { self.keys };
        self.stale * 100 > keys * BRAKE_PERCENT
    }
}

/// The keys of a page that the copy did not have.
pub fn stale(
    copied: &KeySet,
    db: DbIndex,
    page: Vec<Vec<u8>>,
) -> Result<Vec<Vec<u8>>, TargetError> {
    let mut stale = Vec::new();
    for key in page {
        if !copied.contains(db, &key).map_err(TargetError::KeySet)? {
            stale.push(key);
        }
    }
    Ok(stale)
}

/// Deletes keys, under guard like every write.
pub async fn delete(
    writer: &mut GuardedConnection,
    expected: &Expected,
    db: DbIndex,
    keys: &[Vec<u8>],
) -> Result<(), TargetError> {
    let mut commands = Vec::new();
    let mut route = Route::new();
    let mut count = usize::from(route.select(db, &mut commands)) + 1;
    encode::array_header(&mut commands, keys.len() + 1);
    // UNLINK came with 4.0; DEL is everywhere, and a page of keys is short work unless they are huge.
    encode::bulk(&mut commands, b"DEL");
    keys.iter().for_each(|key| encode::bulk(&mut commands, key));
    count += usize::from(route.select(Route::RECORD_DB, &mut commands));
    match writer.execute(&commands, count, expected).await? {
        Outcome::Applied(errors) if errors.count == 0 => Ok(()),
        Outcome::Applied(errors) | Outcome::Aborted { queued: errors, .. } => {
            let words = errors.first.first().map(|(_, error)| error.clone());
            Err(TargetError::Refused(words.unwrap_or_else(|| "EXECABORT".into())))
        }
        Outcome::RecordChanged => Err(TargetError::RecordChanged),
    }
}

/// A walk over the keys of all databases, without our own. A key that is there all along is met at least once.
pub struct Walk {
    databases: Vec<DbIndex>,
    /// Where it is in the last of `databases`.
    cursor: Option<String>,
}

impl Walk {
    /// Before the first key.
    pub async fn start(scan: &mut Connection) -> Result<Self, TargetError> {
        let databases = keyspace(scan).await?.into_iter().rev().map(|(db, _)| db).collect();
        Ok(Self { databases, cursor: None })
    }

    /// The next keys, of one database; none after the last, with the record's database selected as before the walk:
    /// whoever reads the record on this connection must find it.
    pub async fn page(
        &mut self,
        scan: &mut Connection,
    ) -> Result<Option<(DbIndex, Vec<Vec<u8>>)>, TargetError> {
        let Some(db) = self.databases.last().copied() else {
            scan.call(&["SELECT", &Route::RECORD_DB.to_string()]).await?;
            return Ok(None);
        };
        let cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                scan.call(&["SELECT", &db.to_string()]).await?;
                "0".to_owned()
            }
        };
        let reply = scan.call(&["SCAN", &cursor, "COUNT", PAGE]).await?;
        let Frame::Array(mut parts) = reply else { return Err(TargetError::Unexpected("SCAN")) };
        let (Some(Frame::Array(keys)), Some(next)) = (parts.pop(), parts.pop()) else {
            return Err(TargetError::Unexpected("SCAN"));
        };
        match next.text().ok_or(TargetError::Unexpected("SCAN"))? {
            "0" => drop(self.databases.pop()),
            next => self.cursor = Some(next.to_owned()),
        }
        let bytes = |key| match key {
            Frame::Bulk(bytes) | Frame::Simple(bytes) => Some(bytes),
            _ => None,
        };
        let keys = keys.into_iter().filter_map(bytes).filter(|key| !is_reserved_key(key)).collect();
        Ok(Some((db, keys)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_5_the_brake_holds_above_a_fifth_of_the_keys() {
        let is_held = |keys, stale| SweepCount { keys, stale }.is_over_brake(0);
        assert!(
            SweepCount { keys: 600, stale: 100 }.is_over_brake(100),
            "all that was there before"
        );
        assert!(!SweepCount { keys: 600, stale: 20 }.is_over_brake(100));
        assert!(!is_held(0, 0));
        assert!(!is_held(100, 20));
        assert!(is_held(100, 21));
        assert!(is_held(1, 1));
    }
}
