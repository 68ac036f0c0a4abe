//! Accept loops, and the bounds and deadlines of every connection.
//!
//! ```text
//! accept ── over the bound, or over its source's share: closed at once
//!    │
//!    ├─ PROXY header, from trusted balancers only ┐ one deadline for both,
//!    ├─ TLS handshake                             ┘ from the moment of accepting
//!    ├─ request head            a deadline each, which also ends an idle connection
//!    ├─ body                    the handler's deadline
//!    └─ close                   close_notify, then a short wait for the other end
//! ```
//!
//! A connection is one task. It lives for [`Limits::lifetime`] at most, whatever it does, so that
//! a device that stops reading in the middle of an answer holds nothing for long.
//!
//! Shares: a source ([`SourcePrefix`]) may hold three times as many places as are free, no more.
//! Alone it gets three quarters of the listener, as a boot storm behind one address needs. A flood
//! from *n* sources leaves `1 / (1 + 3 n)` of the places to everyone else, and who holds none is let
//! in as long as there is one. (Dynamic thresholds, as switches share their buffers by.)
//!
//! Drain: a listener that is told to stop accepts nothing more and finishes what it accepted. A
//! connection that has sent nothing yet still gets its first answer; one that is idle between
//! requests is closed; every answer says `Connection: close`. After the drain's deadline the
//! rest is dropped.
//!
//! Metrics are served by the same loop without TLS ([`Transport::Plain`]).

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::final_flight::FinalFlight;
use super::http::{Handler, Peer, Unanswered};
use super::proxy_protocol::{ProxyHeaderError, Source, read_header};
use crate::domain::address::SourcePrefix;
use crate::metrics::{Deadline, Door, HandshakeOutcome, Metrics};

/// Connections that wait to be accepted. A boot storm comes at once; the kernel caps this at
/// `net.core.somaxconn`.
const BACKLOG: u32 = 4_096;

/// Bytes a connection may hold unparsed: the bound of a request's head, too. A head above it gets
/// 431 and the connection's end. At most 100 headers, hyper's bound that costs no allocation.
const BUFFER_BYTES_MAX: usize = 16 * 1024;

/// How long a connection that was closed here is listened to, so that an answer already sent is
/// not destroyed by a reset for bytes that came after it, and how many bytes of it are taken.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// Largest client certificate that is kept, in bytes of DER; those made here have about one thousand.
/// (TLS itself keeps what the client sent, at most 64 KiB, while the connection lives.)
const CLIENT_CERTIFICATE_BYTES_MAX: usize = 8 * 1024;

/// Pause after an error of accepting that is the system's and not a connection's.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Places that one source may hold for each that is free.
const PLACES_PER_FREE_PLACE: usize = 3;

