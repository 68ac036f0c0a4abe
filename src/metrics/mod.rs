//! The numbers that are watched (docs/contract.md, "Being watched"), in Prometheus' text format.
//!
//! One [`Metrics`] per process, made by `app` and handed to every room in an `Arc`: the registry is
//! its own, there is no global one. Labels come from closed lists and their handles are resolved
//! when the registry is made, so that counting on the enrollment path is an atomic addition.
//!
//! What it deliberately does not do: carry key strings, addresses, names of devices or anything
//! else that a caller chose.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::clock::Timestamp;
use crate::domain::Refusal;
use crate::protocol::enroll::Outcome;
use crate::protocol::renew::CERTIFICATE_REFUSED;

/// What the enrollment door itself answers, beside [`Outcome`] and [`Refusal`].
///
/// `abandoned` has no answer: the connection went away before one was made.
const DOOR_OUTCOMES: [&str; 13] = [
    "abandoned",
    INTERNAL,
    "body-too-large",
    CERTIFICATE_REFUSED,
    "client-certificate-required",
    INVALID_KEY,
    "malformed-request",
    "method-not-allowed",
    "not-found",
    "overloaded",
    "rate-limited",
    "store-unavailable",
    "unsupported-media-type",
];

/// A string that is no key of anybody's.
const INVALID_KEY: &str = "invalid-key";

/// Where an outcome is counted that is in no list: it is a defect of ours.
const INTERNAL: &str = "internal";

/// One enrollment costs about 0.2 ms of CPU; on top come the batch's fsync (0.1 to 5 ms on a real
/// disk) and the queue. Two steps per decade at the ends, four where a healthy service lives.
const ENROLL_SECONDS: [f64; 14] =
    [0.000_5, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0];

/// Handshakes wait only when the node does not keep up, and for three seconds at most.
const HANDSHAKE_WAIT_SECONDS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 2.0, 3.0];

/// A commit is one fsync: 0.1 ms on a disk that answers from a cache, milliseconds on most, and
/// anything above 0.1 s is a disk in trouble.
const COMMIT_SECONDS: [f64; 12] = [0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];

/// Powers of two, as batches double with load; up to four times the batch worth aiming at.
const BATCH_SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// P-256 and Ed25519 take 13 to 18 µs, P-384 and RSA-2048 hundreds, RSA-4096 milliseconds.
const SIGN_SECONDS: [f64; 10] = [0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01];

/// A CRL of a few entries takes some milliseconds with its commit; one of 100,000 some hundreds.
const CRL_BUILD_SECONDS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// `ca::Issuer::algorithm()` says one of these.
const ALGORITHMS: [&str; 4] = ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa"];

/// All numbers of the process.
pub struct Metrics {
    registry: Registry,
    /// Sorted by label, for a binary search.
    enrollments: Vec<(&'static str, IntCounter)>,
    enroll_seconds: Histogram,
    handshakes: [IntCounter; HandshakeOutcome::ALL.len()],
    handshake_wait_seconds: Histogram,
    connections: [Connections; Door::ALL.len()],
    accept_errors: IntCounter,
    commit_seconds: Histogram,
    commit_batch_size: Histogram,
    store_clock_difference: IntGauge,
    signatures: [(&'static str, Histogram); ALGORITHMS.len()],
    index_keys: IntGauge,
    last_backup: IntGauge,
    certificate_expiry: IntGaugeVec,
    crl_next_update: IntGaugeVec,
    crl_entries: IntGaugeVec,
    crl_builds: [IntCounter; CrlBuild::ALL.len()],
    crl_build_seconds: Histogram,
    webhook_attempts: [IntCounter; WebhookAttempt::ALL.len()],
    webhook_queue: IntGauge,
}

/// How a TLS handshake ended. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeOutcome {
    /// A trusted balancer did not begin with a PROXY header that can be read.
    BadProxyHeader,
    Completed,
    /// No common version or suite, a refused certificate, a connection that broke off.
    Failed,
    /// The first bytes were no TLS record.
    NotTls,
    /// Not done within the deadline; silence, too.
    TimedOut,
}

/// Why a connection was closed before anything was computed for it. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// No place was free.
    Full,
    /// Handshakes of its source wait for so long that one more would wait in vain.
    QueueStands,
    /// Its source holds as many places as it may.
    Share,
    /// Its turn did not come.
    WaitedTooLong,
}

/// Which listener a connection came in by. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Admin,
    Enroll,
    Metrics,
}

