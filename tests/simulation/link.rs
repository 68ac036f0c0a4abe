//! One node's way to the store: messages are held up, lost, cut off, or arrive after everybody gave up.
//!
//! Where an enrollment's COMMIT has no answer, this does what the store on PostgreSQL does on its node
//! (`src/store/postgres/commits.rs`): it repeats the commit for five seconds, finds what it wrote, or says `Unknown`.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster::clock::{Clock, Timestamp};
use muster::store::{ChangeSequence, EnrollmentCommit, EnrollmentOutcome, Store, StoreError};
use tokio::time::{Instant, sleep, timeout};

use crate::broken::Broken;
use crate::flag::Flag;
use crate::support::store_behind::Way;
use crate::truth::{Step, Truth};

/// A store that is silent for so long is away.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Before a commit without an answer is repeated.
const PAUSE: Duration = Duration::from_millis(20);

/// How far behind [`Broken::LagsBehind`] is.
const LAG: Duration = Duration::from_secs(4);

/// The network and the machine around a node, which outlive it.
pub struct Place {
    pub truth: Arc<Truth>,
    pub number: usize,
    pub clock: Arc<NodeClock>,
    /// Whether the node is cut off from the store.
    pub cut: Flag,
    /// Of a thousand messages.
    pub lost: AtomicU64,
    pub broken: Option<Broken>,
}

/// The simulated time, and how far the node's clock is from it.
pub struct NodeClock {
    truth: Arc<Truth>,
    ahead_seconds: AtomicI64,
    most_ahead_seconds: AtomicI64,
    was_far_off: AtomicBool,
}

/// A node's own way; a node that is started again gets another.
pub struct Link {
    place: Arc<Place>,
    /// The step at which the last look at the feed, or commit, began that was answered.
    answered: AtomicU64,
    /// The step at which the last call failed.
    failed: AtomicU64,
    is_dead: AtomicBool,
    /// For [`Broken::BelievesItself`] and [`Broken::LagsBehind`].
    seen: Mutex<Option<(Instant, ChangeSequence)>>,
    /// For [`Broken::SwapsAnswers`].
    kept: Mutex<Option<EnrollmentOutcome>>,
}

/// What becomes of a COMMIT on its way.
enum Fate {
    Arrives,
    /// The answer is lost.
    Unheard,
    /// It arrives when nobody waits for it any more.
    Late(Duration),
    Lost,
}

impl NodeClock {
    pub fn new(truth: Arc<Truth>) -> Arc<Self> {
        let (ahead_seconds, most_ahead_seconds) = (AtomicI64::new(0), AtomicI64::new(0));
        Arc::new(Self { truth, ahead_seconds, most_ahead_seconds, was_far_off: AtomicBool::new(false) })
    }

    /// Whether it was ever too far off to sign.
    pub fn was_far_off(&self) -> bool {
        self.was_far_off.load(Ordering::Relaxed)
    }

    /// As late as it can have been here in the course of a request that has just ended.
    pub fn latest(&self) -> Timestamp {
        let ahead = self.most_ahead_seconds.load(Ordering::Relaxed);
        Timestamp::from_unix_seconds(self.truth.now().unix_seconds() + ahead)
    }

    pub fn set_ahead(&self, seconds: i64) {
        self.ahead_seconds.store(seconds, Ordering::Relaxed);
        self.most_ahead_seconds.fetch_max(seconds, Ordering::Relaxed);
        self.was_far_off.fetch_or(seconds.abs() > 55, Ordering::Relaxed);
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead_seconds.load(Ordering::Relaxed);
        Timestamp::from_unix_seconds(self.truth.now().unix_seconds() + ahead)
    }
}

