//! One attempt: the host's addresses are looked up once and each is checked, and the connection is made to one of these
//! very addresses, so that no second lookup leads elsewhere. Signed as Standard Webhooks 1.0 says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use ring::hmac;
use rustls::ClientConfig;
use tokio::time::timeout;

use super::Webhooks;
use crate::client::http::{ExchangeError, Target, exchange_with};
use crate::client::tls::{TrustError, client_config};
use crate::clock::Timestamp;
use crate::domain::webhook::Destinations;
use crate::domain::{Webhook, WebhookDelivery, places};
use crate::secret::master::UnsealError;

/// From the lookup of the address to the last byte of the answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of a host that are tried at most.
const ADDRESSES_MAX: usize = 4;

/// How long each of them but the last has to accept: what is left of the attempt is enough for an answer.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// Longest answer that is read, in bytes. Nothing in it but the status is looked at.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What an attempt met; administrators read it.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("the host has no address")]
    Resolve,
    #[error("the host leads to an internal address, which webhooks.allow_networks does not name")]
    Internal,
    #[error("answered {0}; redirects are not followed")]
    Redirect(u16),
    #[error("answered {0}")]
    Status(u16),
    #[error("no answer within {} s", ATTEMPT_TIMEOUT.as_secs())]
    TimedOut,
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("the signing secret cannot be opened: {0}")]
    Secret(#[from] UnsealError),
}

impl Webhooks {
    /// The status of an answer that says that it arrived: 200 to 299.
    pub(super) async fn send(
        &self,
        webhook: &Webhook,
        delivery: &WebhookDelivery,
        now: Timestamp,
    ) -> Result<u16, SendError> {
        let place = places::webhook_secret(webhook.customer_id, webhook.id);
        let secret = self.parts.master_keys.open(place.as_place(), &webhook.sealed_secret)?;
        let (id, timestamp) = (delivery.message_id(), now.unix_seconds().to_string());
        let signature = signature(&secret, &id, &timestamp, &delivery.payload);
        let request = Request::post(webhook.url.target())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(Full::new(Bytes::from(delivery.payload.clone())))
            .expect("a URL is printable ASCII, and so is all else here");
        let tls = self.tls().await?;
        let status = timeout(ATTEMPT_TIMEOUT, self.exchange(webhook, tls, request)).await;
        match status.map_err(|_| SendError::TimedOut)?? {
            status @ 200..=299 => Ok(status),
            status @ 300..=399 => Err(SendError::Redirect(status)),
            status => Err(SendError::Status(status)),
        }
    }

    async fn exchange(
        &self,
        webhook: &Webhook,
        tls: Arc<ClientConfig>,
        request: Request<Full<Bytes>>,
    ) -> Result<u16, SendError> {
        let host = webhook.url.host();
        let found = tokio::net::lookup_host((host.host(), host.port())).await.map_err(|_| SendError::Resolve)?;
        let addresses = permitted(&self.parts.destinations, found.collect())?;
        let target = Target { cloud: host.clone(), connect: None, from: None, tls, answer_bytes_max: ANSWER_BYTES_MAX };
        Ok(exchange_with(&addresses, CONNECT_PATIENCE, &target, request).await?.status.as_u16())
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, TrustError> {
        let make = || async {
            let trust = self.parts.trust.clone();
            // Reads the system's roots.
            let made = tokio::task::spawn_blocking(move || client_config(&trust)).await;
            made.unwrap_or(Err(TrustError::NoSystemRoots))
        };
        self.tls.get_or_try_init(make).await.cloned()
    }
}

/// Those of a host's addresses that deliveries may go to, at most [`ADDRESSES_MAX`]: in the order in which they were
/// found, but both families in turns (RFC 8305 §4), so that one that is not routed does not take all places.
fn permitted(destinations: &Destinations, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, SendError> {
    if found.is_empty() {
        return Err(SendError::Resolve);
    }
    let permitted: Vec<_> = found.into_iter().filter(|address| destinations.permit(address.ip())).collect();
    let is_v6 = permitted.first().ok_or(SendError::Internal)?.is_ipv6();
    let (of_first, of_other): (Vec<_>, Vec<_>) = permitted.into_iter().partition(|address| address.is_ipv6() == is_v6);
    let mut in_turns = Vec::new();
    for place in 0..ADDRESSES_MAX {
        in_turns.extend(of_first.get(place));
        in_turns.extend(of_other.get(place));
    }
    in_turns.truncate(ADDRESSES_MAX);
    Ok(in_turns)
}

/// `v1,` and the base64 of HMAC-SHA-256 over id, time and body.
fn signature(secret: &[u8], id: &str, timestamp: &str, payload: &str) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    for part in [id, ".", timestamp, ".", payload] {
        context.update(part.as_bytes());
    }
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_checked_and_families_take_turns() {
        let order = |found: &[&str]| {
            let found = found.iter().map(|address| format!("{address}:443").parse().unwrap()).collect();
            let permitted = permitted(&Destinations::default(), found).map_err(|error| error.to_string())?;
            Ok::<_, String>(permitted.iter().map(|address: &SocketAddr| address.ip().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(order(&["[2a00::1]", "[2a00::2]", "8.8.8.8"]).unwrap(), ["2a00::1", "8.8.8.8", "2a00::2"]);
        assert_eq!(order(&["8.8.8.8", "8.8.4.4", "[2a00::1]"]).unwrap(), ["8.8.8.8", "2a00::1", "8.8.4.4"]);
        assert_eq!(
            order(&["[2a00::1]", "[2a00::2]", "[2a00::3]", "[2a00::4]", "8.8.8.8"]).unwrap(),
            ["2a00::1", "8.8.8.8", "2a00::2", "2a00::3"]
        );
        // One that is internal is not gone to, wherever it stands and whatever else the name leads to.
        assert_eq!(order(&["10.0.0.1", "8.8.8.8", "[::1]", "[2a00::1]"]).unwrap(), ["8.8.8.8", "2a00::1"]);
        assert_eq!(order(&["10.0.0.1", "[::ffff:127.0.0.1]"]).unwrap_err(), SendError::Internal.to_string());
        assert_eq!(order(&[]).unwrap_err(), SendError::Resolve.to_string());
    }

    /// The example of the specification, <https://github.com/standard-webhooks/standard-webhooks>.
    #[test]
    fn deliveries_are_signed_as_standard_webhooks_says() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
