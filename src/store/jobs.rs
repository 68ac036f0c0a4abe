//! What waits for a batch, in both stores: enrollments and renewals, which share its commit.

use tokio::sync::oneshot;

use super::{EnrollmentCommit, EnrollmentOutcome, RenewalCommit, RenewalOutcome, StoreError};
use crate::id::{CustomerId, ProvisioningKeyId};

/// A certificate that is to be recorded, and where the answer goes.
pub(super) enum Job {
    Enrollment(Asked<EnrollmentCommit, EnrollmentOutcome>),
    Renewal(Asked<RenewalCommit, RenewalOutcome>),
}

pub(super) struct Asked<C, O> {
    pub(super) commit: C,
    answer: Answer<O>,
}

type Answer<O> = oneshot::Sender<Result<O, StoreError>>;

/// Where whoever asked waits. An error: whoever was to answer is gone, and with it what it knew.
pub(super) type Answered<O> = oneshot::Receiver<Result<O, StoreError>>;

/// The commits of a batch, each kind in the order in which it came.
#[derive(Default)]
pub(super) struct Commits<'a> {
    pub(super) enrollments: Vec<&'a EnrollmentCommit>,
    pub(super) renewals: Vec<&'a RenewalCommit>,
}

/// What a transaction decided, in the order of its [`Commits`].
pub(super) struct Decided {
    pub(super) enrollments: Vec<Result<EnrollmentOutcome, StoreError>>,
    pub(super) renewals: Vec<Result<RenewalOutcome, StoreError>>,
}

impl Job {
    pub(super) fn enrollment(commit: EnrollmentCommit) -> (Self, Answered<EnrollmentOutcome>) {
        let (answer, answered) = oneshot::channel();
        (Self::Enrollment(Asked { commit, answer }), answered)
    }

    pub(super) fn renewal(commit: RenewalCommit) -> (Self, Answered<RenewalOutcome>) {
        let (answer, answered) = oneshot::channel();
        (Self::Renewal(Asked { commit, answer }), answered)
    }

    pub(super) fn customer(&self) -> CustomerId {
        match self {
            Self::Enrollment(asked) => asked.commit.seen.customer.0,
            Self::Renewal(asked) => asked.commit.seen.customer.0,
        }
    }

    /// Of a renewal it may be gone.
    pub(super) fn key(&self) -> ProvisioningKeyId {
        match self {
            Self::Enrollment(asked) => asked.commit.seen.key.0,
            Self::Renewal(asked) => asked.commit.seen.key.0,
        }
    }

    /// Nobody may be waiting any more.
    pub(super) fn refuse(self, error: StoreError) {
        match self {
            Self::Enrollment(Asked { answer, .. }) => drop(answer.send(Err(error))),
            Self::Renewal(Asked { answer, .. }) => drop(answer.send(Err(error))),
        }
    }
}

impl<'a> Commits<'a> {
    pub(super) fn of(jobs: impl IntoIterator<Item = &'a Job>) -> Self {
        let mut commits = Self::default();
        for job in jobs {
            match job {
                Job::Enrollment(asked) => commits.enrollments.push(&asked.commit),
                Job::Renewal(asked) => commits.renewals.push(&asked.commit),
            }
        }
        commits
    }
}

impl Decided {
    /// How many were written.
    pub(super) fn committed(&self) -> usize {
        let enrolled = |decided: &&Result<_, _>| matches!(decided, Ok(EnrollmentOutcome::Committed { .. }));
        let renewed = |decided: &&Result<_, _>| matches!(decided, Ok(RenewalOutcome::Committed));
        self.enrollments.iter().filter(enrolled).count() + self.renewals.iter().filter(renewed).count()
    }

    /// Tells those who wait. Nobody may be waiting any more; what was done stays done.
    pub(super) fn answer(self, jobs: impl IntoIterator<Item = Job>) {
        let (mut enrollments, mut renewals) = (self.enrollments.into_iter(), self.renewals.into_iter());
        for job in jobs {
            let key = job.key();
            match job {
                Job::Enrollment(Asked { answer, .. }) => send(answer, enrollments.next(), key),
                Job::Renewal(Asked { answer, .. }) => send(answer, renewals.next(), key),
            }
        }
    }
}

/// Without a decision the answer is dropped, which tells that there is none.
fn send<O>(answer: Answer<O>, decided: Option<Result<O, StoreError>>, key: ProvisioningKeyId) {
    let Some(decided) = decided else { return };
    if let Err(error) = &decided {
        tracing::error!(key.id = %key, %error, "an enrollment or renewal hangs on a damaged row");
    }
    let _ = answer.send(decided);
}
