//! A boot storm: devices at a rate that does not ask how the service is, each with connections of its own from an
//! address of its own, and coming back as the client of this project does. And a service that is held to a part
//! of one core, so that the storm can outrun it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::device::{Device, Endpoint, http_request, read_answer, tls_config};

/// How often attempts are started that have come due.
const TICK: Duration = Duration::from_millis(2);

/// The client's: first and longest pause after an attempt that got no answer.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(30);

/// An attempt that takes longer has failed.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);

/// Of the devices' ends, in turn; a power of two of them, for the counter to go round.
const PORTS: std::ops::Range<u16> = 16_384..49_152;

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Closed before an answer, or none in time.
    Closed,
    Enrolled,
    Refused {
        status: u16,
        retry_after: Option<u64>,
    },
}

/// What its devices have in common. They share a key pair: making one costs more than an enrollment.
pub struct Storm {
    address: SocketAddr,
    tls: TlsConnector,
    csr: String,
    /// Devices made so far for [`Self::peak`].
    made: AtomicU64,
    connections: AtomicU16,
}

/// What came of an offered load.
#[derive(Debug, Default)]
pub struct Offered {
    pub devices: u64,
    pub attempts: u64,
    pub attempts_of_one_max: u32,
    /// Attempts that were closed, and that were answered 503.
    pub closed: u64,
    pub overloaded: u64,
    /// Devices that were in when the load ended.
    pub in_span: u64,
    /// From the end of the load until the last device was in; `None`: some never were.
    pub rest_took: Option<Duration>,
}

/// A device's place in the storm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    due: Instant,
    device: u64,
    attempts: u32,
}

impl Storm {
    pub fn new(endpoint: &Endpoint) -> Arc<Self> {
        let mut config = tls_config(&endpoint.anchor_pem);
        config.resumption = rustls::client::Resumption::disabled();
        Self::with(endpoint.address, config)
    }

    pub fn with(address: SocketAddr, config: rustls::ClientConfig) -> Arc<Self> {
        let tls = TlsConnector::from(Arc::new(config));
        Arc::new(Self {
            address,
            tls,
            csr: Device::new("").csr(),
            made: AtomicU64::new(0),
            connections: AtomicU16::new(0),
        })
    }

    /// A connection from this address of the loopback, its handshake done.
    pub async fn connect(&self, from: Ipv4Addr) -> Option<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4().ok()?;
        // The kernel's own search for a free port may take milliseconds behind many connections of one address.
        socket.set_reuseaddr(true).ok()?;
        while let Err(error) = socket.bind((from, self.next_port()).into()) {
            if error.kind() != std::io::ErrorKind::AddrInUse {
                return None;
            }
        }
        let stream = socket.connect(self.address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        self.tls.connect(ServerName::try_from("localhost").ok()?, stream).await.ok()
    }

    fn next_port(&self) -> u16 {
        PORTS.start + self.connections.fetch_add(1, Ordering::Relaxed) % (PORTS.end - PORTS.start)
    }

    pub async fn attempt(&self, from: Ipv4Addr, key: &str, fingerprint: &str) -> Attempt {
        let exchange = async {
            let mut stream = self.connect(from).await?;
            let request = json!({ "provisioningKey": key, "fingerprint": fingerprint, "csr": self.csr });
            stream.write_all(&http_request(request.to_string().as_bytes())).await.ok()?;
            read_answer(&mut stream).await
        };
        match tokio::time::timeout(ATTEMPT_MAX, exchange).await.ok().flatten() {
            None => Attempt::Closed,
            Some(answer) if answer.status == 200 => Attempt::Enrolled,
            Some(answer) => {
                let retry_after = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
                Attempt::Refused { status: answer.status, retry_after }
            }
        }
    }

    /// Comes back until it is in; how long that took from the first attempt.
    pub async fn enroll(&self, from: Ipv4Addr, key: &str, fingerprint: &str) -> Duration {
        let began = Instant::now();
        for attempts in 1.. {
            let delay = match self.attempt(from, key, fingerprint).await {
                Attempt::Enrolled => break,
                passing @ (Attempt::Closed | Attempt::Refused { status: 503, .. }) => delay_after(passing, attempts),
                refused => panic!("{fingerprint}: {refused:?}"),
            };
            tokio::time::sleep(delay).await;
        }
        began.elapsed()
    }

    /// Enrollments per second that the service manages when so many devices come one after the other.
    pub async fn peak(self: &Arc<Self>, key: &str, at_once: u64, span: Duration) -> f64 {
        let began = Instant::now();
        let mut devices = JoinSet::new();
        for number in 0..at_once {
            let (storm, key) = (Arc::clone(self), key.to_owned());
            devices.spawn(async move {
                let mut enrolled = 0;
                while began.elapsed() < span {
                    let fingerprint = format!("peak-{:012}", storm.made.fetch_add(1, Ordering::Relaxed));
                    enrolled +=
                        u64::from(storm.attempt(address(number), &key, &fingerprint).await == Attempt::Enrolled);
                }
                enrolled
            });
        }
        let enrolled: u64 = devices.join_all().await.into_iter().sum();
        enrolled as f64 / began.elapsed().as_secs_f64()
    }

