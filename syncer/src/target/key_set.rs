//! The keys of one full copy, so that a sweep can tell what the source no longer has: 64-bit hashes in sorted files
//! beside the spool, in constant memory.
//!
//! Hashes are seeded at random for each copy. Two keys with one hash make the sweep spare a key that it should
//! delete (one in 10^11 sweeps of 10^8 keys); nothing is ever deleted wrongly.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{self, File},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::position::DbIndex;

/// Hashes gathered in memory before they are sorted and written: 2 MiB.
const RUN_HASHES: usize = 256 << 10;
/// One entry of the index in memory for so many hashes on disk: one page.
const HASHES_PER_BLOCK: usize = 512;
/// Runs that are merged at once, each with a buffer of 8 KiB.
const RUNS_MERGED_MAX: usize = 512;

/// Hashes a key of a database.
#[derive(Clone, Debug)]
pub struct KeyHash(RandomState);

impl KeyHash {
    /// The same key of another database is another key.
    pub fn of(&self, db: DbIndex, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u32(db.0);
        hasher.write(key);
        hasher.finish()
    }
}

/// Takes the keys as they are restored.
#[derive(Debug)]
pub struct KeySetBuilder {
    dir: PathBuf,
    hash: KeyHash,
    pending: Vec<u64>,
    runs: Vec<PathBuf>,
    next_run: usize,
    count: u64,
}

impl KeySetBuilder {
    /// Starts empty in a directory of its own; what an earlier process left there is removed.
    pub fn new(dir: &Path) -> io::Result<Self> {
        remove(dir)?;
        fs::create_dir_all(dir)?;
        let hash = KeyHash(RandomState::new());
        Ok(Self {
            dir: dir.to_owned(),
            hash,
            pending: Vec::new(),
            runs: Vec::new(),
            next_run: 0,
            count: 0,
        })
    }

    /// Adds a key.
    pub fn add(&mut self, db: DbIndex, key: &[u8]) -> io::Result<()> {
        self.pending.push(self.hash.of(db, key));
        self.count += 1;
        if self.pending.len() == RUN_HASHES {
            self.write_run()?;
        }
        Ok(())
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.pending.sort_unstable();
        let path = self.next_path();
        let mut file = BufWriter::new(File::create(&path)?);
        for hash in self.pending.drain(..) {
            file.write_all(&hash.to_le_bytes())?;
        }
        file.flush()?;
        self.runs.push(path);
        if self.runs.len() == RUNS_MERGED_MAX {
            let merged = self.merge(None)?;
            self.runs.push(merged);
        }
        Ok(())
    }

    fn next_path(&mut self) -> PathBuf {
        self.next_run += 1;
        self.dir.join(format!("keys-{:06}", self.next_run))
    }

    /// Merges all runs into one file and forgets them. Each block's first hash goes into `index`.
    fn merge(&mut self, mut index: Option<&mut Vec<u64>>) -> io::Result<PathBuf> {
        let path = self.next_path();
        let mut output = BufWriter::new(File::create(&path)?);
        let mut inputs = self
            .runs
            .iter()
            .map(|run| File::open(run).map(BufReader::new))
            .collect::<io::Result<Vec<_>>>()?;
        let mut heads = BinaryHeap::new();
        for (number, input) in inputs.iter_mut().enumerate() {
            if let Some(hash) = next_hash(input)? {
                heads.push(Reverse((hash, number)));
            }
        }
        let mut written = 0;
        while let Some(Reverse((hash, number))) = heads.pop() {
            if let (Some(index), 0) = (index.as_deref_mut(), written % HASHES_PER_BLOCK) {
                index.push(hash);
            }
            output.write_all(&hash.to_le_bytes())?;
            written += 1;
            if let Some(hash) = next_hash(&mut inputs[number])? {
                heads.push(Reverse((hash, number)));
            }
        }
        output.flush()?;
        for run in self.runs.drain(..) {
            fs::remove_file(run)?;
        }
        Ok(path)
    }

    /// Makes the set. It can be asked from then on.
    pub fn finish(mut self) -> io::Result<KeySet> {
        self.write_run()?;
        let mut index = Vec::new();
        let path = self.merge(Some(&mut index))?;
        Ok(KeySet {
            dir: self.dir,
            hash: self.hash,
            file: File::open(path)?,
            index,
            count: self.count,
        })
    }
}

fn next_hash(input: &mut impl Read) -> io::Result<Option<u64>> {
    let mut bytes = [0; 8];
    match input.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u64::from_le_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the directory of a key set, if it is there.
pub fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The keys of a full copy. Its files go with it.
#[derive(Debug)]
pub struct KeySet {
    dir: PathBuf,
    hash: KeyHash,
    file: File,
    index: Vec<u64>,
    count: u64,
}

impl KeySet {
    /// How many keys were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether the copy had this key.
    pub fn contains(&self, db: DbIndex, key: &[u8]) -> io::Result<bool> {
        let hash = self.hash.of(db, key);
        // Equal hashes may stand on both sides of a block's border.
        let Some(block) = self.index.partition_point(|first| *first <= hash).checked_sub(1) else {
            return Ok(false);
        };
        let mut page = [0; HASHES_PER_BLOCK * 8];
        let at = (block * HASHES_PER_BLOCK * 8) as u64;
        let mut length = 0;
        while length < page.len() {
            match self.file.read_at(&mut page[length..], at + length as u64)? {
                0 => break,
                read => length += read,
            }
        }
        let (hashes, _) = page[..length].as_chunks::<8>();
        Ok(hashes.binary_search_by_key(&hash, |bytes| u64::from_le_bytes(*bytes)).is_ok())
    }
}

impl Drop for KeySet {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "failed to remove the keys of a full copy");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_several_runs_knows_its_keys_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let mut builder = KeySetBuilder::new(&path).unwrap();
        let count = 2 * RUN_HASHES as u32 + 1000;
        for number in 0..count {
            builder.add(DbIndex(number % 3), &number.to_le_bytes()).unwrap();
        }
        let set = builder.finish().unwrap();
        assert_eq!(set.count(), u64::from(count));
        for number in (0..count).step_by(97) {
            assert!(set.contains(DbIndex(number % 3), &number.to_le_bytes()).unwrap());
            assert!(!set.contains(DbIndex(number % 3 + 1), &number.to_le_bytes()).unwrap());
        }
        drop(set);
        assert!(!path.exists());
    }

    #[test]
    fn an_empty_set_knows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let set = KeySetBuilder::new(&dir.path().join("keys")).unwrap().finish().unwrap();
        assert!(!set.contains(DbIndex(0), b"").unwrap());
    }
}
