//! What one durable enrollment costs the server, step by step, against the floor that its cryptography, the kernel
//! and the disk set; and how long devices wait for it. `cargo bench --bench end_to_end`
//!
//! Method. Every server is a process of its own that starts bound to core 0; this process has core 1 and comes over
//! loopback. An enrollment is a new TCP connection, a full TLS 1.3 handshake (X25519, or X25519MLKEM768 with the feature
//! `aws-lc-rs`; AES-128-GCM, P-256, no ticket) and one `POST /v1/enroll` with a P-256 CSR of a device never seen before, against the embedded store with `fsync`.
//! A run has three rounds, and each round measures everything once, so that what else the machine does strikes all alike:
//!
//! - the bare operations: the server's half of a handshake in memory, a verification, a signature ([`floor`]);
//! - three servers of the same stack that do a part of it: HTTP without TLS, TLS that is accepted and closed, HTTP over
//!   TLS ([`peers`]);
//! - the service with one key, and with 1,000 ([`service`]), 64 devices at once;
//! - one append of a record's size per enrollment with one `fdatasync` per batch, in batches as the service's metrics
//!   report.
//!
//! A server's CPU is the growth of its utime + stime over the connections served in the same span; its share by threads is
//! from `schedstat`. Given is the middle round; the ratio is the service's to the floor of the same run. Then devices come
//! at moments of their own at shares of what the service has just served per second ([`latency`]).
//! The command makes three runs, each with new stores, and says what they agree on.
//!
//! - `BENCH_SECONDS` (4): how long a service is measured, in each round and at each load; the parts half as long.
//! - `BENCH_RUNS` (3)
//! - `--scenario hot` or `many`: only one of the two.
//! - `--server PATH`, also several times: another program instead of the one built here; several take turns in each round.
//! - `--no-latency`
//! - `--test` only shows that it runs.
//!
//! The stores are where temporary files are (`TMPDIR`): that should be a disk.

mod batches;
mod clients;
#[path = "../credulous/mod.rs"]
mod credulous;
mod floor;
mod latency;
mod load;
mod machine;
mod peers;
mod report;
mod service;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use batches::Batches;
use clients::{Clients, EnrollRequest, Errand};
use floor::{Append, Floor};
use latency::Latency;
use load::{Cost, saturate};
use peers::{Peer, Role};
use service::Service;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--peer", word] => {
            let role = Role::ALL.into_iter().find(|role| role.word() == word);
            peers::serve(role.expect("a role's word"));
        }
        ["--floor", length] => floor::run(length),
        ["--append", length, batch] => floor::run_append(length, batch.parse().expect("a number")),
        _ => match Plan::read(&arguments) {
            Ok(plan) => measure(&plan),
            Err(fault) => {
                eprintln!("{fault}");
                return ExitCode::from(2);
            }
        },
    }
    ExitCode::SUCCESS
}

/// What is measured, and for how long.
struct Plan {
    runs: usize,
    rounds: usize,
    warm_up: Duration,
    span: Duration,
    contenders: Vec<Contender>,
    has_latency: bool,
    is_smoke: bool,
}

/// A program with its keys.
struct Contender {
    program: PathBuf,
    scenario: Scenario,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Hot,
    Many,
}

impl Plan {
    fn read(arguments: &[&str]) -> Result<Self, String> {
        let (mut programs, mut scenarios) = (Vec::new(), vec![Scenario::Hot, Scenario::Many]);
        let (mut has_latency, mut is_smoke) = (true, false);
        let mut rest = arguments.iter().copied();
        while let Some(argument) = rest.next() {
            match argument {
                // Cargo's own.
                "--bench" => {}
                "--no-latency" => has_latency = false,
                "--scenario" => {
                    scenarios = match rest.next() {
                        Some("hot") => vec![Scenario::Hot],
                        Some("many") => vec![Scenario::Many],
                        found => return Err(format!("--scenario: expected hot or many, found {found:?}")),
                    }
                }
                "--server" => programs.push(PathBuf::from(rest.next().ok_or("--server: expected a program's path")?)),
                "--test" => is_smoke = true,
                other => {
                    return Err(format!(
                        "{other}: expected --no-latency, --scenario hot|many, --server PATH or --test"
                    ));
                }
            }
        }
        if programs.is_empty() {
            programs.push(PathBuf::from(env!("CARGO_BIN_EXE_muster")));
        }
        let contender = |scenario| move |program: &PathBuf| Contender { program: program.clone(), scenario };
        let contenders = scenarios.iter().flat_map(|scenario| programs.iter().map(contender(*scenario))).collect();
        let (runs, seconds) = (setting("BENCH_RUNS", 3.0)?, setting("BENCH_SECONDS", 4.0)?);
        let (runs, rounds, warm_up, span) = if is_smoke { (1.0, 1, 0.1, 0.3) } else { (runs, 3, 1.0, seconds) };
        let [warm_up, span] = [warm_up, span].map(Duration::from_secs_f64);
        Ok(Self { runs: runs as usize, rounds, warm_up, span, contenders, has_latency, is_smoke })
    }

