//! A listener that strangers cannot exhaust: so many connections at most, and none that says nothing for long.
//! Without it, idle connections would use up the process's files, which spool and links need.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};

/// An operator's long poll, Prometheus, the probes and a few people; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// Longer than a long poll, during which the reader is silent.
const SILENCE_MAX: Duration = Duration::from_secs(45);

pub(super) struct BoundedListener {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    silence_max: Duration,
}

impl BoundedListener {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self::with_limits(listener, CONNECTIONS_MAX, SILENCE_MAX)
    }

    pub(super) fn with_limits(
        listener: TcpListener,
        connections_max: usize,
        silence_max: Duration,
    ) -> Self {
        Self { listener, slots: Arc::new(Semaphore::new(connections_max)), silence_max }
    }
}

impl Listener for BoundedListener {
    type Io = BoundedConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let permit = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed: this is its only owner");
        // The trait's accept of the inner listener waits out errors such as too many open files.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let silence_max = self.silence_max;
        let deadline = Box::pin(sleep(silence_max));
        (BoundedConnection { stream, deadline, silence_max, _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that ends by itself when its peer is silent for too long.
pub(super) struct BoundedConnection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    silence_max: Duration,
    _permit: OwnedSemaphorePermit,
}

impl BoundedConnection {
    fn put_off(&mut self) {
        self.deadline.as_mut().reset(Instant::now() + self.silence_max);
    }

    fn is_overdue(&mut self, ctx: &mut Context<'_>) -> bool {
        self.deadline.as_mut().poll(ctx).is_ready()
    }
}

impl AsyncRead for BoundedConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(ctx, buffer) {
            Poll::Pending if self.is_overdue(ctx) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => {
                self.put_off();
                Poll::Ready(outcome)
            }
        }
    }
}

impl AsyncWrite for BoundedConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(ctx, bytes) {
            Poll::Pending if self.is_overdue(ctx) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => {
                self.put_off();
                Poll::Ready(outcome)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(ctx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(ctx)
    }
}