    /// Attempts at a steady rate: of devices that are to come back and due, and else of new ones. Then no new
    /// ones, until all are in or `patience` has passed.
    pub async fn offer(self: &Arc<Self>, key: &str, per_second: f64, span: Duration, patience: Duration) -> Offered {
        let mut offered = Offered::default();
        let (done, mut ended) = mpsc::unbounded_channel::<(Turn, Attempt)>();
        let mut waiting: BinaryHeap<Reverse<Turn>> = BinaryHeap::new();
        let mut in_all = 0;
        let began = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            while let Ok((mut turn, attempt)) = ended.try_recv() {
                match attempt {
                    Attempt::Enrolled => in_all += 1,
                    failed => {
                        offered.closed += u64::from(failed == Attempt::Closed);
                        offered.overloaded += u64::from(matches!(failed, Attempt::Refused { status: 503, .. }));
                        turn.due = now + delay_after(failed, turn.attempts);
                        waiting.push(Reverse(turn));
                    }
                }
            }
            let elapsed = began.elapsed();
            let is_over = elapsed >= span;
            if !is_over {
                offered.in_span = in_all;
            } else if in_all == offered.devices {
                offered.rest_took = Some(elapsed - span);
                break;
            } else if elapsed > span + patience {
                break;
            }
            let due = (elapsed.as_secs_f64() * per_second) as u64;
            while is_over || offered.attempts < due {
                let turn = match waiting.peek() {
                    Some(Reverse(turn)) if turn.due <= now => waiting.pop().map(|Reverse(turn)| turn),
                    _ => None,
                };
                let mut turn = match turn {
                    Some(turn) => turn,
                    None if is_over => break,
                    None => {
                        offered.devices += 1;
                        Turn { due: now, device: offered.devices, attempts: 0 }
                    }
                };
                turn.attempts += 1;
                offered.attempts += 1;
                offered.attempts_of_one_max = offered.attempts_of_one_max.max(turn.attempts);
                let (storm, key, done) = (Arc::clone(self), key.to_owned(), done.clone());
                tokio::spawn(async move {
                    let fingerprint = format!("storm-{:012}", turn.device);
                    let attempt = storm.attempt(address(turn.device), &key, &fingerprint).await;
                    let _ = done.send((turn, attempt));
                });
            }
        }
        offered
    }
}

/// Starts one after the other at a steady rate, whatever becomes of those before; what came of each.
pub async fn at_rate<F>(per_second: f64, span: Duration, mut start: impl FnMut(u64) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let began = Instant::now();
    let mut started = JoinSet::new();
    let mut ticks = tokio::time::interval(TICK);
    let mut number = 0;
    while began.elapsed() < span {
        ticks.tick().await;
        let due = (began.elapsed().as_secs_f64() * per_second) as u64;
        while number < due {
            started.spawn(start(number));
            number += 1;
        }
    }
    started.join_all().await
}

/// One of 65,536 addresses of the loopback.
pub fn address(number: u64) -> Ipv4Addr {
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// As `client/enroll` waits.
fn delay_after(attempt: Attempt, attempts: u32) -> Duration {
    let random = f64::from(rand_byte()) / 255.0;
    match attempt {
        Attempt::Refused { retry_after: Some(asked), .. } => {
            Duration::from_secs(asked).max(FIRST_DELAY).mul_f64(1.0 + random / 2.0)
        }
        _ => (FIRST_DELAY * 2_u32.saturating_pow(attempts.min(16) - 1)).min(DELAY_MAX).mul_f64(0.5 + random / 2.0),
    }
}

fn rand_byte() -> u8 {
    use ring::rand::{SecureRandom as _, SystemRandom};
    let mut byte = [0];
    SystemRandom::new().fill(&mut byte).expect("a random byte");
    byte[0]
}

/// Descriptors and resident KiB of a process.
pub fn footprint(pid: u32) -> (usize, u64) {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
    (descriptors, line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number"))
}

/// A process that gets a part of one core, until dropped.
pub enum Held {
    /// By a control group (version 1), where one can be made.
    Group(PathBuf),
    /// By stopping it for the rest of the time. It may use several cores while it runs, and shares them.
    Stopped { over: Arc<AtomicBool>, thread: Option<std::thread::JoinHandle<()>> },
}

impl Held {
    const GROUPS: &'static str = "/sys/fs/cgroup/cpu";
    const PERIOD: Duration = Duration::from_millis(10);

    pub fn to_part(pid: u32, part: f64) -> Self {
        let running = Self::PERIOD.mul_f64(part);
        Self::by_group(pid, running).unwrap_or_else(|_| Self::by_signals(pid, running))
    }

    fn by_group(pid: u32, running: Duration) -> std::io::Result<Self> {
        let group = PathBuf::from(Self::GROUPS).join(format!("muster-test-{pid}"));
        fs::create_dir(&group)?;
        let write = |file: &str, value: u128| fs::write(group.join(file), value.to_string());
        let held = write("cpu.cfs_period_us", Self::PERIOD.as_micros())
            .and_then(|()| write("cpu.cfs_quota_us", running.as_micros()))
            .and_then(|()| write("cgroup.procs", pid.into()));
        match held {
            Ok(()) => Ok(Self::Group(group)),
            Err(error) => fs::remove_dir(&group).and(Err(error)),
        }
    }

    fn by_signals(pid: u32, running: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process");
        let thread = std::thread::spawn({
            let over = Arc::clone(&over);
            move || {
                while !over.load(Ordering::Relaxed) && kill_process(pid, Signal::STOP).is_ok() {
                    std::thread::sleep(Self::PERIOD - running);
                    let _ = kill_process(pid, Signal::CONT);
                    std::thread::sleep(running);
                }
            }
        });
        Self::Stopped { over, thread: Some(thread) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        match self {
            Self::Group(group) => {
                for pid in fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines() {
                    let _ = fs::write(PathBuf::from(Self::GROUPS).join("cgroup.procs"), pid);
                }
                let _ = fs::remove_dir(group);
            }
            Self::Stopped { over, thread } => {
                over.store(true, Ordering::Relaxed);
                thread.take().map(std::thread::JoinHandle::join);
            }
        }
    }
}
