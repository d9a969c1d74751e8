//! The sealer: a thread that syncs closed segments and then says so in their headers.
//!
//! It keeps the hot path free of fsync, bounds what a crash of the machine can take to about a
//! segment, and spares the next start from reading everything. A segment without a seal is read
//! from end to end by recovery; so nothing depends on this thread but time.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use super::{
    SpoolError,
    error::Act,
    segment::{LogKey, Seal, Segment, open_for_write},
    state::State,
};

/// The way to the thread. Dropping it ends the thread, after at most one more sync.
pub(super) struct Sealer {
    /// None while it is being dropped. It holds at most one entry for each segment.
    tx: Option<mpsc::Sender<(LogKey, u64)>>,
    thread: Option<JoinHandle<()>>,
    is_ending: Arc<AtomicBool>,
}

impl Sealer {
    pub(super) fn start(state: Arc<Mutex<State>>, dir: &Path) -> Result<Self, SpoolError> {
        let (tx, rx) = mpsc::channel();
        let is_ending = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_ending);
        let thread = thread::Builder::new()
            .name("spool-seal".to_owned())
            .spawn(move || run(&rx, &state, &ends))
            .act("start the sealer of", dir)?;
        Ok(Self { tx: Some(tx), thread: Some(thread), is_ending })
    }

    /// Has the closed segment that starts there sealed, when there is time.
    pub(super) fn seal(&self, key: LogKey, start: u64) {
        if let Some(tx) = &self.tx {
            // The thread only ends after the sender is gone.
            let _ = tx.send((key, start));
        }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.tx = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(rx: &mpsc::Receiver<(LogKey, u64)>, state: &Mutex<State>, is_ending: &AtomicBool) {
    while let Ok((key, start)) = rx.recv() {
        // What is still queued the next start reads, and seals then.
        if is_ending.load(Ordering::Relaxed) {
            return;
        }
        if let Err(err) = seal(state, key, start) {
            // The segment stays unsealed and readable; its frames' checksums guard it.
            tracing::warn!(error = %err, "could not seal a segment of the spool");
        }
    }
}

fn seal(state: &Mutex<State>, key: LogKey, start: u64) -> Result<(), SpoolError> {
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let (path, file, data_end) = {
        let mut state = lock();
        let Some(segment) = unsealed(&mut state, key, start) else {
            return Ok(());
        };
        let file = open_for_write(&segment.path).act("open", &segment.path)?;
        (segment.path.clone(), file, segment.data_end)
    };
    file.sync_data().act("sync", &path)?;
    // Under the lock, so that no cut can come in between and leave a seal on a cut segment.
    let mut state = lock();
    let Some(segment) = unsealed(&mut state, key, start) else {
        return Ok(());
    };
    if segment.data_end == data_end {
        let seal = Seal { end: segment.end, data_end };
        seal.write(&file, segment.head.salt).act("seal", &path)?;
        segment.is_sealed = true;
    }
    Ok(())
}

/// None if it is gone, was opened again by a cut, or is sealed.
fn unsealed(state: &mut State, key: LogKey, start: u64) -> Option<&mut Segment> {
    let log = state.log_mut(key).filter(|log| log.pending_cut.is_none())?;
    log.segments
        .iter_mut()
        .find(|segment| segment.head.start == start)
        .filter(|segment| segment.closed_at.is_some() && !segment.is_sealed)
}
