//! Servers that do a part of what the service does, with its stack: each its own process on the servers' core, a
//! runtime with a worker for each core it finds, a task for each connection.

use std::future::Future;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use muster::server::tls::{CertificateSlot, ClientCertificates, ServerCertificate, server_config};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::machine;

/// Of the body that echoes answer with: about what a certificate with its chain comes to.
pub const ANSWER_BYTES: usize = 3_000;

/// What a server does with a connection.
#[derive(Clone, Copy)]
pub enum Role {
    /// Answers one request, without TLS.
    Plain,
    /// Handshakes, says `close_notify` and closes.
    Handshake,
    /// Answers one request, over TLS.
    Echo,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Plain, Self::Handshake, Self::Echo];

    /// As it stands after `--peer`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Handshake => "handshake",
            Self::Echo => "echo",
        }
    }
}

/// One that runs. Killed when it is dropped, and it ends by itself when this process does.
pub struct Peer {
    child: Child,
    pub address: SocketAddr,
}

impl Peer {
    pub fn start(role: Role) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = machine::on_core(machine::SERVER_CORE, &program)
            .args(["--peer", role.word()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server tells its address");
        let address = line.trim().parse().expect("an address");
        Self { child, address }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of a [`Peer`]. Ends with its standard input.
pub fn serve(role: Role) {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let acceptor = TlsAcceptor::from(tls(ClientCertificates::Asked));
    runtime.block_on(async {
        match role {
            Role::Plain => accept_all(answer).await,
            Role::Handshake => {
                accept_all(|stream| {
                    let acceptor = acceptor.clone();
                    async move {
                        if let Ok(mut stream) = acceptor.accept(stream).await {
                            let _ = stream.shutdown().await;
                        }
                    }
                })
                .await;
            }
            Role::Echo => {
                accept_all(|stream| {
                    let acceptor = acceptor.clone();
                    async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            answer(stream).await;
                        }
                    }
                })
                .await;
            }
        }
    });
}

/// TLS as the service's listeners speak it, with a certificate of their shape: P-256, a leaf and its CA.
pub fn tls(client_certificates: ClientCertificates) -> Arc<rustls::ServerConfig> {
    let ca_key = KeyPair::generate().expect("a key pair");
    let mut ca = CertificateParams::new(vec![]).expect("no names");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_der = ca.self_signed(&ca_key).expect("a certificate").der().to_vec();
    let leaf_key = KeyPair::generate().expect("a key pair");
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&leaf_key, &Issuer::from_params(&ca, &ca_key)).expect("a certificate");
    let certificate = ServerCertificate::from_der(vec![leaf.der().to_vec(), ca_der], &leaf_key.serialize_der());
    let slot = CertificateSlot::new(certificate.expect("they belong together"));
    server_config(Arc::new(slot), client_certificates).expect("the provider has it all")
}

async fn accept_all<F>(serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        tokio::spawn(serve(stream));
    }
}

/// One request, its body read and thrown away.
async fn answer<S>(stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request: Request<Incoming>| async {
        request.into_body().collect().await?;
        Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from_static(&[b'x'; ANSWER_BYTES]))))
    });
    // The client may be gone first, at the end of a measurement.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
