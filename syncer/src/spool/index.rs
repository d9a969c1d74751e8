//! `index.json`: what the segments cannot say by themselves, written only on rare events (a copy
//! begun or complete, a range begun or activated, a lineage grown). Always replaced as a whole:
//! temporary file, fsync, rename, fsync of the directory; so it is never half of anything.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{SpoolError, error::Act};

pub(super) const INDEX_NAME: &str = "index.json";
const TEMPORARY_NAME: &str = "index.json.tmp";
const INDEX_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    version: u32,
    pub(super) next_range: u64,
    /// Whether the target has ever held a full copy of this pair whole.
    #[serde(default)]
    pub(super) had_whole_copy: bool,
    pub(super) copy: Option<IndexCopy>,
    pub(super) ranges: Vec<IndexRange>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexCopy {
    /// 16 hex digits.
    pub(super) copy_id: String,
    pub(super) replid: String,
    pub(super) offset: u64,
    pub(super) rdb: IndexRdb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum IndexRdb {
    /// Bytes may still come.
    Receiving,
    /// All of them are on disk, this many.
    Complete(u64),
    /// No longer needed.
    Dropped,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexRange {
    pub(super) id: u64,
    pub(super) copy_id: String,
    pub(super) head: u64,
    pub(super) head_db: Option<u32>,
    pub(super) lineage: Vec<IndexLineage>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexLineage {
    pub(super) replid: String,
    pub(super) from_offset: u64,
}

impl Index {
    pub(super) fn new(next_range: u64) -> Self {
        Self {
            version: INDEX_VERSION,
            next_range,
            had_whole_copy: false,
            copy: None,
            ranges: Vec::new(),
        }
    }

    /// None where no index was ever written.
    ///
    /// A damaged one is an error and is not made up again from the segments: they do not say
    /// which replids their offsets go by, and a wrong guess would serve bytes of another history.
    pub(super) fn load(dir: &Path) -> Result<Option<Self>, SpoolError> {
        let path = dir.join(INDEX_NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err).act("read", &path),
        };
        let index: Self = serde_json::from_slice(&text)
            .map_err(|err| SpoolError::corrupt(&path, err.to_string()))?;
        if index.version != INDEX_VERSION {
            let what = format!("version {} is not known here", index.version);
            return Err(SpoolError::corrupt(&path, what));
        }
        Ok(Some(index))
    }

    pub(super) fn store(&self, dir: &Path) -> Result<(), SpoolError> {
        let temporary = dir.join(TEMPORARY_NAME);
        let path = dir.join(INDEX_NAME);
        let text =
            serde_json::to_vec_pretty(self).map_err(std::io::Error::other).act("encode", &path)?;
        let mut file = File::create(&temporary).act("create", &temporary)?;
        file.write_all(&text).act("write to", &temporary)?;
        file.sync_all().act("sync", &temporary)?;
        fs::rename(&temporary, &path).act("replace", &path)?;
        sync_dir(dir)
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), SpoolError> {
    File::open(dir).and_then(|file| file.sync_all()).act("sync", dir)
}

/// Removes what an interrupted [`Index::store`] left.
pub(super) fn remove_temporary(dir: &Path) -> Result<(), SpoolError> {
    super::segment::delete(&dir.join(TEMPORARY_NAME))
}
