//! A network between devices and the service, which fails when it is told to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Clear,
    /// Everything that is sent is lost, without a word; so is what was under way.
    Dark,
    /// Connections are reset.
    Refusing,
}

/// Forwards connections; dropped with its runtime.
pub struct Network {
    pub address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
}

impl Network {
    /// In front of `service`, on a port of its own.
    pub async fn start(service: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let weather = Arc::new(watch::Sender::new(Weather::Clear));
        let seen = Arc::clone(&weather);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, service, seen.subscribe()));
            }
        });
        Self { address, weather }
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn forward(mut client: TcpStream, service: SocketAddr, mut weather: watch::Receiver<Weather>) {
    let pass = async {
        if let Ok(mut service) = TcpStream::connect(service).await {
            let _ = client.set_nodelay(true);
            let _ = service.set_nodelay(true);
            let _ = copy_bidirectional(&mut client, &mut service).await;
        }
    };
    let turned = tokio::select! {
        biased;
        turned = weather.wait_for(|weather| *weather != Weather::Clear) => turned.map(|weather| *weather),
        () = pass => return,
    };
    if matches!(turned, Ok(Weather::Dark)) {
        // Both ends wait for what was lost; when the light is back, the connection is not known any more.
        let _ = weather.wait_for(|weather| *weather != Weather::Dark).await;
    }
    let _ = client.set_zero_linger();
}
