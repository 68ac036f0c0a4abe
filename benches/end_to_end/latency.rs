//! How long a device waits at a given load.
//!
//! Devices come at moments that do not depend on how the others fare: random ones, with a given mean. A device's
//! time runs from the moment it was to come, so that whoever had to wait for a free client counts with his wait.
//! A thread of its own keeps the moments: the runtime's timer counts whole milliseconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::batches::Batches;
use crate::clients::Clients;
use crate::load::{Cost, Moment};
use crate::service::Service;

/// Shares of what was served per second when clients came again at once.
pub const LOADS: [f64; 4] = [0.25, 0.5, 0.7, 0.9];
/// Connections at once; further devices wait here, and their time runs.
const CONNECTIONS_MAX: usize = 1_000;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

pub struct Latency {
    /// Of the capacity.
    pub share: f64,
    pub offered_per_second: f64,
    /// Of devices that were served, sorted.
    took: Vec<Duration>,
    /// Of all: from when they were to come until they did. Sorted.
    late: Vec<Duration>,
    /// What the others were told, or met.
    pub faults: Vec<String>,
    pub cost: Cost,
    pub batches: Batches,
}

impl Latency {
    /// Of `service`, for `span`, `share` of what it serves at most.
    pub async fn measure(service: &Service, clients: &Arc<Clients>, capacity: f64, share: f64, span: Duration) -> Self {
        let offered_per_second = capacity * share;
        let mut moments = moments(offered_per_second, span);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut devices = JoinSet::new();
        let (before, begun) = (service.batches().await, Moment::now(service.pid()));
        while let Some(due) = moments.recv().await {
            let (clients, places) = (Arc::clone(clients), Arc::clone(&places));
            devices.spawn(async move {
                let _place = places.acquire().await.expect("it is never closed");
                let late = due.elapsed();
                let outcome = clients.visit().await;
                (late, outcome.map(|()| due.elapsed()))
            });
        }
        let (mut took, mut late, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(device) = devices.join_next().await {
            let (was_late, outcome) = device.expect("a device ends well");
            late.push(was_late);
            match outcome {
                Ok(time) => took.push(time),
                Err(fault) => faults.push(fault),
            }
        }
        let ended = Moment::now(service.pid());
        let batches = &service.batches().await - &before;
        took.sort();
        late.sort();
        let cost = begun.cost_until(&ended, took.len().max(1) as u64);
        Self { share, offered_per_second, took, late, faults, cost, batches }
    }

    /// What so many of those served, 0 to 1, did not exceed, ms.
    pub fn quantile(&self, share: f64) -> f64 {
        quantile_ms(&self.took, share)
    }

    /// How late devices came themselves.
    pub fn late_quantile(&self, share: f64) -> f64 {
        quantile_ms(&self.late, share)
    }

    /// Whether the clients' lateness is a good part of what the slow ones waited.
    pub fn is_clients_fault(&self) -> bool {
        self.cost.is_clients_fault() || self.late_quantile(0.99) > self.quantile(0.99) / 4.0
    }
}

fn quantile_ms(sorted: &[Duration], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// Tells each moment when it has come. The gaps are those of a Poisson process, the same in every run.
fn moments(per_second: f64, span: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut state = SEED;
        let begun = Instant::now();
        let mut due = begun;
        loop {
            // xorshift64; 53 bits make a number in (0, 1].
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let uniform = ((state >> 11) + 1) as f64 / (1u64 << 53) as f64;
            due += Duration::from_secs_f64(-uniform.ln() / per_second);
            if due.duration_since(begun) > span {
                return;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send(due).is_err() {
                return;
            }
        }
    });
    receiver
}
