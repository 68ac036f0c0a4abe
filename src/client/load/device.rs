//! One device's way in.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant, sleep_until};

use super::failure::Failure;
use super::preparation::Prepared;
use super::tally::{SharedTally, Trial};
use crate::client::endpoint::{EndpointError, Patience, try_once, verify};
use crate::client::enroll::{PATH, request_body};
use crate::client::http::Target;
use crate::domain::{Fingerprint, KeySecret};
use crate::protocol::enroll::Outcome;

/// A device that has not begun. Its number says everything that it does not share with others.
pub(super) struct Device {
    pub fingerprint: Fingerprint,
    pub key: Arc<KeySecret>,
    pub target: Arc<Target>,
    pub from: Option<IpAddr>,
    pub prepared: Prepared,
}

/// What all devices share.
pub(super) struct Shared {
    pub timeout: Duration,
    /// One permit per connection.
    pub connections: Semaphore,
    pub tally: SharedTally,
}

impl Device {
    /// Tries until it is in or gives up, as `muster enroll` would. `due` is when it is to begin; every
    /// attempt's latency counts from when it was due, not from when this process came to it.
    pub(super) async fn live(self, shared: &Shared, mut due: Instant) {
        let begun = due;
        let mut patience = Patience::since(begun, shared.timeout);
        loop {
            sleep_until(due).await;
            // On the heap, so that a device that waits for its next attempt takes little memory.
            let (answered, result) = Box::pin(self.attempt(shared, patience.cut_at())).await;
            let delay = result.as_ref().err().and_then(|error| patience.delay_after(error));
            let trial = Trial { due, answered, begun, goes_on: delay.is_some() };
            match &result {
                Ok(outcome) => shared.tally.lock().accepted(&trial, *outcome),
                Err(EndpointError::Refused(refused)) => shared.tally.lock().refused(&trial, refused),
                Err(error) => {
                    let failure = Failure::of(error).unwrap_or(Failure::Unreachable);
                    shared.tally.lock().failed(&trial, failure);
                }
            }
            match delay {
                Some(delay) => due = Instant::now() + delay,
                None => return,
            }
        }
    }

    /// When the answer was there or failed to come, and what it was.
    async fn attempt(&self, shared: &Shared, cut_at: Option<Instant>) -> (Instant, Result<Outcome, EndpointError>) {
        let _permit = match shared.connections.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => {
                shared.tally.lock().waited_for_connection();
                shared.connections.acquire().await.ok()
            }
        };
        let target = Target { from: self.from, ..Target::clone(&self.target) };
        let name = self.fingerprint.as_str();
        let body = request_body(&self.key, &self.fingerprint, Some(name), &self.prepared.csr);
        let answer = try_once(&target, PATH, body, cut_at, |_| {}).await;
        let answered = Instant::now();
        let verified = answer.and_then(|answer| match verify(&answer, &self.prepared.public_key) {
            Ok(()) => Ok(answer.outcome),
            Err(reason) => Err(EndpointError::Answer(reason)),
        });
        (answered, verified)
    }
}
