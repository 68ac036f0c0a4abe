//! What came of it. The JSON form is for other programs: members stay as they are within a
//! `schemaVersion`, and new ones may come. Docs: `docs/capacity.md`.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::arrivals::{Arrivals, Spacing};
use super::failure::Failure;
use super::latency::Latency;
use super::own::{CPU_SHARE_MAX, Client, LAG_MAX};
use super::tally::Tally;
use super::timeline::Timeline;
use crate::protocol::enroll::Outcome;

/// Raised when a member changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub schema_version: u32,
    pub muster_version: &'static str,
    /// Fingerprints and hostnames begin with it.
    pub name: String,
    /// `2026-11-20T16:06:00Z`.
    pub started_at: String,
    pub ended: Ended,
    pub wall_seconds: f64,
    pub plan: Plan,
    pub devices: Devices,
    pub attempts: Attempts,
    /// Devices that got in, per second from the start until the last one did.
    pub enrolled_per_second: f64,
    /// By status and code; the most frequent first.
    pub refusals: Vec<Refusals>,
    /// The most frequent first.
    pub failures: Vec<Failures>,
    /// From when a device was to begin until it was in, waits and all.
    pub device_latency_ms: Option<Latency>,
    /// Of the attempts that got a certificate, each from when it was to begin.
    pub attempt_latency_ms: Option<Latency>,
    /// Of the attempts that were refused.
    pub refusal_latency_ms: Option<Latency>,
    pub timeline: Timeline,
    pub client: Client,
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Every device that began is in or has given up.
    Done,
    Interrupted,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Absent: as many as the duration allowed.
    pub devices: Option<u64>,
    pub concurrency: Option<usize>,
    pub rate_per_second: Option<f64>,
    pub spacing: Option<Spacing>,
    pub ramp_seconds: f64,
    pub duration_seconds: Option<f64>,
    /// How long a device went on; 0: one attempt.
    pub timeout_seconds: f64,
    pub keys: usize,
    /// Addresses called from; 0: what the operating system chose.
    pub sources: u64,
    pub addresses: Vec<SocketAddr>,
    pub connections_max: usize,
}

/// Each device that started is in one of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Devices {
    pub started: u64,
    /// New components; so many uses were taken.
    pub enrolled: u64,
    pub re_enrolled: u64,
    /// The answer of an attempt whose first answer was lost.
    pub replayed: u64,
    /// Gave up after a refusal.
    pub refused: u64,
    /// Gave up after an attempt without an answer.
    pub failed: u64,
    /// Was on its way when the run was interrupted.
    pub unfinished: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempts {
    /// That ended; one more may be under way for each unfinished device.
    pub total: u64,
    pub accepted: u64,
    pub refused: u64,
    pub failed: u64,
    /// That were followed by another one of the same device.
    pub retried: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusals {
    pub status: u16,
    /// Absent if the answer was no problem of ours, e.g. a proxy's.
    pub code: Option<String>,
    pub attempts: u64,
    /// Devices that gave up after it.
    pub devices: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    pub kind: Failure,
    pub attempts: u64,
    /// Devices that gave up after it.
    pub devices: u64,
}

/// Why the figures may say more about the client than about the service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warning {
    ClientBusy { share: f64 },
    ClientLate { p99_ms: f64 },
    ConnectionsUsedUp { waits: u64, connections_max: usize },
    FilesUsedUp { attempts: u64 },
    KeyPairsLate { devices: u64 },
    PortsUsedUp { attempts: u64 },
    SameMachine,
}

impl Warning {
    pub const fn code(self) -> &'static str {
        match self {
            Self::ClientBusy { .. } => "client-busy",
            Self::ClientLate { .. } => "client-late",
            Self::ConnectionsUsedUp { .. } => "connections-used-up",
            Self::FilesUsedUp { .. } => "files-used-up",
            Self::KeyPairsLate { .. } => "key-pairs-late",
            Self::PortsUsedUp { .. } => "ports-used-up",
            Self::SameMachine => "same-machine",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientBusy { share } => write!(
                f,
                "this client used {:.0} % of its processors: the service may be faster than it could ask; \
                 use more clients or a larger machine",
                share * 100.0
            ),
            Self::ClientLate { p99_ms } => write!(
                f,
                "this client came up to {p99_ms:.0} ms late to what was due (p99): that much of the latencies may be its own"
            ),
            Self::ConnectionsUsedUp { waits, connections_max } => write!(
                f,
                "{waits} attempts had to wait, as {connections_max} connections were open at once: raise the limit of open \
                 files (ulimit -n)"
            ),
            Self::FilesUsedUp { attempts } => {
                write!(f, "{attempts} attempts found no file descriptor: raise the limit of open files (ulimit -n)")
            }
            Self::KeyPairsLate { devices } => {
                write!(f, "{devices} devices had to wait for this client to make their key pair")
            }
            Self::PortsUsedUp { attempts } => {
                write!(f, "{attempts} attempts found no free port: call from more addresses (--from)")
            }
            Self::SameMachine => f.write_str(
                "client and service share this machine's processors: alone on it, the service is faster than this",
            ),
        }
    }
}

