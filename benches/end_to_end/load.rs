//! Clients who come again as soon as they were served, and what it costs the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clients::Clients;
use crate::machine::{self, CLIENT_CORE, SERVER_CORE};

/// At once.
const CLIENTS: usize = 64;
/// A server that serves nobody for so long has failed.
const SERVED_WITHIN: Duration = Duration::from_secs(60);
/// Until a client that was not served comes back.
const TURNED_AWAY: Duration = Duration::from_secs(1);

/// What a span of time cost.
#[derive(Clone, Debug)]
pub struct Cost {
    /// The server's CPU per connection, µs.
    pub cpu_us: f64,
    pub per_second: f64,
    /// Shares of the servers' core: of the server, and of everything else there.
    pub server_load: f64,
    pub others_load: f64,
    /// Share of the clients' core that everything there had.
    pub client_core_load: f64,
    /// The server's CPU per connection by the names of its threads, µs.
    pub threads: BTreeMap<String, f64>,
}

impl Cost {
    /// Whether more would have come, had the clients been faster.
    pub fn is_clients_fault(&self) -> bool {
        self.client_core_load > 0.95 && self.server_load + self.others_load < 0.9
    }
}

/// The counters at one moment.
pub struct Moment {
    at: Instant,
    server: f64,
    cores: [f64; 2],
    threads: BTreeMap<String, f64>,
}

impl Moment {
    pub fn now(server: u32) -> Self {
        Self {
            at: Instant::now(),
            server: machine::cpu_seconds(server),
            cores: [SERVER_CORE, CLIENT_CORE].map(machine::core_busy_seconds),
            threads: machine::thread_cpu_seconds(server),
        }
    }

    /// What `count` connections cost from here until `end`.
    pub fn cost_until(&self, end: &Self, count: u64) -> Cost {
        let wall = end.at.duration_since(self.at).as_secs_f64();
        let per_connection = |seconds: f64| seconds * 1e6 / count as f64;
        let server_load = (end.server - self.server) / wall;
        let threads = end.threads.iter().map(|(name, cpu)| {
            let before = self.threads.get(name).copied().unwrap_or(0.0);
            (name.clone(), per_connection(cpu - before))
        });
        Cost {
            cpu_us: per_connection(end.server - self.server),
            per_second: count as f64 / wall,
            server_load,
            others_load: ((end.cores[0] - self.cores[0]) / wall - server_load).max(0.0),
            client_core_load: (end.cores[1] - self.cores[1]) / wall,
            threads: threads.collect(),
        }
    }
}

/// [`CLIENTS`] of a server at once, for `warm_up` and then for `span`, which counts; with what `probe` saw at its
/// begin and end.
///
/// Who is not served, as when a machine is too slow for so many handshakes at once, says so and comes back.
///
/// # Panics
/// When nobody is served.
pub async fn saturate<T>(
    clients: &Arc<Clients>,
    server: u32,
    warm_up: Duration,
    span: Duration,
    probe: impl AsyncFn() -> T,
) -> (Cost, T, T) {
    let done = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (clients, done, stop) = (Arc::clone(clients), Arc::clone(&done), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match clients.visit().await {
                        Ok(()) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        Err(fault) => {
                            eprintln!("not served: {fault}");
                            tokio::time::sleep(TURNED_AWAY).await;
                        }
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(warm_up).await;
    let before = probe().await;
    let (begun, count) = (Moment::now(server), done.load(Ordering::Relaxed));
    // Longer only where next to nothing is measured, on a busy machine.
    tokio::time::sleep(span).await;
    while done.load(Ordering::Relaxed) == count && begun.at.elapsed() < SERVED_WITHIN {
        tokio::time::sleep(span).await;
    }
    let (ended, count) = (Moment::now(server), done.load(Ordering::Relaxed) - count);
    let after = probe().await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("a client ends well");
    }
    assert!(count > 0, "nobody was served within {SERVED_WITHIN:?}");
    (begun.cost_until(&ended, count), before, after)
}
