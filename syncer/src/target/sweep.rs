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
    /// Whether so much would go that a human must agree.
    pub fn is_over_brake(&self) -> bool {
        self.stale * 100 > self.keys * BRAKE_PERCENT
    }
}

/// Counts what a sweep would delete.
pub async fn count(scan: &mut Connection, copied: &KeySet) -> Result<SweepCount, TargetError> {
    let mut count = SweepCount::default();
    for (db, _) in keyspace(scan).await? {
        let mut cursor = Cursor::start(scan, db).await?;
        while let Some(keys) = cursor.page(scan).await? {
            for key in keys.iter().filter(|key| !is_reserved_key(key)) {
                count.keys += 1;
                count.stale += u64::from(!is_copied(copied, db, key)?);
            }
        }
    }
    Ok(count)
}

/// Deletes what the copy did not have; `deleted` is told of each page.
pub async fn sweep(
    scan: &mut Connection,
    writer: &mut GuardedConnection,
    expected: &Expected,
    copied: &KeySet,
    mut deleted: impl FnMut(u64),
) -> Result<(), TargetError> {
    let mut commands = Vec::new();
    for (db, _) in keyspace(scan).await? {
        let mut cursor = Cursor::start(scan, db).await?;
        while let Some(keys) = cursor.page(scan).await? {
            let mut stale = Vec::new();
            for key in keys {
                if !is_reserved_key(&key) && !is_copied(copied, db, &key)? {
                    stale.push(key);
                }
            }
            if stale.is_empty() {
                continue;
            }
            crate::failpoint::hit(crate::failpoint::Failpoint::InSweep);
            commands.clear();
            let mut route = Route::new();
            let mut count = usize::from(route.select(db, &mut commands)) + 1;
            encode::array_header(&mut commands, stale.len() + 1);
            // UNLINK came with 4.0; DEL is everywhere, and a page of keys is short work unless they are huge.
            encode::bulk(&mut commands, b"DEL");
            stale.iter().for_each(|key| encode::bulk(&mut commands, key));
            count += usize::from(route.select(Route::RECORD_DB, &mut commands));
            match writer.execute(&commands, count, expected).await? {
                Outcome::Applied(errors) if errors.count == 0 => deleted(stale.len() as u64),
                Outcome::Applied(errors) | Outcome::Aborted { queued: errors, .. } => {
                    let words = errors.first.first().map(|(_, error)| error.clone());
                    return Err(TargetError::Refused(words.unwrap_or_else(|| "EXECABORT".into())));
                }
                Outcome::RecordChanged => return Err(TargetError::RecordChanged),
            }
        }
    }
    Ok(())
}

fn is_copied(copied: &KeySet, db: DbIndex, key: &[u8]) -> Result<bool, TargetError> {
    copied.contains(db, key).map_err(TargetError::KeySet)
}

/// A walk over a database's keys. A key that is there all along is met at least once.
struct Cursor(Option<String>);

impl Cursor {
    async fn start(scan: &mut Connection, db: DbIndex) -> Result<Self, TargetError> {
        scan.call(&["SELECT", &db.to_string()]).await?;
        Ok(Self(Some("0".to_owned())))
    }

    async fn page(&mut self, scan: &mut Connection) -> Result<Option<Vec<Vec<u8>>>, TargetError> {
        let Some(cursor) = self.0.take() else { return Ok(None) };
        let reply = scan.call(&["SCAN", &cursor, "COUNT", PAGE]).await?;
        let Frame::Array(mut parts) = reply else { return Err(TargetError::Unexpected("SCAN")) };
        let (Some(Frame::Array(keys)), Some(next)) = (parts.pop(), parts.pop()) else {
            return Err(TargetError::Unexpected("SCAN"));
        };
        let next = next.text().ok_or(TargetError::Unexpected("SCAN"))?;
        self.0 = (next != "0").then(|| next.to_owned());
        let bytes = |key| match key {
            Frame::Bulk(bytes) | Frame::Simple(bytes) => Some(bytes),
            _ => None,
        };
        Ok(Some(keys.into_iter().filter_map(bytes).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_5_the_brake_holds_above_a_fifth_of_the_keys() {
        let is_held = |keys, stale| SweepCount { keys, stale }.is_over_brake();
        assert!(!is_held(0, 0));
        assert!(!is_held(100, 20));
        assert!(is_held(100, 21));
        assert!(is_held(1, 1));
    }
}
