//! A link that can be cut, silenced or slowed: a TCP proxy on loopback.
//!
//! Each connection has two directions, each direction a reader and a writer joined by a bounded queue, so that a delay
//! holds bytes back without holding back those behind them.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{connection::split_address, port::free_port};

/// How soon a thread that waits for bytes or clients notices a change of mode.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A frozen server with a full queue would hold a connection thread, and with it the proxy's end, for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What one direction holds back at most, in chunks of [`CHUNK_BYTES`]: with a delay of 100 ms still 80 MB/s.
const QUEUE_CHUNKS: usize = 256;

/// One read.
const CHUNK_BYTES: usize = 32 * 1024;

/// A client beyond these is closed at once: four threads each.
const CONNECTIONS_MAX: usize = 64;

/// What the link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Nobody listens, and what was open is closed.
    Refuse,
    /// Like a cable that was pulled: connections stay open, new ones are accepted, no byte passes either way, and
    /// a closing end is not told to the other. What was under way arrives when the link passes again.
    Silent,
    /// Each byte arrives this much later.
    Delay(Duration),
}

/// What went through since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that are open now.
    pub open_connections: u64,
    /// Bytes passed from clients to the upstream server.
    pub to_upstream_bytes: u64,
    /// Bytes passed from the upstream server to clients.
    pub from_upstream_bytes: u64,
}

/// A running proxy. When it is dropped its connections close and its threads end.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    listener_thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    connections: AtomicU64,
    to_upstream: AtomicU64,
    from_upstream: AtomicU64,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    upstream: String,
    is_ended: bool,
    /// Whether the listening socket is open: what `set_mode` waits for.
    is_listening: bool,
    /// Grows when all connections that are open must close.
    generation: u64,
    open: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits a while for a change, and at most until then.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, at_most: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits until bytes that were read at `read_at` may pass. False when the connection is to close.
    fn may_pass(&self, generation: u64, read_at: Instant) -> bool {
        let mut state = self.state();
        loop {
            if state.is_ended || state.generation != generation {
                return false;
            }
            let wait = match state.mode {
                Mode::Pass | Mode::Refuse => return true,
                Mode::Silent => Duration::from_secs(1),
                Mode::Delay(delay) => match delay.checked_sub(read_at.elapsed()) {
                    Some(rest) if !rest.is_zero() => rest,
                    _ => return true,
                },
            };
            state = self.wait(state, wait);
        }
    }

    fn is_current(&self, generation: u64) -> bool {
        let state = self.state();
        !state.is_ended && state.generation == generation
    }
}

impl Proxy {
    /// Listens on a port of its own and passes everything on to `upstream`.
    pub fn start(upstream: &str) -> Result<Self> {
        split_address(upstream)?;
        let mut bound = None;
        // Another process may take the port between the look and the bind.
        for _ in 0..5 {
            let port = free_port()?;
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
                bound = Some((port, listener));
                break;
            }
        }
        let (port, listener) = bound.context("found no port for a proxy")?;
        listener.set_nonblocking(true).context("failed to set up the proxy's socket")?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                mode: Mode::Pass,
                upstream: upstream.to_string(),
                is_ended: false,
                is_listening: true,
                generation: 0,
                open: 0,
            }),
            changed: Condvar::new(),
            connections: AtomicU64::new(0),
            to_upstream: AtomicU64::new(0),
            from_upstream: AtomicU64::new(0),
        });
        let listener_thread = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("proxy-{port}"))
                .spawn(move || listen(&shared, port, listener))
                .context("failed to start the proxy's thread")?
        };
        Ok(Self { shared, port, listener_thread: Some(listener_thread) })
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Changes what the link does. On return it holds: with [`Mode::Refuse`] a client is refused, with any other it is
    /// accepted.
    pub fn set_mode(&self, mode: Mode) {
        let mut state = self.shared.state();
        state.mode = mode;
        if mode == Mode::Refuse {
            state.generation += 1;
        }
        self.shared.changed.notify_all();
        while !state.is_ended
            && state.mode == mode
            && (state.is_listening == (mode == Mode::Refuse)
                || (mode == Mode::Refuse && state.open > 0))
        {
            state = self.shared.wait(state, LOOK_INTERVAL);
        }
    }

    /// Sends new connections elsewhere; those that are open stay where they are.
    pub fn set_upstream(&self, upstream: &str) {
        self.shared.state().upstream = upstream.to_string();
    }

    /// Closes what is open, and accepts new connections as before.
    pub fn sever(&self) {
        self.shared.state().generation += 1;
        self.shared.changed.notify_all();
    }

    /// What went through so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            connections: self.shared.connections.load(Ordering::Relaxed),
            open_connections: self.shared.state().open as u64,
            to_upstream_bytes: self.shared.to_upstream.load(Ordering::Relaxed),
            from_upstream_bytes: self.shared.from_upstream.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().is_ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.listener_thread.take() {
            let _ = thread.join();
        }
        // The threads of the connections look at the state often enough.
        let mut state = self.shared.state();
        while state.open > 0 {
            state = self.shared.wait(state, LOOK_INTERVAL);
        }
    }
}

