//! One HTTP/1.1 exchange over a fresh TLS connection.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::domain::Cloud;

/// For each address that the host has.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// From the first byte of the request to the last of the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A server that asks for more patience than this is not believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// `host:port` to open a connection to: a DNS name, an IPv4 address or `[IPv6]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Without brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HOST:PORT was expected, as enroll.example.com:8443 or [2001:db8::1]:8443")]
pub struct InvalidHostPort;

impl FromStr for HostPort {
    type Err = InvalidHostPort;

    fn from_str(text: &str) -> Result<Self, InvalidHostPort> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidHostPort)?;
        let port = port.parse().map_err(|_| InvalidHostPort)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(InvalidHostPort)?,
            None if host.contains(':') => return Err(InvalidHostPort),
            None => host,
        };
        if host.is_empty() || port == 0 {
            return Err(InvalidHostPort);
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

/// Whom to call, and where.
#[derive(Clone, Debug)]
pub struct Target {
    /// The name that the server's certificate must carry, and the `Host` header.
    pub cloud: Cloud,
    /// Where to connect instead of the cloud's own host and port.
    pub connect: Option<HostPort>,
    /// This machine's address to call from; `None` leaves it to the operating system.
    pub from: Option<IpAddr>,
    pub tls: Arc<ClientConfig>,
    /// Longest answer that is read, in bytes.
    pub answer_bytes_max: usize,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// `Retry-After` in its form of whole seconds (RFC 9110 §10.2.3), at most an hour.
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

/// Why there is no answer. All but [`NotTrusted`](Self::NotTrusted) may pass with time.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error("the host has no address: {0}")]
    Resolve(#[source] io::Error),
    #[error("no connection: {}", Attempts(.attempts))]
    Connect { attempts: Vec<(SocketAddr, io::Error)> },
    /// The server did not prove to be the one that was called.
    #[error("{0}")]
    NotTrusted(#[source] rustls::Error),
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    #[error("the exchange broke off: {0}")]
    Broken(#[source] hyper::Error),
    #[error("the answer is broken or longer than {bytes_max} bytes")]
    Body { bytes_max: usize },
    /// The caller's deadline came first.
    #[error("no answer in time")]
    CutOff,
    #[error("no {what} within {} s", .limit.as_secs())]
    TimedOut { what: &'static str, limit: Duration },
}

struct Attempts<'a>(&'a [(SocketAddr, io::Error)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (address, error)) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{address}: {error}")?;
        }
        Ok(())
    }
}

/// Sends `request` (path and query as its URI) and reads the whole answer. `connected` hears the
/// address once there is a TCP connection, before the handshake. The connection is closed after it.
///
/// # Errors
/// See [`ExchangeError`]. After a request was sent, an error says nothing about what the server did.
pub async fn exchange(
    target: &Target,
    request: Request<Full<Bytes>>,
    connected: impl FnOnce(SocketAddr),
) -> Result<Answer, ExchangeError> {
    let tcp = open(target, connected).await?;
    exchange_over(tcp, target, request).await
}

/// [`exchange`] with whom the caller has looked up: the addresses are tried one after the other, and each but the last
/// has `patience` to accept. Where else the target leads is not looked at.
///
/// # Errors
/// As for [`exchange`].
pub async fn exchange_with(
    addresses: &[SocketAddr],
    patience: Duration,
    target: &Target,
    request: Request<Full<Bytes>>,
) -> Result<Answer, ExchangeError> {
    let (_, tcp) = connect_to_first(addresses, patience, target.from).await?;
    exchange_over(tcp, target, request).await
}

async fn exchange_over(
    tcp: TcpStream,
    target: &Target,
    mut request: Request<Full<Bytes>>,
) -> Result<Answer, ExchangeError> {
    let tls = shake_hands(target, tcp).await?;
    let host = HeaderValue::from_str(target.cloud.as_str()).expect("a cloud is ASCII without control characters");
    request.headers_mut().insert(HOST, host);
    let agent = HeaderValue::from_static(concat!("muster/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(USER_AGENT, agent);
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let limit = ANSWER_TIMEOUT;
    timeout(limit, converse(tls, request, target.answer_bytes_max))
        .await
        .map_err(|_| ExchangeError::TimedOut { what: "answer", limit })?
}

/// Connects and shakes hands, sends nothing, and says which of the host's addresses accepted.
///
/// # Errors
/// See [`ExchangeError`].
pub async fn call(target: &Target) -> Result<SocketAddr, ExchangeError> {
    let mut peer = None;
    let tcp = open(target, |address| peer = Some(address)).await?;
    shake_hands(target, tcp).await?;
    Ok(peer.expect("a connection was made"))
}

/// Tries the host's addresses one after the other.
async fn open(target: &Target, connected: impl FnOnce(SocketAddr)) -> Result<TcpStream, ExchangeError> {
    let (host, port) = match &target.connect {
        Some(connect) => (connect.host.as_str(), connect.port),
        None => (target.cloud.host(), target.cloud.port()),
    };
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(ExchangeError::Resolve)?;
    let addresses: Vec<_> = addresses.collect();
    let (address, stream) = connect_to_first(&addresses, CONNECT_TIMEOUT, target.from).await?;
    connected(address);
    Ok(stream)
}

/// The first that accepts; each but the last has `patience` to do so.
async fn connect_to_first(
    addresses: &[SocketAddr],
    patience: Duration,
    from: Option<IpAddr>,
) -> Result<(SocketAddr, TcpStream), ExchangeError> {
    let mut attempts = Vec::new();
    for (at, &address) in addresses.iter().enumerate() {
        let limit = if at + 1 == addresses.len() { CONNECT_TIMEOUT } else { patience };
        let refused = match timeout(limit, connect(from, address)).await {
            Ok(Ok(stream)) => {
                // Requests are one write; waiting to fill a segment only costs time.
                let _ = stream.set_nodelay(true);
                return Ok((address, stream));
            }
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        attempts.push((address, refused));
    }
    Err(ExchangeError::Connect { attempts })
}

async fn connect(from: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let Some(from) = from else { return TcpStream::connect(to).await };
    let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Else a port would be taken for all destinations, and for a minute after its connection ended.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

async fn shake_hands(target: &Target, tcp: TcpStream) -> Result<TlsStream<TcpStream>, ExchangeError> {
    let name = ServerName::try_from(target.cloud.host().to_owned()).expect("a cloud's host is a name or an address");
    let limit = HANDSHAKE_TIMEOUT;
    let shaken = timeout(limit, TlsConnector::from(Arc::clone(&target.tls)).connect(name, tcp))
        .await
        .map_err(|_| ExchangeError::TimedOut { what: "TLS handshake", limit })?;
    shaken.map_err(|error| match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)) => {
            ExchangeError::NotTrusted(inner.clone())
        }
        _ => ExchangeError::Handshake(error),
    })
}

async fn converse(
    tls: TlsStream<TcpStream>,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<Answer, ExchangeError> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(ExchangeError::Broken)?;
    let talk = async {
        let answer = sender.send_request(request).await.map_err(ExchangeError::Broken)?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, bytes_max).collect().await.map_err(|_| ExchangeError::Body { bytes_max })?;
        let retry_after = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        Ok(Answer { status: parts.status, retry_after, body: body.to_bytes() })
    };
    tokio::pin!(talk);
    tokio::select! {
        answer = &mut talk => answer,
        // Driving the connection is what moves the exchange; once it ended, only what it has
        // already handed over can come.
        _ = connection => talk.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_several_addresses_the_first_that_accepts_is_taken() {
        let listen = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (closed, first, second) = (listen().await, listen().await, listen().await);
        let [at_closed, at_first, at_second] = [&closed, &first, &second].map(|at| at.local_addr().unwrap());
        drop(closed);
        let connect = async |addresses: &[SocketAddr]| {
            connect_to_first(addresses, CONNECT_TIMEOUT, None).await.map(|(address, _)| address)
        };
        assert_eq!(connect(&[at_closed, at_first, at_second]).await.unwrap(), at_first);
        let Err(ExchangeError::Connect { attempts }) = connect(&[at_closed, at_closed]).await else { panic!() };
        assert_eq!(attempts.iter().map(|(address, _)| *address).collect::<Vec<_>>(), [at_closed, at_closed]);
    }

    #[tokio::test]
    async fn an_address_that_says_nothing_costs_no_more_than_the_patience() {
        // No backlog, and its one place is taken: further connections are not answered.
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = silent.listen(0).unwrap();
        let at_silent = silent.local_addr().unwrap();
        let mut taken = Vec::new();
        while let Ok(Ok(stream)) = timeout(Duration::from_millis(300), TcpStream::connect(at_silent)).await {
            taken.push(stream);
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let begun = std::time::Instant::now();
        let (found, _) = connect_to_first(&[at_silent, at], Duration::from_millis(100), None).await.unwrap();
        assert_eq!(found, at);
        assert!(begun.elapsed() < CONNECT_TIMEOUT / 2, "{:?}", begun.elapsed());
    }

    #[test]
    fn where_to_connect() {
        let parse = |text: &str| text.parse::<HostPort>().map(|target| (target.host, target.port));
        assert_eq!(parse("enroll.example.com:8443"), Ok(("enroll.example.com".into(), 8443)));
        assert_eq!(parse("192.0.2.7:1"), Ok(("192.0.2.7".into(), 1)));
        assert_eq!(parse("[2001:db8::1]:443"), Ok(("2001:db8::1".into(), 443)));
        for text in ["", "host", "host:", ":1", "host:0", "host:65536", "::1:443", "[::1:443", "a:b:1"] {
            assert_eq!(parse(text), Err(InvalidHostPort), "{text:?}");
        }
    }
}