    fn keys(&self, scenario: Scenario) -> usize {
        match scenario {
            Scenario::Hot => 1,
            Scenario::Many if self.is_smoke => 10,
            Scenario::Many => 1_000,
        }
    }
}

fn setting(name: &str, default: f64) -> Result<f64, String> {
    let Ok(text) = std::env::var(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| *number > 0.0 && *number < 1e6);
    number.ok_or_else(|| format!("{name}: expected a number above 0, found {text:?}"))
}

/// The parts of one run that all contenders share.
struct Parts {
    floor: Floor,
    /// In the order of [`Role::ALL`].
    peers: [Cost; 3],
}

/// One contender in one run.
struct Outcome {
    /// The middle round.
    cost: Cost,
    batches: Batches,
    /// Of all rounds, in their order.
    rounds_us: Vec<f64>,
    append: Append,
    latency: Vec<Latency>,
}

impl Outcome {
    fn floor_us(&self, parts: &Parts) -> f64 {
        let Floor { handshake, verify, sign, .. } = parts.floor;
        handshake + verify + sign + parts.peers[0].cpu_us + self.append.cpu_us
    }

    fn ratio(&self, parts: &Parts) -> f64 {
        self.cost.cpu_us / self.floor_us(parts)
    }
}

fn measure(plan: &Plan) {
    machine::stay_on_core(machine::CLIENT_CORE);
    let peers = Role::ALL.map(|role| {
        let peer = Peer::start(role);
        let errand = match role {
            Role::Plain => Errand::Plain,
            Role::Handshake => Errand::Handshake,
            Role::Echo => Errand::Echo,
        };
        (Clients::new(peer.address, errand), peer)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut runs = Vec::new();
    for run in 1..=plan.runs {
        let (parts, outcomes) = runtime.block_on(measure_run(plan, &peers));
        println!("\nrun {run} of {}", plan.runs);
        for (contender, outcome) in plan.contenders.iter().zip(&outcomes) {
            report::run(plan, contender, &parts, outcome);
        }
        runs.push((parts, outcomes));
    }
    report::summary(plan, &runs);
}

/// The outcomes are in the order of the contenders.
async fn measure_run(plan: &Plan, peers: &[(Arc<Clients>, Peer); 3]) -> (Parts, Vec<Outcome>) {
    let mut services = Vec::new();
    for contender in &plan.contenders {
        let service = Service::start(&contender.program);
        let keys = service.make_keys(plan.keys(contender.scenario)).await;
        let clients = Clients::new(service.enroll, Errand::Enroll(EnrollRequest::with_keys(&keys)));
        services.push((clients, service));
    }
    let mut floors = Vec::new();
    let mut peer_rounds = [(); 3].map(|()| Vec::new());
    let mut rounds: Vec<_> = services.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        floors.push(Floor::measure(plan));
        for ((clients, peer), rounds) in peers.iter().zip(&mut peer_rounds) {
            let (cost, (), ()) = saturate(clients, peer.pid(), plan.warm_up / 2, plan.span / 2, async || ()).await;
            rounds.push(cost);
        }
        for ((clients, service), rounds) in services.iter().zip(&mut rounds) {
            let probe = async || service.batches().await;
            let (cost, before, after) = saturate(clients, service.pid(), plan.warm_up, plan.span, probe).await;
            let batches = &after - &before;
            let append = Append::measure(batches.mean(), plan);
            rounds.push((cost, batches, append));
        }
    }
    let parts =
        Parts { floor: Floor::middle(&floors), peers: peer_rounds.map(|rounds| middle_by(rounds, |cost| cost.cpu_us)) };
    let mut outcomes = Vec::new();
    for ((clients, service), rounds) in services.iter().zip(rounds) {
        let rounds_us = rounds.iter().map(|(cost, ..)| cost.cpu_us).collect();
        let appends: Vec<Append> = rounds.iter().map(|(.., append)| *append).collect();
        let (cost, batches, _) = middle_by(rounds, |(cost, ..)| cost.cpu_us);
        let mut latency = Vec::new();
        if plan.has_latency {
            for share in latency::LOADS {
                latency.push(Latency::measure(service, clients, cost.per_second, share, plan.span).await);
            }
        }
        outcomes.push(Outcome { cost, batches, rounds_us, append: Append::middle(&appends), latency });
    }
    (parts, outcomes)
}

fn middle(numbers: impl IntoIterator<Item = f64>) -> f64 {
    middle_by(numbers.into_iter().collect(), |number| *number)
}

/// The one in the middle of them, of two the greater.
fn middle_by<T>(mut values: Vec<T>, key: impl Fn(&T) -> f64) -> T {
    values.sort_by(|a, b| key(a).total_cmp(&key(b)));
    let place = values.len() / 2;
    values.swap_remove(place)
}