/// `{"code": "…", "text": "…"}`.
impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut members = serializer.serialize_struct("Warning", 2)?;
        members.serialize_field("code", self.code())?;
        members.serialize_field("text", &self.to_string())?;
        members.end()
    }
}

impl Plan {
    pub(super) fn arrivals(&mut self, arrivals: Arrivals) {
        match arrivals {
            Arrivals::Closed { concurrency } => self.concurrency = Some(concurrency),
            Arrivals::Open { rate_per_second, spacing } => {
                (self.rate_per_second, self.spacing) = (Some(rate_per_second), Some(spacing));
            }
        }
    }
}

impl Report {
    /// Whether every device that was asked for began, and every one that began got its certificate.
    pub fn is_complete(&self) -> bool {
        let Devices { started, enrolled, re_enrolled, replayed, .. } = self.devices;
        let all_began = self.plan.duration_seconds.is_some() || self.plan.devices == Some(started);
        self.ended == Ended::Done && all_began && started == enrolled + re_enrolled + replayed
    }

    pub(super) fn of(
        tally: &Tally,
        name: String,
        started_at: String,
        ended: Ended,
        plan: Plan,
        client: Client,
    ) -> Self {
        let accepted = tally.enrolled();
        let (refused, failed) = (tally.refused_devices(), tally.failed_devices());
        let devices = Devices {
            started: tally.started,
            enrolled: tally.came_to(Outcome::Enrolled),
            re_enrolled: tally.came_to(Outcome::ReEnrolled),
            replayed: tally.came_to(Outcome::Replayed),
            refused,
            failed,
            unfinished: tally.started - accepted - refused - failed,
        };
        let refusals = tally.refusals.iter().map(|((status, code), count)| Refusals {
            status: *status,
            code: code.clone(),
            attempts: count.attempts,
            devices: count.devices,
        });
        let mut refusals: Vec<_> = refusals.collect();
        refusals.sort_by_key(|refusal| std::cmp::Reverse(refusal.attempts));
        let failures = tally.failures.iter().map(|(kind, count)| Failures {
            kind: *kind,
            attempts: count.attempts,
            devices: count.devices,
        });
        let mut failures: Vec<_> = failures.collect();
        failures.sort_by_key(|failure| std::cmp::Reverse(failure.attempts));
        let refused = refusals.iter().map(|refusal| refusal.attempts).sum();
        let failed = failures.iter().map(|failure| failure.attempts).sum();
        let attempts =
            Attempts { total: accepted + refused + failed, accepted, refused, failed, retried: tally.repeated };
        let until_last_in = tally.last_in.map_or(Duration::ZERO, |last_in| last_in - tally.start).as_secs_f64();
        Self {
            schema_version: SCHEMA_VERSION,
            muster_version: env!("CARGO_PKG_VERSION"),
            name,
            started_at,
            ended,
            wall_seconds: tally.start.elapsed().as_secs_f64(),
            warnings: warnings(tally, &plan, &client),
            plan,
            devices,
            attempts,
            enrolled_per_second: if until_last_in > 0.0 { accepted as f64 / until_last_in } else { 0.0 },
            refusals,
            failures,
            device_latency_ms: tally.devices.summary(),
            attempt_latency_ms: tally.accepted.summary(),
            refusal_latency_ms: tally.refused.summary(),
            timeline: tally.timeline.clone(),
            client,
        }
    }
}

fn warnings(tally: &Tally, plan: &Plan, client: &Client) -> Vec<Warning> {
    let attempts = |kind| tally.failures.get(&kind).map_or(0, |count| count.attempts);
    let (files, ports) = (attempts(Failure::ClientFiles), attempts(Failure::ClientPorts));
    let (waits, devices) = (tally.connection_waits, tally.preparation_waits);
    let p99_ms = client.lag_p99_ms.unwrap_or(0.0);
    [
        (client.cpu_share_max >= CPU_SHARE_MAX, Warning::ClientBusy { share: client.cpu_share_max }),
        (p99_ms > super::latency::milliseconds(LAG_MAX), Warning::ClientLate { p99_ms }),
        (waits > 0, Warning::ConnectionsUsedUp { waits, connections_max: plan.connections_max }),
        (files > 0, Warning::FilesUsedUp { attempts: files }),
        (devices > 0, Warning::KeyPairsLate { devices }),
        (ports > 0, Warning::PortsUsedUp { attempts: ports }),
        (plan.addresses.iter().any(|address| address.ip().is_loopback()), Warning::SameMachine),
    ]
    .into_iter()
    .filter_map(|(applies, warning)| applies.then_some(warning))
    .collect()
}
