//! Accept loops, and the bounds and deadlines of every connection.
//!
//! ```text
//! accept ── over the bound, or over its source's share: closed at once
//!    │
//!    ├─ PROXY header, from trusted balancers only ┐ one deadline for all,
//!    ├─ ClientHello, and its turn at the gate     │ from the moment of accepting
//!    ├─ the rest of the TLS handshake             ┘
//!    ├─ request head            a deadline each, which also ends an idle connection
//!    ├─ body                    the handler's deadline
//!    └─ close                   close_notify, then a short wait for the other end
//! ```
//!
//! A connection is one task. It lives for [`Limits::lifetime`] at most, whatever it does, so that
//! a device that stops reading in the middle of an answer holds nothing for long.
//!
//! Admission ([decision 0014](../../docs/decisions/0014-admission.md)): places are shared out between sources, and
//! who is silent gives way when they run short ([`places`]); who comes faster than handshakes can be computed waits
//! for its turn, or is closed at once ([`gate`]).
//!
//! Drain: a listener that is told to stop accepts nothing more and finishes what it accepted. A
//! connection that has sent nothing yet still gets its first answer; one that is idle between
//! requests is closed; every answer says `Connection: close`. After the drain's deadline the
//! rest is dropped.
//!
//! Metrics are served by the same loop without TLS ([`Transport::Plain`]).

mod gate;
mod handshake;
mod places;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use self::gate::Gate;
use self::handshake::{Newcomer, handshake};
use self::places::{Assigned, Places};
use super::final_flight::FinalFlight;
use super::http::silence::Silence;
use super::http::{Handler, Peer, Unanswered};
use super::proxy_protocol::{ProxyHeaderError, Source, read_header};
use crate::domain::address::SourcePrefix;
use crate::metrics::{Admission, Deadline, Door, HandshakeOutcome, Metrics};

/// Connections that wait to be accepted. A boot storm comes at once; the kernel caps this at
/// `net.core.somaxconn`.
const BACKLOG: u32 = 4_096;

/// Connections that are accepted one after the other when more come than are served, before others have their turn.
const BURST: u32 = 64;

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
    /// The same socket without the runtime, which need not hear of connections that are closed at once.
    bare: std::net::TcpListener,
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
        // Answers are written whole; waiting for more to send would only delay them. Connections inherit it.
        socket.set_nodelay(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let bare = socket.as_fd().try_clone_to_owned()?.into();
        let address = socket.local_addr()?;
        Ok(Self { socket, bare, address })
    }

    /// A socket that listens already; it stays open for whoever else has it when this one is dropped.
    ///
    /// # Errors
    /// When it does not listen, and the system's.
    pub fn from_socket(bare: std::net::TcpListener) -> io::Result<Self> {
        let socket = SockRef::from(&bare);
        if !socket.is_listener()? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket that was handed over does not listen"));
        }
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?; // as in `bind`
        let socket = TcpListener::from_std(bare.try_clone()?)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, bare, address })
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
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        let shared = Arc::new(Shared { service, places: Places::default(), gate: Gate::new(workers), observer });
        // Until the drain has ended.
        let mut usher = JoinSet::new();
        usher.spawn({
            let shared = Arc::clone(&shared);
            async move { shared.gate.usher().await }
        });
        tokio::select! {
            biased;
            () = shutdown => {}
            never = accept_all(&self, &shared) => match never {},
        }
        accept_waiting(&self.bare, &shared, BACKLOG);
        // Closes the port before the drain: a balancer then sends devices elsewhere. A port that systemd has, too, stays
        // open, and who comes waits for the next process.
        drop(self);
        phase.send_replace(Phase::Draining);
        let drained = timeout(drain_timeout, shared.places.wait_until_free()).await;
        let left = shared.places.open();
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
    places: Places,
    gate: Gate,
    /// Cloned by every connection.
    observer: watch::Receiver<Phase>,
}

impl Shared {
    fn refuse(&self, admission: Admission) {
        self.service.metrics.count_refused_connection(self.service.door, admission);
    }
}

/// One open connection in the counts, from accepting until dropped.
struct Place {
    shared: Arc<Shared>,
    silence: Arc<Silence>,
    /// `None` until it is known whom the connection comes from.
    number: Option<u64>,
}

impl Place {
    fn take(shared: &Arc<Shared>, accepted_at: Instant) -> Self {
        shared.places.take();
        shared.service.metrics.connection_opened(shared.service.door);
        Self { shared: Arc::clone(shared), silence: Arc::new(Silence::new(accepted_at)), number: None }
    }

    /// Counts the place to whom it is for. `false`, and not counted: that one has its share.
    fn assign(&mut self, source: SourcePrefix, limits: &Limits) -> bool {
        let shared = &self.shared;
        let Assigned { number, displaced } = shared.places.assign(source, &self.silence, limits.connections_max);
        shared.service.metrics.count_displaced_connections(shared.service.door, displaced);
        self.number = number;
        number.is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Shared { service, places, .. } = &*self.shared;
        service.metrics.connection_closed(service.door);
        places.give_back(self.number);
    }
}