/// Which deadline closed a connection whose handshake was done. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// A request's body did not arrive.
    Body,
    /// A request's head did not arrive, or no further request came on a kept-alive connection.
    Head,
    /// The connection was open for as long as any may be.
    Lifetime,
}

/// What became of a CRL that was due. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrlBuild {
    Failed,
    /// Another node was quicker.
    Overtaken,
    Published,
}

/// How an attempt to deliver to a webhook ended. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookAttempt {
    Delivered,
    /// It is tried again.
    Failed,
    /// It failed, and had been tried for long enough.
    GivenUp,
}

/// The connections of one listener.
struct Connections {
    open: IntGauge,
    accepted: IntCounter,
    refused: [IntCounter; Admission::ALL.len()],
    displaced: IntCounter,
    timed_out: [IntCounter; Deadline::ALL.len()],
}

impl HandshakeOutcome {
    pub const ALL: [Self; 5] = [Self::BadProxyHeader, Self::Completed, Self::Failed, Self::NotTls, Self::TimedOut];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadProxyHeader => "bad-proxy-header",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::NotTls => "not-tls",
            Self::TimedOut => "timed-out",
        }
    }
}

impl Admission {
    pub const ALL: [Self; 4] = [Self::Full, Self::QueueStands, Self::Share, Self::WaitedTooLong];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::QueueStands => "queue-stands",
            Self::Share => "share",
            Self::WaitedTooLong => "waited-too-long",
        }
    }
}

impl Door {
    pub const ALL: [Self; 3] = [Self::Admin, Self::Enroll, Self::Metrics];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Enroll => "enroll",
            Self::Metrics => "metrics",
        }
    }
}

impl Deadline {
    pub const ALL: [Self; 3] = [Self::Body, Self::Head, Self::Lifetime];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Head => "head",
            Self::Lifetime => "lifetime",
        }
    }
}

impl CrlBuild {
    pub const ALL: [Self; 3] = [Self::Failed, Self::Overtaken, Self::Published];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Overtaken => "overtaken",
            Self::Published => "published",
        }
    }
}

impl WebhookAttempt {
    pub const ALL: [Self; 3] = [Self::Delivered, Self::Failed, Self::GivenUp];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GivenUp => "given-up",
        }
    }
}

