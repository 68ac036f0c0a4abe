//! One request at the door, from its head to its line in the log.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::KeyIdentity;
use super::refused::Refused;
use crate::domain::Reference;
use crate::enrollment::Enrollment;
use crate::enrollment::renewal::RenewalError;
use crate::id::ComponentId;
use crate::metrics::Metrics;
use crate::protocol::enroll::Outcome;
use crate::server::http::problem::ProblemKind;
use crate::server::http::quiet::Quiet;

/// What the log and the metrics learn of a request. Says it when dropped, so that a request whose
/// connection went away, or whose handling panicked, is told of as well. Never has a key string.
pub struct Visit<'a> {
    pub reference: Reference,
    pub address: IpAddr,
    /// Set once the key verified, or the component showed who it is: then the component's key, which may be gone.
    pub key: Option<KeyIdentity>,
    pub component: Option<ComponentId>,
    /// What the use case said, for the log alone.
    cause: Option<RenewalError>,
    end: End,
    metrics: &'a Metrics,
    quiet: &'a Arc<Quiet>,
    began: Instant,
}

enum End {
    Answered(Outcome),
    Refused {
        code: &'static str,
        title: &'static str,
        is_ours: bool,
    },
    /// No answer was made.
    None,
}

impl<'a> Visit<'a> {
    pub fn begin(metrics: &'a Metrics, quiet: &'a Arc<Quiet>, address: IpAddr) -> Self {
        Self {
            reference: Reference::random(),
            address,
            key: None,
            component: None,
            cause: None,
            end: End::None,
            metrics,
            quiet,
            began: Instant::now(),
        }
    }

    pub fn enrolled(&mut self, enrollment: &Enrollment) {
        self.component = Some(enrollment.component_id);
        self.end = End::Answered(enrollment.outcome);
    }

    /// What is answered when the use case says `error`, which the log is told.
    pub fn fails(&mut self, error: impl Into<RenewalError>) -> Refused {
        let error = error.into();
        let refused = Refused::from(&error);
        self.cause = Some(error);
        refused
    }

    pub fn refused(&mut self, problem: &ProblemKind) {
        let is_ours = problem.status.is_server_error();
        self.end = End::Refused { code: problem.code, title: problem.title, is_ours };
    }

    fn outcome(&self) -> &'static str {
        match self.end {
            End::Answered(outcome) => outcome.as_str(),
            End::Refused { code, .. } => code,
            End::None if std::thread::panicking() => "internal",
            End::None => "abandoned",
        }
    }

    /// Whether to write the line: always about somebody who is known, else while there are not too many.
    fn is_told(&self) -> bool {
        if self.key.is_some() {
            return true;
        }
        self.quiet.admits_line(|left_out| {
            tracing::info!(
                target: "muster::enroll",
                refusals = left_out,
                "Anonymous requests were refused so often that {left_out} have no line of their own."
            );
        })
    }

    fn tell(&self, outcome: &'static str, duration_ms: f64) {
        /// The same fields at every level.
        macro_rules! line {
            ($level:ident, $($sentence:tt)+) => {
                tracing::$level!(
                    target: "muster::enroll",
                    reference = self.reference.as_str(),
                    outcome,
                    key.id = self.key.map(|key| display(key.key_id)),
                    component.id = self.component.map(display),
                    customer.id = self.key.map(|key| display(key.customer_id)),
                    remote.address = %self.address,
                    duration_ms,
                    cause = self.cause.as_ref().map(|cause| debug(cause.to_string())),
                    $($sentence)+
                )
            };
        }
        match self.end {
            End::Answered(Outcome::Enrolled) => line!(info, "A device was enrolled."),
            End::Answered(Outcome::ReEnrolled) => line!(info, "A known device got a new certificate."),
            End::Answered(Outcome::Renewed) => line!(info, "A device renewed its certificate."),
            End::Answered(Outcome::Rekeyed) => line!(info, "A device renewed its certificate, with a new key pair."),
            End::Answered(Outcome::Replayed) => line!(info, "A device got the certificate again that it has."),
            End::Refused { code: "internal", .. } => line!(error, "A device was refused because of a defect here."),
            End::Refused { title, is_ours: true, .. } => line!(warn, "A device was told to come back: {title}."),
            End::Refused { title, .. } => line!(info, "A request was refused: {title}."),
            End::None if outcome == "internal" => line!(error, "A request ended in a defect here."),
            End::None => line!(info, "A request broke off before it was answered."),
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let outcome = self.outcome();
        self.metrics.observe_enrollment(outcome, took);
        if self.is_told() {
            // Microseconds are as far as anyone reads.
            let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
            self.tell(outcome, duration_ms);
        }
    }
}