fn listen(shared: &Arc<Shared>, port: u16, listener: TcpListener) {
    let mut listener = Some(listener);
    loop {
        let mut state = shared.state();
        if state.is_ended {
            return;
        }
        if state.mode == Mode::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(("127.0.0.1", port))
                .and_then(|bound| bound.set_nonblocking(true).map(|()| bound))
                .ok();
        }
        if state.is_listening != listener.is_some() {
            state.is_listening = listener.is_some();
            shared.changed.notify_all();
        }
        let accepted = listener.as_ref().map(TcpListener::accept);
        match accepted {
            Some(Ok((client, _))) if state.open < CONNECTIONS_MAX => {
                state.open += 1;
                let generation = state.generation;
                drop(state);
                shared.connections.fetch_add(1, Ordering::Relaxed);
                serve(shared, generation, client);
            }
            // One client too many is closed by the drop. Other errors are of a client that has gone already.
            Some(Ok(_)) => {}
            _ => drop(shared.wait(state, LOOK_INTERVAL)),
        }
    }
}

fn serve(shared: &Arc<Shared>, generation: u64, client: TcpStream) {
    let own = Arc::clone(shared);
    let served = thread::Builder::new().name("proxy-connection".to_string()).spawn(move || {
        // The connection's end is counted whatever happens in between.
        let _ = relay(&own, generation, client);
        own.state().open -= 1;
        own.changed.notify_all();
    });
    if served.is_err() {
        shared.state().open -= 1;
    }
}

fn relay(shared: &Arc<Shared>, generation: u64, client: TcpStream) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    if !shared.may_pass(generation, Instant::now()) {
        return Ok(());
    }
    let upstream = shared.state().upstream.clone();
    let address = upstream.to_socket_addrs()?.next().ok_or(ErrorKind::AddrNotAvailable)?;
    let server = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_INTERVAL))?;
        stream.set_write_timeout(Some(LOOK_INTERVAL))?;
    }
    thread::scope(|scope| {
        let directions =
            [(&client, &server, &shared.to_upstream), (&server, &client, &shared.from_upstream)];
        for (from, to, counter) in directions {
            let (tx, rx) = sync_channel(QUEUE_CHUNKS);
            scope.spawn(move || read_into(shared, generation, from, &tx));
            scope.spawn(move || write_from(shared, generation, to, &rx, counter));
        }
    });
    Ok(())
}

type Chunk = (Instant, Vec<u8>);

/// Reads until the peer closes or the connection is to end. Leaving drops the queue, which tells the writer.
fn read_into(shared: &Shared, generation: u64, mut from: &TcpStream, tx: &SyncSender<Chunk>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while shared.is_current(generation) {
        // A pulled cable takes nothing in; what is read below was under way.
        let is_silent = shared.state().mode == Mode::Silent;
        if is_silent {
            drop(shared.wait(shared.state(), LOOK_INTERVAL));
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                let mut chunk = (Instant::now(), buffer[..count].to_vec());
                // A full queue means that the other end is slow: then this end waits too.
                while let Err(err) = tx.try_send(chunk) {
                    match err {
                        TrySendError::Full(back) if shared.is_current(generation) => chunk = back,
                        _ => return,
                    }
                    drop(shared.wait(shared.state(), LOOK_INTERVAL));
                }
            }
            Err(err) if is_retryable(&err) => {}
            Err(_) => return,
        }
    }
}

/// Writes what the reader queued, when it may pass. The end of the queue closes this direction after its last byte;
/// an error closes both.
fn write_from(
    shared: &Shared,
    generation: u64,
    to: &TcpStream,
    rx: &Receiver<Chunk>,
    counter: &AtomicU64,
) {
    loop {
        let chunk = match rx.recv_timeout(LOOK_INTERVAL) {
            Ok(chunk) => chunk,
            Err(RecvTimeoutError::Timeout) if shared.is_current(generation) => continue,
            Err(RecvTimeoutError::Disconnected) if shared.may_pass(generation, Instant::now()) => {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            Err(_) => break,
        };
        if !shared.may_pass(generation, chunk.0) {
            break;
        }
        // Before the write: who has received a byte must find it counted.
        counter.fetch_add(chunk.1.len() as u64, Ordering::Relaxed);
        if write_all(shared, generation, to, &chunk.1).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn write_all(
    shared: &Shared,
    generation: u64,
    mut to: &TcpStream,
    mut bytes: &[u8],
) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(err) if is_retryable(&err) && shared.is_current(generation) => {}
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

fn is_retryable(err: &std::io::Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
