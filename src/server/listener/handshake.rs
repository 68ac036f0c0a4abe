//! A TLS handshake, and its turn.

use std::io;
use std::sync::Arc;

use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::Shared;
use super::gate::Turned;
use crate::domain::address::SourcePrefix;
use crate::metrics::{Admission, HandshakeOutcome};
use crate::server::http::silence::Silence;

/// Who asks for a handshake.
pub(super) struct Newcomer<'a> {
    pub(super) source: SourcePrefix,
    pub(super) silence: &'a Silence,
    pub(super) accepted_at: Instant,
}

/// Why there will be no handshake.
enum NoHandshake {
    Failed(io::Error),
    Turned(Turned),
}

impl From<io::Error> for NoHandshake {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// A finished handshake, or `None` when there will be none; counted either way.
pub(super) async fn handshake(
    shared: &Shared,
    config: &Arc<rustls::ServerConfig>,
    stream: TcpStream,
    newcomer: Newcomer<'_>,
    deadline: Instant,
) -> Option<TlsStream<TcpStream>> {
    let handshake = async {
        // Whoever says nothing waits for no turn.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        if !shared.gate.is_open(newcomer.accepted_at).await {
            wait_at_gate(shared, &hello.io, &newcomer).await?;
        }
        Ok(hello.into_stream(Arc::clone(config)).await?)
    };
    let (outcome, stream) = match timeout_at(deadline, handshake).await {
        Ok(Ok(stream)) => (HandshakeOutcome::Completed, Some(stream)),
        Ok(Err(NoHandshake::Turned(turned))) => {
            shared.refuse(turned.into());
            return None;
        }
        Ok(Err(NoHandshake::Failed(error))) if is_not_tls(&error) => (HandshakeOutcome::NotTls, None),
        Ok(Err(NoHandshake::Failed(_))) => (HandshakeOutcome::Failed, None),
        Err(_) => (HandshakeOutcome::TimedOut, None),
    };
    shared.service.metrics.count_handshake(outcome);
    stream
}

/// Waits for the newcomer's turn, for as long as its client does.
async fn wait_at_gate(shared: &Shared, stream: &TcpStream, newcomer: &Newcomer<'_>) -> Result<(), NoHandshake> {
    let metrics = &shared.service.metrics;
    // It is us that the client waits for.
    newcomer.silence.end().await;
    let began = Instant::now();
    let gone = async {
        match stream.peek(&mut [0]).await {
            Ok(0) => io::ErrorKind::UnexpectedEof.into(),
            // It said something that is to be read after the hello.
            Ok(_) => std::future::pending().await,
            Err(error) => error,
        }
    };
    let waited = tokio::select! {
        biased;
        turn = shared.gate.wait(newcomer.source) => turn.map_err(NoHandshake::Turned),
        error = gone => Err(NoHandshake::Failed(error)),
    };
    metrics.observe_handshake_wait(began.elapsed());
    newcomer.silence.begin();
    waited
}

impl From<Turned> for Admission {
    fn from(turned: Turned) -> Self {
        match turned {
            Turned::QueueStands => Self::QueueStands,
            Turned::WaitedTooLong => Self::WaitedTooLong,
        }
    }
}

/// Whether the first bytes were no TLS record at all.
fn is_not_tls(error: &io::Error) -> bool {
    use rustls::{Error, InvalidMessage};
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(
        error,
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion))
    )
}