impl Metrics {
    /// # Panics
    /// When two metrics have one name; the tests make one, so it cannot happen later.
    pub fn new() -> Self {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("every metric has a name of its own");
        gauges(&registry, "muster_build_info", "Always 1; the label says what runs.", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let signatures = HistogramVec::new(
            HistogramOpts::new("muster_ca_sign_duration_seconds", "Time to build and sign one component certificate.")
                .buckets(SIGN_SECONDS.to_vec()),
            &["algorithm"],
        );
        let signatures = register(&registry, signatures.expect("the options are valid"));
        let handshakes = counters(
            &registry,
            "muster_tls_handshakes_total",
            "TLS handshakes on both TLS listeners, by how they ended.",
            &["outcome"],
        );
        let crl_builds =
            counters(&registry, "muster_crl_builds_total", "CRLs that were due, by what became of them.", &["outcome"]);
        let webhook_attempts = counters(
            &registry,
            "muster_webhook_attempts_total",
            "Attempts of this node to deliver to webhooks, by how they ended.",
            &["outcome"],
        );
        Self {
            enrollments: enrollment_counters(&registry),
            enroll_seconds: histogram(
                &registry,
                "muster_enroll_duration_seconds",
                "From a request's head to its answer, at the enrollment door.",
                &ENROLL_SECONDS,
            ),
            handshakes: HandshakeOutcome::ALL.map(|outcome| handshakes.with_label_values(&[outcome.as_str()])),
            handshake_wait_seconds: histogram(
                &registry,
                "muster_tls_handshake_wait_seconds",
                "Time that TLS handshakes waited for their turn, of those that had to.",
                &HANDSHAKE_WAIT_SECONDS,
            ),
            connections: connections(&registry),
            accept_errors: register(
                &registry,
                IntCounter::new("muster_accept_errors_total", "Connections that the system could not hand over.")
                    .expect("the name is valid"),
            ),
            commit_seconds: histogram(
                &registry,
                "muster_store_commit_duration_seconds",
                "Time of one durable commit of a batch of enrollments.",
                &COMMIT_SECONDS,
            ),
            commit_batch_size: histogram(
                &registry,
                "muster_store_commit_batch_size",
                "Enrollments that shared one durable commit.",
                &BATCH_SIZES,
            ),
            store_clock_difference: register(
                &registry,
                IntGauge::new(
                    "muster_store_clock_difference_seconds",
                    "How far the store's clock is ahead of this node's; negative: behind.",
                )
                .expect("the name is valid"),
            ),
            signatures: ALGORITHMS.map(|algorithm| (algorithm, signatures.with_label_values(&[algorithm]))),
            index_keys: register(
                &registry,
                IntGauge::new("muster_index_keys", "Provisioning keys in the in-memory index.")
                    .expect("the name is valid"),
            ),
            last_backup: register(
                &registry,
                IntGauge::new(
                    "muster_last_backup_timestamp_seconds",
                    "When the last backup of this data directory was made, in seconds since 1970-01-01T00:00:00Z; 0: none was.",
                )
                .expect("the name is valid"),
            ),
            certificate_expiry: gauges(
                &registry,
                "muster_certificate_expiry_seconds",
                "When a certificate of this service ends, in seconds since 1970-01-01T00:00:00Z.",
                &["certificate"],
            ),
            crl_next_update: gauges(
                &registry,
                "muster_crl_next_update_seconds",
                "When the CRL of a signing certificate ends, in seconds since 1970-01-01T00:00:00Z.",
                &["certificate"],
            ),
            crl_entries: gauges(
                &registry,
                "muster_crl_entries",
                "Revoked certificates on the CRL of a signing certificate.",
                &["certificate"],
            ),
            crl_builds: CrlBuild::ALL.map(|outcome| crl_builds.with_label_values(&[outcome.as_str()])),
            crl_build_seconds: histogram(
                &registry,
                "muster_crl_build_duration_seconds",
                "Time to read, sign and store one CRL.",
                &CRL_BUILD_SECONDS,
            ),
            webhook_attempts: WebhookAttempt::ALL
                .map(|outcome| webhook_attempts.with_label_values(&[outcome.as_str()])),
            webhook_queue: register(
                &registry,
                IntGauge::new("muster_webhook_queue", "Deliveries that wait, of all webhooks that are on.")
                    .expect("the name is valid"),
            ),
            registry,
        }
    }

    /// `outcome`: an [`Outcome::as_str`], a refusal code or one of the door's own; anything that is
    /// not in the closed list counts as `internal`. `took` is from the request's head to its answer.
    pub fn observe_enrollment(&self, outcome: &str, took: Duration) {
        let find = |label| self.enrollments.binary_search_by(|(known, _)| str::cmp(known, label));
        if let Ok(place) = find(outcome).or_else(|_| find(INTERNAL)) {
            self.enrollments[place].1.inc();
        }
        self.enroll_seconds.observe(took.as_secs_f64());
    }

    /// How many requests at the enrollment door brought a string that is no key, since the process began; without
    /// those that were turned away before it was looked at.
    pub fn unknown_keys(&self) -> u64 {
        let place = self.enrollments.binary_search_by(|(known, _)| str::cmp(known, INVALID_KEY));
        place.map_or(0, |place| self.enrollments[place].1.get())
    }

    pub fn count_handshake(&self, outcome: HandshakeOutcome) {
        self.handshakes[outcome as usize].inc();
    }

    /// A connection that is served; to be followed by [`Self::connection_closed`].
    pub fn connection_opened(&self, door: Door) {
        let connections = &self.connections[door as usize];
        connections.accepted.inc();
        connections.open.inc();
    }

    pub fn connection_closed(&self, door: Door) {
        self.connections[door as usize].open.dec();
    }

    /// A connection that is accepted and closed before its handshake.
    pub fn count_refused_connection(&self, door: Door, reason: Admission) {
        self.connections[door as usize].refused[reason as usize].inc();
    }

    /// Connections whose clients were silent, closed to make room for others.
    pub fn count_displaced_connections(&self, door: Door, count: usize) {
        if count > 0 {
            self.connections[door as usize].displaced.inc_by(count as u64);
        }
    }

    /// A handshake that had to wait for its turn, or for as long as it did in vain.
    pub fn observe_handshake_wait(&self, waited: Duration) {
        self.handshake_wait_seconds.observe(waited.as_secs_f64());
    }

    /// A connection that was closed because a deadline passed.
    pub fn count_missed_deadline(&self, door: Door, deadline: Deadline) {
        self.connections[door as usize].timed_out[deadline as usize].inc();
    }

    pub fn count_accept_error(&self) {
        self.accept_errors.inc();
    }

    /// One durable commit of `size` enrollments.
    pub fn observe_commit(&self, size: usize, took: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "a batch is far below 2^52")]
        self.commit_batch_size.observe(size as f64);
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Positive: the store's clock is ahead of this node's.
    pub fn set_store_clock_difference(&self, seconds: i64) {
        self.store_clock_difference.set(seconds);
    }