async fn accept_all(listener: &Listener, shared: &Arc<Shared>) -> Infallible {
    loop {
        match listener.socket.accept().await {
            Ok((stream, address)) => {
                admit(shared, address, || Ok(stream));
                if shared.gate.waiting() > 0 {
                    accept_waiting(&listener.bare, shared, BURST);
                }
            }
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

/// Accepts what the kernel has accepted already, at most so many: these devices believe that they are connected.
fn accept_waiting(socket: &std::net::TcpListener, shared: &Arc<Shared>, maximum: u32) {
    for _ in 0..maximum {
        match socket.accept() {
            Ok((stream, address)) => admit(shared, address, || {
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream)
            }),
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => return,
        }
    }
}

/// Serves a connection in a task of its own, if there is a place for it. `stream` makes it the runtime's.
fn admit(shared: &Arc<Shared>, address: SocketAddr, stream: impl FnOnce() -> io::Result<TcpStream>) {
    let accepted_at = Instant::now();
    let service = &shared.service;
    let limits = service.limits.load_full();
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    // Only the accept loop adds, so that the bound is exact.
    if shared.places.open() >= limits.connections_max {
        let displaced = shared.places.make_room(limits.connections_max);
        service.metrics.count_displaced_connections(service.door, displaced);
        return shared.refuse(Admission::Full);
    }
    // A balancer has no share of its own: it says later whom its connection is for.
    let source = (!limits.trusts(address.ip())).then(|| SourcePrefix::of(address.ip()));
    if source.is_some_and(|source| !shared.gate.has_room(source)) {
        return shared.refuse(Admission::QueueStands);
    }
    let mut place = Place::take(shared, accepted_at);
    if source.is_some_and(|source| !place.assign(source, &limits)) {
        return shared.refuse(Admission::Share);
    }
    let Ok(stream) = stream() else { return service.metrics.count_accept_error() };
    let mut phase = shared.observer.clone();
    let silence = Arc::clone(&place.silence);
    // Boxed: a task is moved half a dozen times on its way to its first poll and to its end, and a
    // connection's state has kilobytes.
    let task = tokio::spawn(Box::pin(async move {
        tokio::select! {
            biased;
            () = serve_connection(&mut place, stream, address, &limits, accepted_at) => {}
            _ = phase.wait_for(|phase| *phase == Phase::Ended) => {}
        }
    }));
    silence.is_of(task.abort_handle());
}

/// The connection was gone before it was accepted; the next one is not affected.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

async fn serve_connection(
    place: &mut Place,
    mut stream: TcpStream,
    address: SocketAddr,
    limits: &Limits,
    accepted_at: Instant,
) {
    let shared = Arc::clone(&place.shared);
    let service = &shared.service;
    let deadline = accepted_at + limits.handshake_timeout;

    let address = if limits.trusts(address.ip()) {
        match timeout_at(deadline, read_header(&mut stream)).await {
            Ok(Ok(Source::Client(client))) if place.assign(SourcePrefix::of(client.ip()), limits) => client,
            Ok(Ok(Source::Client(_))) => return shared.refuse(Admission::Share),
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

    let silence = Arc::clone(&place.silence);
    match &service.transport {
        Transport::Plain => {
            let peer = Peer { address, client_certificate: None, silence };
            Box::pin(serve_http(&shared, stream, Arc::default(), peer, limits, accepted_at)).await;
        }
        Transport::Tls(config) => {
            let newcomer = Newcomer { source: SourcePrefix::of(address.ip()), silence: &silence, accepted_at };
            let Some(stream) = handshake(&shared, config, stream, newcomer, deadline).await else { return };
            let certificates = stream.get_ref().1.peer_certificates();
            let client_certificate = certificates
                .and_then(<[_]>::first)
                .filter(|der| der.len() <= CLIENT_CERTIFICATE_BYTES_MAX)
                .map(|der| der.clone().into_owned());
            let peer = Peer { address, client_certificate, silence };
            let stream = FinalFlight::new(stream);
            let is_last = stream.is_last();
            // Apart from the task: what has not shaken hands yet takes a third of the room.
            Box::pin(serve_http(&shared, stream, is_last, peer, limits, accepted_at)).await;
        }
    }
}

/// What the requests of one connection share.
struct Connection<'a> {
    service: &'a Service,
    gate: &'a Gate,
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
    let mut phase = shared.observer.clone();
    let connection = Connection {
        service,
        gate: &shared.gate,
        peer,
        requests_max: limits.requests_per_connection_max,
        requests: AtomicU32::new(0),
        is_last,
        // A request may have come with the handshake's last message, and is answered before the phase is looked at below.
        is_draining: AtomicBool::new(*phase.borrow() != Phase::Serving),
    };
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
        self.peer.silence.end().await;
        let mut response = self.service.handler.handle(request, &self.peer).await;
        self.peer.silence.begin();
        if requests == 1 {
            let is_unknown = matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS);
            self.gate.note_answer(is_unknown);
        }
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
