//! What lies between a server and its clients, and breaks when it is told to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;

use self::relay::relay;

mod frames;
mod relay;

/// Where a connection breaks, of which the client learns by a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The message is forwarded and the server does what it says; its answer, up to the end, is not.
    Answer,
    /// The message is not forwarded, and those ahead of it are answered.
    Before,
    /// The message is forwarded. The server may or may not come to do what it says.
    Behind,
}

/// Forwards connections to a server and counts the messages of clients, over all connections. TLS is forwarded
/// uncounted.
///
/// It works on a thread of its own, so tests may block. Dropped, it takes its connections with it.
pub struct Proxy {
    address: SocketAddr,
    orders: Arc<Orders>,
    runtime: Option<Runtime>,
}

/// What the connections heed.
struct Orders {
    traffic: watch::Sender<Traffic>,
    /// Sent whenever all connections break.
    severed: watch::Sender<()>,
    cut: Mutex<Option<Planned>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Traffic {
    Passes,
    Refused,
    Stalled,
}

struct Planned {
    cut: Cut,
    /// The messages of this kind count.
    tag: u8,
    /// As many are to come, with that of the cut; 0: it has come.
    left: usize,
}

impl Proxy {
    /// Listens on a port of its own.
    pub fn start(server: SocketAddr) -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("sockets can");
        let orders = Arc::new(Orders {
            traffic: watch::Sender::new(Traffic::Passes),
            severed: watch::Sender::new(()),
            cut: Mutex::default(),
        });
        runtime.spawn(accept(listener, server, Arc::clone(&orders)));
        Self { address, orders, runtime: Some(runtime) }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the connection at the `n`th message of a kind from now on, counted from 1, and no other. In the
    /// place of any cut planned before. `tag`: the message's first byte as PostgreSQL has it, e.g. `b'P'` for Parse,
    /// `b'B'` Bind, `b'E'` Execute, `b'S'` Sync, `b'Q'` Query.
    ///
    /// With [`Cut::Behind`], messages ahead of a pipelined one may not have been answered yet.
    pub fn cut(&self, cut: Cut, tag: u8, n: usize) {
        assert!(n > 0, "the first message is number 1");
        *self.orders.planned() = Some(Planned { cut, tag, left: n });
    }

    /// Whether the message of the last [`Self::cut`] has come. `false` at the end of a scenario: it has fewer.
    pub fn has_cut(&self) -> bool {
        self.orders.planned().as_ref().is_some_and(|planned| planned.left == 0)
    }

    /// Ends what [`Self::stall`] or [`Self::refuse`] began; what was held up goes on.
    pub fn pass(&self) {
        self.orders.traffic.send_replace(Traffic::Passes);
    }

    /// Accepts and forwards nothing, in no direction.
    pub fn stall(&self) {
        self.orders.traffic.send_replace(Traffic::Stalled);
    }

    /// Resets each new connection; those that are there go on.
    pub fn refuse(&self) {
        self.orders.traffic.send_replace(Traffic::Refused);
    }

    /// Breaks all connections that are there.
    pub fn sever(&self) {
        self.orders.severed.send_replace(());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Without waiting, which an async test may not do here.
            runtime.shutdown_background();
        }
    }
}

impl Orders {
    fn planned(&self) -> MutexGuard<'_, Option<Planned>> {
        self.cut.lock().expect("nobody panics with it")
    }

    /// Counts a message. The cut to be made at it, if any.
    fn count(&self, tag: u8) -> Option<Cut> {
        let mut planned = self.planned();
        let planned = planned.as_mut().filter(|planned| planned.tag == tag && planned.left > 0)?;
        planned.left -= 1;
        (planned.left == 0).then_some(planned.cut)
    }

    /// Waits while nothing is forwarded.
    async fn not_stalled(&self) {
        let mut traffic = self.traffic.subscribe();
        traffic.wait_for(|traffic| *traffic != Traffic::Stalled).await.expect("the sender is here");
    }
}

async fn accept(listener: std::net::TcpListener, server: SocketAddr, orders: Arc<Orders>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((client, _)) = listener.accept().await {
        if *orders.traffic.borrow() == Traffic::Refused {
            reset(&client);
        } else {
            tokio::spawn(connect(client, server, Arc::clone(&orders), orders.severed.subscribe()));
        }
    }
}

async fn connect(mut client: TcpStream, server: SocketAddr, orders: Arc<Orders>, mut severed: watch::Receiver<()>) {
    let ended = tokio::select! {
        ended = async {
            orders.not_stalled().await;
            let mut server = TcpStream::connect(server).await?;
            server.set_nodelay(true)?;
            client.set_nodelay(true)?;
            relay(&mut client, &mut server, &orders).await
        } => ended,
        _ = severed.changed() => return reset(&client),
    };
    match ended {
        Ok(relay::End::Closed) => {}
        Ok(relay::End::Cut) | Err(_) => reset(&client),
    }
}

/// Lets a connection end with RST, once it is dropped.
fn reset(stream: &TcpStream) {
    // Refused only where the connection has gone already.
    let _ = stream.set_zero_linger();
}