    /// `algorithm`: what the issuer calls its own; one that is not in the closed list is not counted.
    pub fn observe_signature(&self, algorithm: &'static str, took: Duration) {
        if let Some((_, histogram)) = self.signatures.iter().find(|(known, _)| *known == algorithm) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// As it was set.
    pub fn last_backup(&self) -> Option<Timestamp> {
        Some(self.last_backup.get()).filter(|seconds| *seconds > 0).map(Timestamp::from_unix_seconds)
    }

    pub fn set_last_backup(&self, made_at: Timestamp) {
        self.last_backup.set(made_at.unix_seconds());
    }

    pub fn set_index_keys(&self, keys: usize) {
        self.index_keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// `certificate`: `enroll-endpoint`, `admin-endpoint`, `endpoint-anchor`, `endpoint-anchor-previous`, or a signing
    /// certificate's id; of a chain its first end. Never a component's: there would be as many series as devices.
    pub fn set_certificate_expiry(&self, certificate: &str, not_after: Timestamp) {
        self.certificate_expiry.with_label_values(&[certificate]).set(not_after.unix_seconds());
    }

    /// Ends the series of a certificate that is not in use any more.
    pub fn forget_certificate(&self, certificate: &str) {
        // The only error is that there is no such series, and that is what is wanted.
        let _ = self.certificate_expiry.remove_label_values(&[certificate]);
    }

    /// The newest CRL of a signing certificate, by its id.
    pub fn set_crl(&self, certificate: &str, next_update: Timestamp, entries: u64) {
        self.crl_next_update.with_label_values(&[certificate]).set(next_update.unix_seconds());
        self.crl_entries.with_label_values(&[certificate]).set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// Ends the series of a signing certificate that is gone.
    pub fn forget_crl(&self, certificate: &str) {
        // As above.
        let _ = self.crl_next_update.remove_label_values(&[certificate]);
        let _ = self.crl_entries.remove_label_values(&[certificate]);
    }

    pub fn count_webhook_attempt(&self, outcome: WebhookAttempt) {
        self.webhook_attempts[outcome as usize].inc();
    }

    pub fn set_webhook_queue(&self, waiting: u64) {
        self.webhook_queue.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    pub fn observe_crl_build(&self, outcome: CrlBuild, took: Duration) {
        self.crl_builds[outcome as usize].inc();
        self.crl_build_seconds.observe(took.as_secs_f64());
    }

    /// All numbers in the text format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("a Vec takes all that is written");
        String::from_utf8(text).expect("the text format is UTF-8")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn enrollment_counters(registry: &Registry) -> Vec<(&'static str, IntCounter)> {
    let counters = counters(
        registry,
        "muster_enroll_requests_total",
        "Requests at the enrollment door by what became of them.",
        &["outcome"],
    );
    let mut labels: Vec<_> = Outcome::ALL.into_iter().map(Outcome::as_str).collect();
    labels.extend(Refusal::ALL.into_iter().map(Refusal::code));
    labels.extend(DOOR_OUTCOMES);
    labels.sort_unstable();
    labels.into_iter().map(|label| (label, counters.with_label_values(&[label]))).collect()
}

fn connections(registry: &Registry) -> [Connections; Door::ALL.len()] {
    let open = gauges(registry, "muster_connections_open", "Connections that are being served.", &["listener"]);
    let accepted = counters(registry, "muster_connections_accepted_total", "Connections served.", &["listener"]);
    let refused = counters(
        registry,
        "muster_connections_refused_total",
        "Connections closed before their handshake, by the reason.",
        &["listener", "reason"],
    );
    let displaced = counters(
        registry,
        "muster_connections_displaced_total",
        "Connections whose clients were silent, closed to make room for others.",
        &["listener"],
    );
    let timed_out = counters(
        registry,
        "muster_connections_timed_out_total",
        "Connections closed after their handshake because a deadline passed.",
        &["listener", "deadline"],
    );
    Door::ALL.map(|door| {
        let label = [door.as_str()];
        Connections {
            open: open.with_label_values(&label),
            accepted: accepted.with_label_values(&label),
            refused: Admission::ALL.map(|reason| refused.with_label_values(&[door.as_str(), reason.as_str()])),
            displaced: displaced.with_label_values(&label),
            timed_out: Deadline::ALL.map(|deadline| timed_out.with_label_values(&[door.as_str(), deadline.as_str()])),
        }
    })
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels).expect("the options are valid"))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels).expect("the options are valid"))
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    register(registry, Histogram::with_opts(options).expect("the options are valid"))
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry.register(Box::new(collector.clone())).expect("every metric has a name of its own");
    collector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_promised_name_is_rendered_before_anything_happened() {
        let text = Metrics::new().render();
        for line in [
            "muster_enroll_requests_total{outcome=\"enrolled\"} 0",
            "muster_enroll_requests_total{outcome=\"key-exhausted\"} 0",
            "muster_enroll_requests_total{outcome=\"invalid-key\"} 0",
            "muster_enroll_duration_seconds_count 0",
            "muster_tls_handshakes_total{outcome=\"not-tls\"} 0",
            "muster_store_commit_duration_seconds_count 0",
            "muster_store_commit_batch_size_count 0",
            "muster_store_clock_difference_seconds 0",
            "muster_ca_sign_duration_seconds_count{algorithm=\"ecdsa-p256\"} 0",
            "muster_index_keys 0",
            "muster_crl_builds_total{outcome=\"published\"} 0",
            "muster_crl_build_duration_seconds_count 0",
            "muster_webhook_attempts_total{outcome=\"given-up\"} 0",
            "muster_webhook_queue 0",
            concat!("muster_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "muster_connections_refused_total{listener=\"enroll\",reason=\"share\"} 0",
            "muster_connections_displaced_total{listener=\"enroll\"} 0",
            "muster_tls_handshake_wait_seconds_count 0",
            "muster_connections_timed_out_total{deadline=\"body\",listener=\"enroll\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn an_outcome_that_no_list_has_counts_as_internal() {
        let metrics = Metrics::new();
        metrics.observe_enrollment("re-enrolled", Duration::from_millis(1));
        metrics.observe_enrollment("3|cloud|secret", Duration::from_millis(1));
        let text = metrics.render();
        assert!(text.contains("muster_enroll_requests_total{outcome=\"re-enrolled\"} 1"));
        assert!(text.contains("muster_enroll_requests_total{outcome=\"internal\"} 1"));
        assert!(text.contains("muster_enroll_duration_seconds_count 2"));
        metrics.observe_enrollment("invalid-key", Duration::from_millis(1));
        assert_eq!(metrics.unknown_keys(), 1);
        assert!(!text.contains("secret"));
    }

    #[test]
    fn every_outcome_has_its_own_counter() {
        let metrics = Metrics::new();
        let distinct: std::collections::BTreeSet<_> = metrics.enrollments.iter().map(|(label, _)| label).collect();
        assert_eq!(distinct.len(), Outcome::ALL.len() + Refusal::ALL.len() + DOOR_OUTCOMES.len());
        for label in distinct {
            metrics.observe_enrollment(label, Duration::ZERO);
        }
        assert!(metrics.enrollments.iter().all(|(_, counter)| counter.get() == 1));
    }

    #[test]
    fn labels_stand_at_their_variants_place() {
        let metrics = Metrics::new();
        metrics.count_handshake(HandshakeOutcome::TimedOut);
        metrics.count_missed_deadline(Door::Metrics, Deadline::Lifetime);
        metrics.connection_opened(Door::Admin);
        let text = metrics.render();
        assert!(text.contains("muster_tls_handshakes_total{outcome=\"timed-out\"} 1"));
        assert!(text.contains("muster_connections_timed_out_total{deadline=\"lifetime\",listener=\"metrics\"} 1"));
        assert!(text.contains("muster_connections_open{listener=\"admin\"} 1"));
        metrics.connection_closed(Door::Admin);
        assert!(metrics.render().contains("muster_connections_open{listener=\"admin\"} 0"));
    }

    #[test]
    fn a_forgotten_certificate_has_no_series() {
        let metrics = Metrics::new();
        metrics.set_certificate_expiry("enroll-endpoint", Timestamp::from_unix_seconds(1_800_000_000));
        assert!(
            metrics.render().contains("muster_certificate_expiry_seconds{certificate=\"enroll-endpoint\"} 1800000000")
        );
        metrics.forget_certificate("enroll-endpoint");
        assert!(!metrics.render().contains("enroll-endpoint"));
    }
}
