//! The last answer on a TLS connection, `close_notify` and the end of the stream, sent at once.
//!
//! Written one by one they are three segments, and each wakes the other end: nearly as much as the
//! connection cost to open. So what is written as the last is held back, however often it is flushed,
//! until the stream is shut down. Should somebody read instead, it goes first.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What is held at most. More is sent as it comes; rustls takes as much at once.
const HELD_BYTES_MAX: usize = 32 * 1024;

/// A TLS stream that holds its last words together. See the module.
pub(super) struct FinalFlight {
    stream: TlsStream<TcpStream>,
    is_last: Arc<AtomicBool>,
    held: Vec<u8>,
}

impl FinalFlight {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream, is_last: Arc::default(), held: Vec::new() }
    }

    /// To be set when what is written from now on is the last.
    pub(super) fn is_last(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_last)
    }

    fn holds(&self, more: usize) -> bool {
        self.is_last.load(Ordering::Relaxed) && self.held.len() + more <= HELD_BYTES_MAX
    }

    /// Gives what is held to the TLS session, which writes it with whatever is next.
    fn release(&mut self) -> io::Result<()> {
        if !self.held.is_empty() {
            self.stream.get_mut().1.writer().write_all(&self.held)?;
            self.held.clear();
        }
        Ok(())
    }
}

impl AsyncRead for FinalFlight {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            self.release()?;
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for FinalFlight {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.holds(bytes.len()) {
            self.held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        self.release()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.holds(length) {
            slices.iter().for_each(|slice| self.held.extend_from_slice(slice));
            return Poll::Ready(Ok(length));
        }
        self.release()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.holds(0) {
            return Poll::Ready(Ok(()));
        }
        self.release()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            // The end of the stream then goes in the segment of the last bytes; where it cannot, it goes in one of
            // its own.
            #[cfg(target_os = "linux")]
            let _ = socket2::SockRef::from(self.stream.get_ref().0).set_tcp_cork(true);
            self.release()?;
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
