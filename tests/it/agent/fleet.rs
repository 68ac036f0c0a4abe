//! Many agents with certificates of one minute, through kills of the service and losses of the network: a minute
//! after each of them all have a valid certificate. `FLEET_AGENTS`, `FLEET_OUTAGES` and `FLEET_OUTAGE_SECONDS` (the
//! longest of them) for more than an everyday run has; its span is what certificates of a minute take to end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::client::agent::{Agent, Event, Settings};
use muster::client::http::HostPort;
use muster::client::state::StateDir;
use muster::clock::{Clock as _, SystemClock};
use muster::domain::{Fingerprint, KeySecret};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::KIND;
use crate::support::network::{Network, Weather};
use crate::support::{Random, Service};

const LIFE_SECONDS: u32 = 60;
/// From the end of an outage until all must be well.
const RECOVERY: Duration = Duration::from_secs(60);
/// Shortest outage but the first.
const OUTAGE_SECONDS_MIN: u64 = 20;
/// How long a first enrollment of all may take.
const PATIENCE: Duration = Duration::from_secs(300);

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_minute_after_each_outage_everybody_has_a_valid_certificate() {
    let (agents, outages) = (from_environment("FLEET_AGENTS", 30), from_environment("FLEET_OUTAGES", 1));
    let outage_seconds_max = from_environment("FLEET_OUTAGE_SECONDS", 90);
    // A directory and some connections each.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to its maximum");
    let mut random = Random::seeded();
    let mut service = Service::start_with("[enroll]\nrenew_grace = 600\n");
    service.keep_enroll_address();
    service.create_group(KIND, "Fleet");
    let key = service.create_key(KIND, "Fleet", "fleet", &["--max-uses", &agents.to_string()]);
    service.shorten_certificates(LIFE_SECONDS);

    let network = Network::start(service.enroll).await;
    let states = tempfile::tempdir().expect("a temporary directory");
    let fleet = Fleet::start(agents, &key, &network, states.path());
    let began = Instant::now();
    while !fleet.without_certificate().is_empty() {
        assert!(began.elapsed() < PATIENCE, "never enrolled: {:?}", fleet.without_certificate());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for outage in 0..outages {
        // Seconds of trouble first, so that some are hit in the midst of it, then long enough for certificates to end.
        for _ in 0..3 {
            service.kill();
            service.launch();
            network.set(if random.below(2) == 0 { Weather::Refusing } else { Weather::Dark });
            tokio::time::sleep(Duration::from_millis(random.below(1_000))).await;
            network.set(Weather::Clear);
            tokio::time::sleep(Duration::from_millis(500 + random.below(2_000))).await;
        }
        // In the first one every certificate ends; later ones hit them at all ages.
        let seconds = match outage {
            0 => u64::from(LIFE_SECONDS),
            _ => OUTAGE_SECONDS_MIN + random.below(outage_seconds_max - OUTAGE_SECONDS_MIN),
        };
        let is_killed = (outage + random.below(2)).is_multiple_of(2);
        if is_killed {
            service.kill();
        } else {
            network.set(if random.below(3) == 0 { Weather::Refusing } else { Weather::Dark });
        }
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let ended = fleet.without_certificate().len();
        if is_killed {
            service.launch();
        }
        network.set(Weather::Clear);
        tokio::time::sleep(RECOVERY).await;
        let left = fleet.without_certificate();
        println!("outage of {seconds} s: {ended} of {agents} certificates ended; a minute later {}", left.len());
        assert!(outage > 0 || ended as u64 == agents, "only {ended} ended");
        assert!(left.is_empty(), "a minute after an outage of {seconds} s: {left:?}");
    }
    assert_eq!(service.uses(KIND, "fleet"), agents, "nobody enrolled anew");
    drop(fleet);
    service.assert_healthy();
}

struct Fleet {
    states: Vec<PathBuf>,
    /// Which end when they are dropped.
    agents: JoinSet<()>,
    wakes: Vec<mpsc::Sender<()>>,
}

impl Fleet {
    /// Half of them rekey.
    fn start(agents: u64, key: &str, network: &Network, directory: &Path) -> Self {
        let mut fleet = Self { states: Vec::new(), agents: JoinSet::new(), wakes: Vec::new() };
        for number in 0..agents {
            let state = directory.join(number.to_string());
            let key = key.to_owned();
            let settings = Settings {
                connect: Some(HostPort::from(network.address)),
                trust: None,
                fingerprint: Some(Fingerprint::new(&format!("fleet-{number:012}")).expect("a fingerprint")),
                hostname: None,
                rekey: number % 2 == 0,
                on_change: None,
                find_key: Box::new(move || Ok(KeySecret::from_text(key.clone().into()))),
            };
            let (wake, wakes) = mpsc::channel(1);
            let opened = StateDir::open(&state).expect("a state directory");
            let agent = Agent::new(opened, settings, Arc::new(SystemClock)).expect("an agent");
            fleet.agents.spawn(async move {
                agent.run(wakes, &mut |event| tell(number, &event)).await;
            });
            fleet.wakes.push(wake);
            fleet.states.push(state);
        }
        fleet
    }

    /// Whose certificate is not there or not valid, by their numbers.
    fn without_certificate(&self) -> Vec<usize> {
        let now = SystemClock.now();
        let is_valid = |state: &PathBuf| {
            let Ok(pem) = fs::read(state.join("cert.pem")) else { return false };
            let der = CertificateDer::from_pem_slice(&pem).expect("a certificate");
            let (_, certificate) = X509Certificate::from_der(&der).expect("a certificate");
            certificate.validity().not_after.timestamp() > now.unix_seconds()
        };
        (0..self.states.len()).filter(|number| !is_valid(&self.states[*number])).collect()
    }
}

/// What should not happen here; cargo shows it if the test fails.
fn tell(number: u64, event: &Event<'_>) {
    match event {
        Event::NotRenewed { error } => println!("agent {number}: not renewed: {error}"),
        Event::Failed { error, pause, .. } if *pause > Duration::from_secs(60) => {
            println!("agent {number}: {error}, for {pause:?}");
        }
        _ => {}
    }
}
