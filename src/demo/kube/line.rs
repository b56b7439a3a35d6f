//! The server's connections, which can all be cut at once.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The state that all connections share.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    stop: CancellationToken,
    /// Cancels the current connections; it is cancelled while the server is down.
    current: Arc<Mutex<CancellationToken>>,
}

impl Lines {
    pub(super) fn new(stop: CancellationToken) -> Self {
        let current = Arc::new(Mutex::new(stop.child_token()));
        Self { stop, current }
    }

    pub(super) fn down(&self) {
        self.lock().cancel();
    }

    pub(super) fn up(&self) {
        let mut current = self.lock();
        if current.is_cancelled() {
            *current = self.stop.child_token();
        }
    }

    fn lock(&self) -> MutexGuard<'_, CancellationToken> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener that drops new connections while the server is down.
pub(super) struct LineGate {
    listener: TcpListener,
    lines: Lines,
}

impl LineGate {
    pub(super) fn new(listener: TcpListener, lines: Lines) -> Self {
        Self { listener, lines }
    }
}

impl axum::serve::Listener for LineGate {
    type Io = RequestLine;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (RequestLine, SocketAddr) {
        loop {
            // A client may hang up before it is served; wait for the next one.
            let Ok((stream, address)) = self.listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let token = self.lines.lock().clone();
            // A watch event is one small write, which must not wait for the acknowledgement of the one before.
            if !token.is_cancelled() && stream.set_nodelay(true).is_ok() {
                return (RequestLine { stream, cut: Box::pin(token.cancelled_owned()) }, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection.
pub(super) struct RequestLine {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl RequestLine {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for RequestLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for RequestLine {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