impl Link {
    pub fn new(place: Arc<Place>) -> Arc<Self> {
        let (answered, failed, is_dead) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Self { place, answered, failed, is_dead, seen: Mutex::default(), kept: Mutex::default() })
    }

    /// The node's process ends; what it sent before may still arrive.
    pub fn die(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
    }

    /// Whether a look at the feed, or a commit, that this node began at `step` or later was answered.
    pub fn was_answered_since(&self, step: Step) -> bool {
        self.answered.load(Ordering::Relaxed) > step.0
    }

    /// Whether the way was interrupted at `step` or later.
    pub fn has_failed_since(&self, step: Step) -> bool {
        self.failed.load(Ordering::Relaxed) > step.0
    }

    fn answered(&self, begun: Step) {
        self.answered.fetch_max(begun.0, Ordering::Relaxed);
    }

    /// One message, there or back.
    async fn travel(&self) -> Result<(), StoreError> {
        let travelled = self.try_to_travel().await;
        if travelled.is_err() {
            self.failed.store(self.place.truth.step().0, Ordering::Relaxed);
        }
        travelled
    }

    async fn try_to_travel(&self) -> Result<(), StoreError> {
        let truth = &self.place.truth;
        let (delay, is_lost, is_reset) = truth.draw(|dice| {
            let delay = match dice.below(100) {
                0..70 => dice.millis(0, 3),
                70..95 => dice.millis(3, 60),
                _ => dice.millis(60, 2_500),
            };
            (delay, dice.comes(self.place.lost.load(Ordering::Relaxed)), dice.comes(500))
        });
        sleep(delay).await;
        if is_lost {
            truth.count(|counts| counts.messages_lost += 1);
            if !is_reset {
                sleep(SILENCE_MAX).await;
            }
            return Err(away("the connection broke"));
        }
        let healed = timeout(SILENCE_MAX, self.place.cut.until(false)).await;
        healed.map_err(|_| away("it is silent"))
    }

    fn fate(&self) -> Fate {
        let per_mille = 4 * self.place.lost.load(Ordering::Relaxed);
        self.place.truth.draw(|dice| match dice.below(3) {
            _ if !dice.comes(per_mille) => Fate::Arrives,
            0 => Fate::Unheard,
            1 => Fate::Late(dice.millis(0, 9_000)),
            _ => Fate::Lost,
        })
    }

    fn broken(&self) -> Option<(Broken, Timestamp)> {
        self.place.broken.map(|broken| (broken, self.place.clock.now()))
    }

    /// What a node's store does with one enrollment. It goes on when whoever asked has gone.
    async fn commit(self: Arc<Self>, commit: EnrollmentCommit) -> Result<EnrollmentOutcome, StoreError> {
        let truth = Arc::clone(&self.place.truth);
        let (begun, began) = (truth.step(), Instant::now());
        let mut is_in_doubt = false;
        loop {
            let arrived = self.travel().await;
            // A process that ended has sent all that it will send.
            if self.is_dead.load(Ordering::Relaxed) && truth.draw(|dice| dice.comes(500)) {
                return Err(unknown());
            }
            match (arrived, self.fate()) {
                (Err(error), _) if !is_in_doubt => return Err(error),
                (Err(_), _) => {}
                (Ok(()), Fate::Arrives) => {
                    let outcome = match is_in_doubt {
                        true => truth.enroll_again(&commit, self.broken()),
                        false => truth.enroll(&commit, self.broken()),
                    }?;
                    match self.travel().await {
                        Ok(()) => {
                            self.answered(begun);
                            return Ok(outcome);
                        }
                        Err(_) => is_in_doubt = true,
                    }
                }
                (Ok(()), Fate::Unheard) => {
                    let _ = truth.enroll(&commit, self.broken());
                    truth.count(|counts| counts.answers_lost += 1);
                    is_in_doubt = true;
                }
                (Ok(()), Fate::Late(after)) => {
                    let (link, commit) = (Arc::clone(&self), commit.clone());
                    tokio::spawn(async move {
                        sleep(after).await;
                        let truth = &link.place.truth;
                        truth.count(|counts| counts.late_commits += 1);
                        let _ = truth.enroll(&commit, link.broken());
                    });
                    is_in_doubt = true;
                }
                (Ok(()), Fate::Lost) => is_in_doubt = true,
            }
            if began.elapsed() >= SILENCE_MAX || self.is_dead.load(Ordering::Relaxed) {
                return Err(unknown());
            }
            sleep(PAUSE).await;
        }
    }

    /// As [`Broken::AnswersBeforeCommit`].
    fn promise(self: &Arc<Self>, commit: EnrollmentCommit) -> EnrollmentOutcome {
        let truth = Arc::clone(&self.place.truth);
        let uses = truth.facts(commit.seen.key.0).map_or(0, |facts| facts.uses) + 1;
        let (after, is_forgotten) = truth.draw(|dice| (dice.millis(0, 50), dice.comes(200)));
        tokio::spawn(async move {
            sleep(after).await;
            if !is_forgotten {
                let _ = truth.enroll(&commit, None);
            }
        });
        EnrollmentOutcome::Committed { component_name: "promised".to_owned(), uses }
    }
}

impl Way for Arc<Link> {
    async fn carry<T: Send, E: From<StoreError> + Send>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let truth = &self.place.truth;
        let begun = truth.step();
        self.travel().await?;
        if self.is_dead.load(Ordering::Relaxed) {
            return Err(away("the node is gone").into());
        }
        let answer = truth.transact(answer);
        let is_change = call.starts_with("commit_changes");
        if is_change {
            truth.leave_trace(call);
            if answer.is_ok() {
                truth.settings_changed();
            }
        }
        self.travel().await.map_err(|error| if is_change { unknown() } else { error })?;
        if answer.is_ok() && call == "last_change" {
            self.answered(begun);
        }
        answer
    }

    async fn enroll(&self, _: &Arc<dyn Store>, commit: EnrollmentCommit) -> Result<EnrollmentOutcome, StoreError> {
        if self.place.broken == Some(Broken::AnswersBeforeCommit) {
            return Ok(self.promise(commit));
        }
        let answered = tokio::spawn(Arc::clone(self).commit(commit)).await;
        let outcome = answered.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        match self.place.broken {
            Some(Broken::SwapsAnswers) => Ok(self.kept.lock().unwrap().replace(outcome.clone()).unwrap_or(outcome)),
            _ => Ok(outcome),
        }
    }

    async fn last_change(&self, store: &Arc<dyn Store>) -> Result<ChangeSequence, StoreError> {
        let believed = match self.place.broken {
            Some(Broken::BelievesItself) => Duration::MAX,
            Some(Broken::LagsBehind) => LAG,
            _ => Duration::ZERO,
        };
        let seen = *self.seen.lock().unwrap();
        match seen {
            Some((at, newest)) if at.elapsed() < believed => {
                if self.place.broken == Some(Broken::LagsBehind) {
                    self.travel().await?;
                    self.answered(self.place.truth.step());
                }
                Ok(newest)
            }
            _ => {
                let newest = self.carry("last_change", store.last_change()).await?;
                *self.seen.lock().unwrap() = Some((Instant::now(), newest));
                Ok(newest)
            }
        }
    }
}

fn away(reason: &str) -> StoreError {
    StoreError::Unavailable { reason: reason.to_owned() }
}

fn unknown() -> StoreError {
    StoreError::Unknown { reason: "no answer to COMMIT".to_owned() }
}
