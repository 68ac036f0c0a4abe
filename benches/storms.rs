//! What a storm does to those who are in it. `cargo bench --bench storms`
//!
//! Method. The real binary serves on loopback; this process drives it. Devices come as in tests/it/support/storm.rs:
//! connections of their own, from addresses of the loopback, retries as the client's.
//!
//! - **Overload**: the service is held to a quarter of one core (a control group's quota per 10 ms), so that this process
//!   can outrun it, when its store's page cache has been filled. The peak is what 64 devices reach that come one after the
//!   other. Then attempts come at three times that rate, of devices that are due to come back and else of new ones,
//!   whatever the service does; afterwards nobody new comes, until all are in. Goodput is enrollments answered in the
//!   span, by the peak.
//! - **False keys**: a quota stops the service for milliseconds at a time, which would be all that latencies show. Here it
//!   has core 0 for itself and an RSA-2048 certificate, whose signature makes a handshake cost several times as much;
//!   this process has core 1. Real devices come at a tenth of the peak, first alone, then beside false keys from eight
//!   addresses at twice the rate at which the service refuses them when they come one after the other. What is measured
//!   is the time from a device's first attempt until it is in, retries included. The flood comes from a process that
//!   gives way and the devices from a single thread that goes first (both by `chrt`, so as root), so that a real device
//!   does not wait for its own processor.
//! - **Silence**: as many connections as the listener has places finish their handshakes and say nothing, from one
//!   address and from as many; one that is closed comes back after ten seconds. Real devices come at ten a second.
//!
//! `STORM_SECONDS=120` sets the span of each (10 by default); `--test` only shows that it runs.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;

#[path = "../tests/it/support"]
#[expect(dead_code, reason = "the tests use more of it")]
mod support {
    pub mod device;
    pub mod service;
    pub mod storm;
}

mod credulous;
mod nobody;

use support::device::Endpoint;
use support::service::Service;
use support::storm::{Attempt, Held, Storm, address, at_rate, footprint};

const PART: f64 = 0.25;
const AT_ONCE: u64 = 64;
/// Of alone and beside false keys in turn, so that a slow minute of the disk is in both.
const ROUNDS: u32 = 4;

fn main() {
    if let Ok(order) = std::env::var(FLOOD) {
        return be_the_flood(&order);
    }
    let smoke = std::env::args().any(|arg| arg == "--test");
    let seconds = std::env::var("STORM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10.0);
    let span = Duration::from_secs_f64(if smoke { 0.5 } else { seconds });
    let silent = if smoke { 100 } else { 10_000 };
    let only = std::env::var("STORM_ONLY").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if "overload".contains(&only) {
        runtime.block_on(overload(span));
    }
    if "silence".contains(&only) {
        for (what, addresses) in [("one address", 1), ("many addresses", silent)] {
            runtime.block_on(silence(what, silent, addresses, span));
        }
    }
    // The last, as it keeps this process to one core, on which several threads would wait for each other.
    drop(runtime);
    if "false keys".contains(&only) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(false_keys(span));
    }
}

/// A service with a key, and what drives it.
fn stage(config: &str) -> (Service, String, Arc<Storm>) {
    let service = Service::start_with(config);
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "storm", &[]);
    let storm = Storm::new(&service.endpoint());
    (service, key, storm)
}

