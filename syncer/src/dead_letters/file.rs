//! The file: appended to, synced, never longer than its bound, each letter in it once. A human may move it away at any
//! time; it is then begun anew.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::letter::{Key, Letter};

/// Its name in the spool's directory.
pub const FILE_NAME: &str = "dead-letters";
/// The most that it holds. What is refused in such numbers is no stray command but a wrong target.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// What became of a letter. It is on disk but for `Full`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the file now.
    New,
    /// It was there already: the unit was met again.
    Known,
    /// There is no room.
    Full,
}

/// The file of one link. One writer: the holder of the spool's lock.
#[derive(Debug)]
pub struct DeadLetterFile {
    path: PathBuf,
    keys: HashSet<Key>,
    count: u64,
    /// Inode and length, as we left it.
    seen: Option<(u64, u64)>,
    bytes_max: u64,
}

impl DeadLetterFile {
    /// In a directory that is there. Nothing is read yet.
    pub fn new(dir: &Path) -> Self {
        Self {
            path: dir.join(FILE_NAME),
            keys: HashSet::new(),
            count: 0,
            seen: None,
            bytes_max: FILE_BYTES_MAX,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many letters it holds now.
    pub fn count(&mut self) -> io::Result<u64> {
        self.refresh()?;
        Ok(self.count)
    }

    /// Adds a letter and waits until it is on disk.
    pub fn append(&mut self, letter: &Letter) -> io::Result<Appended> {
        self.refresh()?;
        if self.keys.contains(&letter.key()) {
            return Ok(Appended::Known);
        }
        let mut bytes = Vec::new();
        letter.encode(&mut bytes);
        let length = self.seen.map_or(0, |(_, length)| length);
        if length + bytes.len() as u64 > self.bytes_max {
            return Ok(Appended::Full);
        }
        let is_new = self.seen.is_none();
        // What it holds is the users'.
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        // Whatever happens from here on, the file is looked at anew.
        self.seen = None;
        file.write_all(&bytes)?;
        file.sync_data()?;
        if is_new && let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        let metadata = file.metadata()?;
        self.seen = Some((metadata.ino(), metadata.len()));
        self.keys.insert(letter.key());
        self.count += 1;
        Ok(Appended::New)
    }

    /// Reads the file if it is not as we left it. A tail that is cut short was never relied upon, and goes.
    fn refresh(&mut self) -> io::Result<()> {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let found = metadata.map(|metadata| (metadata.ino(), metadata.len()));
        if found.is_some() && found == self.seen {
            return Ok(());
        }
        self.keys.clear();
        self.count = 0;
        self.seen = None;
        let Some((inode, length)) = found else { return Ok(()) };
        let bytes = read(&self.path)?;
        let mut end = 0;
        let mut is_damaged = false;
        while end < bytes.len() {
            match Letter::parse(&bytes, end) {
                Ok(Some((letter, next))) => {
                    self.keys.insert(letter.key());
                    self.count += 1;
                    end = next;
                }
                Ok(None) => break,
                Err(_) => {
                    is_damaged = true;
                    break;
                }
            }
        }
        if is_damaged {
            // Nothing of it is thrown away; what can be read of it begins the new file.
            let aside = self.path.with_extension(format!("damaged-{length}-{inode}"));
            fs::copy(&self.path, aside)?;
        }
        if end as u64 != length {
            let file = OpenOptions::new().write(true).open(&self.path)?;
            file.set_len(end as u64)?;
            file.sync_all()?;
        }
        self.seen = Some((inode, end as u64));
        Ok(())
    }
}

/// All of a file; one that is much longer than ours may be is none of ours.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(2 * FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    match read as u64 == 2 * FILE_BYTES_MAX {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it is longer than dead letters may be: move it away",
        )),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::letter::tests::letter, *};
    use crate::position::DbIndex;

    #[test]
    fn a_letter_is_kept_once_whatever_happens_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = DeadLetterFile::new(dir.path());
        assert_eq!(file.count().unwrap(), 0);
        assert_eq!(file.append(&letter(1)).unwrap(), Appended::New);
        assert_eq!(file.append(&letter(1)).unwrap(), Appended::Known);
        let twin = Letter { twins: 1, ..letter(1) };
        assert_eq!(file.append(&twin).unwrap(), Appended::New);
        let elsewhere = Letter { db: DbIndex(4), ..letter(1) };
        assert_eq!(file.append(&elsewhere).unwrap(), Appended::New);
        let mode = fs::metadata(file.path()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        // A process that was killed in the middle of the next one.
        let whole = fs::read(file.path()).unwrap();
        for torn in 1..whole.len() / 3 {
            fs::write(file.path(), [&whole[..], &whole[..torn]].concat()).unwrap();
            let mut file = DeadLetterFile::new(dir.path());
            assert_eq!(file.append(&letter(1)).unwrap(), Appended::Known);
            assert_eq!(file.append(&letter(2)).unwrap(), Appended::New);
            assert_eq!(file.count().unwrap(), 4);
        }
    }

    #[test]
    fn the_file_is_bounded_and_may_be_moved_away() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = DeadLetterFile { bytes_max: 260, ..DeadLetterFile::new(dir.path()) };
        assert_eq!(file.append(&letter(1)).unwrap(), Appended::New);
        assert_eq!(file.append(&letter(2)).unwrap(), Appended::Full);
        fs::rename(file.path(), dir.path().join("kept")).unwrap();
        assert_eq!(file.append(&letter(2)).unwrap(), Appended::New);
        assert_eq!(file.count().unwrap(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_set_aside_and_not_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = DeadLetterFile::new(dir.path());
        file.append(&letter(1)).unwrap();
        let mut bytes = fs::read(file.path()).unwrap();
        bytes.extend_from_slice(b"?garbage");
        fs::write(file.path(), &bytes).unwrap();
        assert_eq!(file.append(&letter(2)).unwrap(), Appended::New);
        assert_eq!(file.count().unwrap(), 2);
        let mut files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let aside = files.find(|path| path.to_string_lossy().contains("damaged")).unwrap();
        assert_eq!(fs::read(aside).unwrap(), bytes);
    }
}