/// Bounds of one listener. Those in force when a connection is accepted count for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections served at once; one more is closed as soon as it is accepted. A single source gets
    /// three quarters of them, less when others are there.
    pub connections_max: usize,
    /// From accepting to the end of the handshake, PROXY header included.
    pub handshake_timeout: Duration,
    /// From the handshake, or the last answer, until a request's head has arrived.
    pub head_timeout: Duration,
    /// Of a connection, all in all.
    pub lifetime: Duration,
    /// The answer to the last of them closes the connection.
    pub requests_per_connection_max: u32,
    /// Networks whose connections begin with a PROXY header; empty: none do.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            lifetime: Duration::from_secs(300),
            requests_per_connection_max: 1_000,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Limits {
    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// What is spoken below HTTP.
#[derive(Clone)]
pub enum Transport {
    Plain,
    Tls(Arc<rustls::ServerConfig>),
}

/// A bound socket that accepts nothing yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Everything a listener's connections share.
pub struct Service {
    pub door: Door,
    pub transport: Transport,
    pub handler: Arc<dyn Handler>,
    /// Replaced while the listener runs; see [`Limits`].
    pub limits: Arc<ArcSwap<Limits>>,
    pub metrics: Arc<Metrics>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    Completely,
    /// So many connections were dropped at the deadline.
    Dropped(usize),
}

impl Listener {
    /// Binds, also while connections of a previous process linger. Port 0 takes a free one, see
    /// [`Self::local_addr`].
    ///
    /// # Errors
    /// The system's: address in use, not ours, or not allowed.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Where it is bound, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes, then drains for `drain_timeout` at most.
    pub async fn serve(
        self,
        service: Service,
        shutdown: impl Future<Output = ()> + Send,
        drain_timeout: Duration,
    ) -> Drained {
        let (phase, observer) = watch::channel(Phase::Serving);
        let shared = Arc::new(Shared {
            service,
            open: AtomicUsize::new(0),
            held: Mutex::default(),
            all_closed: Notify::new(),
            observer,
        });
        tokio::select! {
            biased;
            () = shutdown => {}
            never = accept_all(&self.socket, &shared) => match never {},
        }
        accept_waiting(&self.socket, &shared).await;
        // Closes the port before the drain: a balancer then sends devices elsewhere.
        drop(self.socket);
        phase.send_replace(Phase::Draining);
        let drained = timeout(drain_timeout, shared.wait_until_closed()).await;
        let left = shared.open.load(Ordering::SeqCst);
        phase.send_replace(Phase::Ended);
        if drained.is_ok() { Drained::Completely } else { Drained::Dropped(left) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
    Ended,
}

struct Shared {
    service: Service,
    open: AtomicUsize,
    /// How many of them each source has. One entry for a connection at most.
    held: Mutex<HashMap<SourcePrefix, usize>>,
    all_closed: Notify,
    /// Cloned by every connection.
    observer: watch::Receiver<Phase>,
}

impl Shared {
    async fn wait_until_closed(&self) {
        loop {
            let closed = self.all_closed.notified();
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            closed.await;
        }
    }
}

/// One open connection in the counts, from accepting until dropped.
struct Place {
    shared: Arc<Shared>,
    /// `None` until it is known whom the connection comes from.
    source: Option<SourcePrefix>,
}

impl Place {
    fn take(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::SeqCst);
        shared.service.metrics.connection_opened(shared.service.door);
        Self { shared: Arc::clone(shared), source: None }
    }

    /// Counts the place to whom it is for. `false`, and not counted: that one has its share.
    fn assign(&mut self, address: IpAddr, limits: &Limits) -> bool {
        let source = SourcePrefix::of(address);
        let others = self.shared.open.load(Ordering::SeqCst) - 1;
        let free = limits.connections_max.saturating_sub(others);
        let mut held = self.shared.held.lock().unwrap_or_else(PoisonError::into_inner);
        let places = held.get(&source).copied().unwrap_or(0);
        let is_assigned = places < PLACES_PER_FREE_PLACE.saturating_mul(free);
        if is_assigned {
            held.insert(source, places + 1);
            self.source = Some(source);
        }
        is_assigned
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let shared = &self.shared;
        if let Some(source) = self.source {
            let mut held = shared.held.lock().unwrap_or_else(PoisonError::into_inner);
            match held.get_mut(&source) {
                Some(places @ 2..) => *places -= 1,
                _ => drop(held.remove(&source)),
            }
        }
        shared.service.metrics.connection_closed(shared.service.door);
        if shared.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            // Keeps the permit for a waiter that has only just looked at the count.
            shared.all_closed.notify_one();
        }
    }
}

async fn accept_all(socket: &TcpListener, shared: &Arc<Shared>) -> Infallible {
    loop {
        match socket.accept().await {
            Ok((stream, address)) => admit(shared, stream, address),
            Err(error) => {
                shared.service.metrics.count_accept_error();
                if !is_of_one_connection(&error) {
                    // Out of descriptors or memory: accepting again at once would only spin.
                    tracing::warn!(listener = shared.service.door.as_str(), %error, "Connections cannot be accepted.");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Accepts what the kernel has accepted already: these devices believe that they are connected.
async fn accept_waiting(socket: &TcpListener, shared: &Arc<Shared>) {
    // Lets the runtime hear from the kernel first.
    tokio::task::yield_now().await;
    for _ in 0..BACKLOG {
        let waiting = poll_fn(|context| match socket.poll_accept(context) {
            Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
            Poll::Pending => Poll::Ready(None),
        });
        let Some((stream, address)) = waiting.await else { return };
        admit(shared, stream, address);
    }
}

/// Serves a connection in a task of its own, if there is a place for it.
fn admit(shared: &Arc<Shared>, stream: TcpStream, address: SocketAddr) {
    let service = &shared.service;
    let limits = service.limits.load_full();
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    // Only the accept loop adds, so that the bound is exact.
    if shared.open.load(Ordering::SeqCst) >= limits.connections_max {
        service.metrics.count_refused_connection(service.door);
        return;
    }
    let mut place = Place::take(shared);
    // A balancer has no share of its own: it says later whom its connection is for.
    if !limits.trusts(address.ip()) && !place.assign(address.ip(), &limits) {
        service.metrics.count_refused_connection(service.door);
        return;
    }
    let mut phase = shared.observer.clone();
    // Boxed: a task is moved half a dozen times on its way to its first poll and to its end, and a
    // connection's state has kilobytes.
    tokio::spawn(Box::pin(async move {
        tokio::select! {
            biased;
            () = serve_connection(&mut place, stream, address, &limits) => {}
            _ = phase.wait_for(|phase| *phase == Phase::Ended) => {}
        }
    }));
}

/// The connection was gone before it was accepted; the next one is not affected.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

async fn serve_connection(place: &mut Place, mut stream: TcpStream, address: SocketAddr, limits: &Limits) {
    let accepted_at = Instant::now();
    let shared = Arc::clone(&place.shared);
    let service = &shared.service;
    // Answers are written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let deadline = accepted_at + limits.handshake_timeout;

    let address = if limits.trusts(address.ip()) {
        match timeout_at(deadline, read_header(&mut stream)).await {
            Ok(Ok(Source::Client(client))) if place.assign(client.ip(), limits) => client,
            Ok(Ok(Source::Client(_))) => return service.metrics.count_refused_connection(service.door),
            Ok(Ok(Source::Balancer)) => address,
            Ok(Err(error @ ProxyHeaderError::Read(_))) => {
                service.metrics.count_handshake(HandshakeOutcome::BadProxyHeader);
                // Balancers look every few seconds whether they can connect, and say nothing.
                tracing::debug!(remote.address = %address.ip(), %error, "A trusted balancer hung up.");
                return;
            }
            Ok(Err(error)) => {
                service.metrics.count_handshake(HandshakeOutcome::BadProxyHeader);
                tracing::warn!(remote.address = %address.ip(), %error, "A trusted balancer sent no usable PROXY header.");
                return;
            }
            Err(_) => return service.metrics.count_handshake(HandshakeOutcome::TimedOut),
        }
    } else {
        address
    };

    match &service.transport {
        Transport::Plain => {
            let peer = Peer { address, client_certificate: None };
            Box::pin(serve_http(&shared, stream, Arc::default(), peer, limits, accepted_at)).await;
        }
        Transport::Tls(config) => {
            let Some(stream) = handshake(service, config, stream, deadline).await else { return };
            let certificates = stream.get_ref().1.peer_certificates();
            let client_certificate = certificates
                .and_then(<[_]>::first)
                .filter(|der| der.len() <= CLIENT_CERTIFICATE_BYTES_MAX)
                .map(|der| der.clone().into_owned());
            let peer = Peer { address, client_certificate };
            let stream = FinalFlight::new(stream);
            let is_last = stream.is_last();
            // Apart from the task: what has not shaken hands yet takes a third of the room.
            Box::pin(serve_http(&shared, stream, is_last, peer, limits, accepted_at)).await;
        }
    }
}

/// A finished handshake, or `None` when there will be none; counted either way.
async fn handshake(
    service: &Service,
    config: &Arc<rustls::ServerConfig>,
    stream: TcpStream,
    deadline: Instant,
) -> Option<TlsStream<TcpStream>> {
    let handshake = TlsAcceptor::from(Arc::clone(config)).accept(stream);
    let (outcome, stream) = match timeout_at(deadline, handshake).await {
        Ok(Ok(stream)) => (HandshakeOutcome::Completed, Some(stream)),
        Ok(Err(error)) if is_not_tls(&error) => (HandshakeOutcome::NotTls, None),
        Ok(Err(_)) => (HandshakeOutcome::Failed, None),
        Err(_) => (HandshakeOutcome::TimedOut, None),
    };
    service.metrics.count_handshake(outcome);
    stream
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

/// What the requests of one connection share.
struct Connection<'a> {
    service: &'a Service,
    peer: Peer,
    requests_max: u32,
    requests: AtomicU32,
    /// Set before an answer is written that closes the connection.
    is_last: Arc<AtomicBool>,
    is_draining: AtomicBool,
}

async fn serve_http<S>(
    shared: &Shared,
    stream: S,
    is_last: Arc<AtomicBool>,
    peer: Peer,
    limits: &Limits,
    accepted_at: Instant,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let service = &shared.service;
    let connection = Connection {
        service,
        peer,
        requests_max: limits.requests_per_connection_max,
        requests: AtomicU32::new(0),
        is_last,
        is_draining: AtomicBool::new(false),
    };
    let mut phase = shared.observer.clone();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(BUFFER_BYTES_MAX)
        // A device that closes its writing side after the request still gets its answer. And an
        // enrollment that began is finished and logged, whether or not anyone waits for it.
        .half_close(true);
    let mut served = http.serve_connection(TokioIo::new(stream), service_fn(|request| connection.answer(request)));

    let end_of_life = tokio::time::sleep_until(accepted_at + limits.lifetime);
    tokio::pin!(end_of_life);
    let result = loop {
        let is_draining = connection.is_draining.load(Ordering::Relaxed);
        tokio::select! {
            biased;
            result = &mut served => break Some(result),
            _ = phase.wait_for(|phase| *phase != Phase::Serving), if !is_draining => {
                connection.is_draining.store(true, Ordering::SeqCst);
                if connection.requests.load(Ordering::SeqCst) > 0 {
                    std::pin::Pin::new(&mut served).graceful_shutdown();
                }
            }
            () = &mut end_of_life => {
                service.metrics.count_missed_deadline(service.door, Deadline::Lifetime);
                break None;
            }
        }
    };
    match result {
        Some(Ok(())) => {
            let stream = served.into_parts().io.into_inner();
            linger(stream).await;
        }
        Some(Err(error)) => {
            if error.is_timeout() {
                service.metrics.count_missed_deadline(service.door, Deadline::Head);
            }
            let mut stream = served.into_parts().io.into_inner();
            let _ = timeout(LINGER, stream.shutdown()).await;
        }
        None => {}
    }
}

impl Connection<'_> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Unanswered> {
        let requests = 1 + self.requests.fetch_add(1, Ordering::SeqCst);
        let is_last_request = says_close(request.headers());
        let mut response = self.service.handler.handle(request, &self.peer).await;
        if let Some(unanswered) = response.extensions().get::<Unanswered>() {
            if *unanswered == Unanswered::TimedOut {
                self.service.metrics.count_missed_deadline(self.service.door, Deadline::Body);
            }
            return Err(*unanswered);
        }
        if requests >= self.requests_max || self.is_draining.load(Ordering::SeqCst) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if is_last_request || says_close(response.headers()) {
            self.is_last.store(true, Ordering::Relaxed);
        }
        Ok(response)
    }
}

fn says_close(headers: &HeaderMap) -> bool {
    headers.get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// Listens to the other end's last words. hyper has sent the answer, `close_notify` and the end of
/// the stream; closing now with bytes unread would make the kernel reset the connection, and the
/// answer to a body that was too large would be lost on its way.
async fn linger<S: AsyncRead + Unpin>(mut stream: S) {
    let mut buffer = [0; 1_024];
    let mut taken = 0;
    let until_end = async {
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            taken += read;
            if taken > LINGER_BYTES_MAX {
                break;
            }
        }
    };
    let _ = timeout(LINGER, until_end).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_networks_are_trusted_to_name_others() {
        let limits = Limits { trusted_proxies: vec!["192.0.2.0/24".parse().unwrap()], ..Limits::default() };
        assert!(limits.trusts("192.0.2.9".parse().unwrap()));
        assert!(!limits.trusts("192.0.3.9".parse().unwrap()));
        assert!(!Limits::default().trusts("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn running_out_of_descriptors_is_not_one_connections_fault() {
        const EMFILE: i32 = 24;
        const ECONNABORTED: i32 = 103;
        assert!(!is_of_one_connection(&io::Error::from_raw_os_error(EMFILE)));
        #[cfg(target_os = "linux")]
        assert!(is_of_one_connection(&io::Error::from_raw_os_error(ECONNABORTED)));
    }
}