async fn overload(span: Duration) {
    let (service, key, storm) = stage("");
    // At full speed, until the store's page cache is full: what grows from then on is no cache.
    storm.peak(&key, AT_ONCE, span / 4).await;
    let _held = Held::to_part(service.pid(), PART);
    storm.peak(&key, AT_ONCE, span / 8).await;
    let (descriptors, resident) = footprint(service.pid());
    let peak = storm.peak(&key, AT_ONCE, span / 4).await;
    let of_peak = waits(&service);
    println!("\noverload\n  peak, {AT_ONCE} at once               {peak:8.0} /s");
    let watched = tokio::spawn(watch(service.pid(), span));
    let offered = storm.offer(&key, 3.0 * peak, span, 20 * span).await;
    let goodput = offered.in_span as f64 / span.as_secs_f64();
    println!("  {of_peak}");
    println!("  goodput at 3 × the peak           {goodput:8.0} /s, {:.0} % of the peak", 100.0 * goodput / peak);
    println!("  {offered:?}");
    println!("  resident before {resident} KiB, during {:?} KiB", watched.await.expect("it ends"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("  descriptors before {descriptors}, after {}", footprint(service.pid()).0);
    println!("  {}", waits(&service));
}

/// The resident size, eight times within the span.
async fn watch(pid: u32, span: Duration) -> Vec<u64> {
    let mut sizes = Vec::new();
    for _ in 0..8 {
        tokio::time::sleep(span / 8).await;
        sizes.push(footprint(pid).1);
    }
    sizes
}

fn waits(service: &Service) -> String {
    let of = |sample: &str| service.metric(sample);
    let refused = ["full", "queue-stands", "share", "waited-too-long"].map(|reason| {
        let sample = format!("muster_connections_refused_total{{listener=\"enroll\",reason=\"{reason}\"}}");
        format!("{reason} {}", of(&sample))
    });
    let (waited, sum) = (of("muster_tls_handshake_wait_seconds_count"), of("muster_tls_handshake_wait_seconds_sum"));
    let batches = of("muster_store_commit_batch_size_sum") / of("muster_store_commit_batch_size_count").max(1.0);
    format!(
        "refused: {}; waited: {waited}, {:.1} ms on average; {batches:.1} enrollments a commit",
        refused.join(", "),
        1e3 * sum / waited.max(1.0)
    )
}

async fn false_keys(span: Duration) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (certificate, private_key) = slow_certificate(directory.path());
    let tls = format!("tls_certificate = {certificate:?}\ntls_key = {private_key:?}\n");
    let anchor = fs::read_to_string(certificate).expect("the certificate");
    for (what, tls, anchor) in [("P-256, the default", "", None), ("RSA-2048", &tls, Some(anchor))] {
        // The service inherits it, and makes as many threads.
        pin(std::process::id(), 0);
        let (service, key, _) = stage(&format!("[enroll]\nfailures_per_second = 0\n{tls}"));
        pin(std::process::id(), 1);
        let endpoint = service.endpoint();
        let false_devices = Storm::with(endpoint.address, nobody::tls_config());
        let anchor_pem = anchor.unwrap_or_else(|| endpoint.anchor_pem.clone());
        let storm = Storm::new(&Endpoint { anchor_pem, ..endpoint });
        let peak = storm.peak(&key, AT_ONCE, span / 4).await;
        let accepted = accept_capacity(&false_devices, span / 4).await;
        println!(
            "\nfalse keys, {what}\n  enrolls {peak:.0} /s, refuses {accepted:.0} false keys /s, one after the other"
        );
        schedule(std::process::id(), &["--reset-on-fork", "--fifo", "1"]);
        let mut real = [Vec::new(), Vec::new()];
        let (mut answered, mut closed) = (0, 0);
        for round in 0..2 * ROUNDS {
            let is_flooded = round % 2 == 1;
            let rate = if is_flooded { 2.0 * accepted } else { 0.0 };
            let flood_ended = flood(endpoint.address, rate, span / ROUNDS);
            let devices = real_devices(&storm, &key, &format!("round-{round}"), peak / 10.0, span / ROUNDS).await;
            real[usize::from(is_flooded)].extend(devices);
            let (more_answered, more_closed) = flood_ended();
            (answered, closed) = (answered + more_answered, closed + more_closed);
        }
        schedule(std::process::id(), &["--other", "0"]);
        for (what, times) in ["alone", "beside false keys"].into_iter().zip(&mut real) {
            println!(
                "  {what}: {} devices, p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, longest {:.1?}",
                times.len(),
                percentile(times, 50),
                percentile(times, 90),
                percentile(times, 99),
                percentile(times, 100),
            );
        }
        println!("  false keys: {answered} answered, {closed} closed");
        println!("  since its start: {}", waits(&service));
    }
}

/// What this program is when it is the flood: where to, how many a second, for how many seconds.
const FLOOD: &str = "STORM_FLOOD";

/// False keys from eight addresses, from a process that runs when no other wants to: its machines would be others. How
/// many were answered and how many closed, when it has ended.
fn flood(address: SocketAddr, per_second: f64, span: Duration) -> impl FnOnce() -> (usize, usize) {
    let itself = std::env::current_exe().expect("this program");
    let process = Command::new("chrt")
        .args(["--idle", "0"])
        .arg(itself)
        .env(FLOOD, format!("{address} {per_second} {}", span.as_secs_f64()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("chrt runs");
    move || {
        let told = process.wait_with_output().expect("the flood ends").stdout;
        let told = String::from_utf8(told).expect("two numbers");
        let (answered, closed) = told.trim().split_once(' ').expect("two numbers");
        (answered.parse().expect("a number"), closed.parse().expect("a number"))
    }
}

fn be_the_flood(order: &str) {
    let order: Vec<_> = order.split(' ').collect();
    let [address, per_second, seconds] = order[..] else { panic!("{FLOOD}: {order:?}") };
    let storm = Storm::with(address.parse().expect("an address"), nobody::tls_config());
    let span = Duration::from_secs_f64(seconds.parse().expect("seconds"));
    let attempts = at_rate(per_second.parse().expect("a rate"), span, move |number| {
        let storm = Arc::clone(&storm);
        async move { storm.attempt(self::address(number % 8), "no key", &format!("false-{number:012}")).await }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let attempts = runtime.block_on(attempts);
    let closed = attempts.iter().filter(|attempt| **attempt == Attempt::Closed).count();
    println!("{} {closed}", attempts.len() - closed);
}

/// PEM files of a certificate for localhost that is its own anchor, and of its RSA key.
fn slow_certificate(directory: &Path) -> (PathBuf, PathBuf) {
    let (certificate, private_key) = (directory.join("rsa.pem"), directory.join("rsa.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&private_key)
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "openssl makes no certificate");
    (certificate, private_key)
}

fn pin(pid: u32, core: usize) {
    have_run(Command::new("taskset").args(["-a", "-c", "-p", &core.to_string(), &pid.to_string()]));
}

/// Which of those that want a processor at the same time gets it. `how` as `chrt` takes it, the priority last.
fn schedule(pid: u32, how: &[&str]) {
    let (priority, options) = how.split_last().expect("a priority");
    have_run(Command::new("chrt").args(["--all-tasks", "--pid"]).args(options).arg(priority).arg(pid.to_string()));
}

fn have_run(command: &mut Command) {
    let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !ended.is_ok_and(|status| status.success()) {
        eprintln!("this did not work, so figures are worse: {command:?}");
    }
}

/// False keys per second that are refused when 64 come one after the other.
async fn accept_capacity(storm: &Arc<Storm>, span: Duration) -> f64 {
    let began = Instant::now();
    let mut devices = JoinSet::new();
    for number in 0..AT_ONCE {
        let storm = Arc::clone(storm);
        devices.spawn(async move {
            let mut refused = 0;
            while began.elapsed() < span {
                let attempt = storm.attempt(address(number % 8), "no key", "false-0000000000").await;
                refused += u64::from(matches!(attempt, Attempt::Refused { .. }));
            }
            refused
        });
    }
    let refused: u64 = devices.join_all().await.into_iter().sum();
    refused as f64 / began.elapsed().as_secs_f64()
}

async fn real_devices(storm: &Arc<Storm>, key: &str, what: &str, per_second: f64, span: Duration) -> Vec<Duration> {
    let storm = Arc::clone(storm);
    let devices = at_rate(per_second, span, move |number| {
        let (storm, key) = (Arc::clone(&storm), key.to_owned());
        let fingerprint = format!("{}-{number:012}", what.replace(' ', "-"));
        async move { storm.enroll(address(1_000 + number), &key, &fingerprint).await }
    });
    devices.await
}

async fn silence(what: &str, silent: u64, addresses: u64, span: Duration) {
    let (service, key, storm) = stage(&format!("[enroll]\nconnections_max = {silent}\n"));
    let over = Arc::new(AtomicBool::new(false));
    let mut connections = JoinSet::new();
    for number in 0..silent {
        let (storm, over) = (Arc::clone(&storm), Arc::clone(&over));
        connections.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                if let Some(mut stream) = storm.connect(address(number % addresses)).await {
                    let _ = stream.read(&mut [0]).await;
                }
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        });
        if number % 500 == 499 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let open = service.metric("muster_connections_open{listener=\"enroll\"}");
    let mut real = real_devices(&storm, &key, what, 10.0, span).await;
    println!(
        "\nsilence from {what}: {open} connections open\n  {} devices, p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, longest \
         {:.1?}\n  closed to make room: {}; {}",
        real.len(),
        percentile(&mut real, 50),
        percentile(&mut real, 90),
        percentile(&mut real, 99),
        percentile(&mut real, 100),
        service.metric("muster_connections_displaced_total{listener=\"enroll\"}"),
        waits(&service)
    );
    over.store(true, Ordering::Relaxed);
    connections.shutdown().await;
}

/// The value that so many of a hundred are below.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
