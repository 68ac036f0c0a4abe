//! A device's whole connection to the enrollment listener, from accepting to closing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use arc_swap::ArcSwap;
use muster::metrics::{Door, Metrics};
use muster::server::http::Handler;
use muster::server::listener::{Limits, Listener, Service, Transport};
use muster::server::tls::{CertificateSlot, ClientCertificates, ServerCertificate, server_config};
use rustls::pki_types::CertificateDer;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::device::{Connection, client_config};

/// A listener on the runtime's own thread, and the devices on another.
pub struct Devices {
    requests: mpsc::Sender<(Vec<u8>, oneshot::Sender<()>)>,
}

impl Devices {
    /// Serves `door` on loopback for as long as `runtime` is driven.
    pub fn new(runtime: &Runtime, door: Arc<dyn Handler>) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let certificate = made.cert.der().clone();
        let key = made.signing_key.serialize_der();
        let shown = ServerCertificate::from_der(vec![certificate.to_vec()], &key).expect("it can be served");
        let slot = Arc::new(CertificateSlot::new(shown));
        let service = Service {
            door: Door::Enroll,
            transport: Transport::Tls(server_config(slot, ClientCertificates::Asked).expect("a server")),
            handler: door,
            limits: Arc::new(ArcSwap::from_pointee(Limits::default())),
            metrics: Arc::new(Metrics::new()),
        };
        let _entered = runtime.enter();
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let address = listener.local_addr();
        runtime.spawn(listener.serve(service, std::future::pending(), std::time::Duration::ZERO));
        let (requests, received) = mpsc::channel();
        thread::spawn(move || enroll_all(address, certificate, &received));
        Self { requests }
    }

    /// Sends a request on a connection of its own. Done when the other end has closed it after a 200.
    pub async fn send(&self, request: Vec<u8>) {
        let (done, closed) = oneshot::channel();
        self.requests.send((request, done)).expect("the devices' thread runs");
        closed.await.expect("it is answered");
    }
}

fn enroll_all(
    address: SocketAddr,
    anchor: CertificateDer<'static>,
    requests: &mpsc::Receiver<(Vec<u8>, oneshot::Sender<()>)>,
) {
    let config = client_config([anchor]);
    for (request, done) in requests {
        let mut connection = Connection::open(address, &config);
        let mut answer = [0; 12];
        connection.exchange(&request, &mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        connection.finish();
        let _ = done.send(());
    }
}
