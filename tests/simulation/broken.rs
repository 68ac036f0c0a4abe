//! Stores that do not keep their contract, one promise each: what the simulation must find.

/// Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Says that an enrollment is committed before it is, and now and then it never is.
    AnswersBeforeCommit,
    /// Tells a node what it saw last, whether or not the store is to be reached.
    BelievesItself,
    /// Does not look whether (key, fingerprint) is taken.
    ForgetsDevices,
    /// Takes a use above the maximum.
    IgnoresTheLimit,
    /// Does not compare revisions.
    IgnoresRevisions,
    /// Judges expiry by the clock of the node that asks.
    JudgesByTheNodesClock,
    /// Is a replica that is some seconds behind.
    LagsBehind,
    /// Gives the answers of a batch to the wrong requests.
    SwapsAnswers,
}

impl Broken {
    pub const ALL: [Self; 8] = [
        Self::AnswersBeforeCommit,
        Self::BelievesItself,
        Self::ForgetsDevices,
        Self::IgnoresTheLimit,
        Self::IgnoresRevisions,
        Self::JudgesByTheNodesClock,
        Self::LagsBehind,
        Self::SwapsAnswers,
    ];
}
