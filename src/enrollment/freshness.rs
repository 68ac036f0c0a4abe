//! Whether memory is as new as the store, asked by however many at a time with one check.
//!
//! A check brings memory up to what was committed before it began. Whoever asks needs one that begins
//! after they came: the one that is under way may have looked before. So at most one check runs, and at
//! most one more is due, for all who came meanwhile. Checks run in a task of their own: whoever stops
//! waiting takes nothing away from the others.
//!
//! What it deliberately does not do: end a check. A store says by itself that it is away; until it does,
//! whoever may not wait goes without.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::store::StoreError;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// How long a device waits for a check, or for another look at the store that says who it is. A store that takes longer
/// counts as away.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How long memory is taken at its word while the store is away.
const BELIEVED: Duration = Duration::from_secs(5);

/// What there is in memory of a store.
pub(super) trait Memory: Send + Sync + 'static {
    /// Takes over everything that was committed before the call.
    fn catch_up(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// When memory was last found to be current, and who waits for the next time.
pub(super) struct Freshness {
    shared: Arc<Shared>,
}

/// Not a `watch`: that wakes those who wait in an order by chance, and the simulation repeats a run by its seed.
struct Shared {
    checks: Mutex<Checks>,
    /// Tells all who wait that one has ended.
    ended: Notify,
}

/// Checks are numbered from 1 in the order in which they begin; each ends before the next one begins.
struct Checks {
    /// The number of the last one that began. It is under way while `ended` is behind.
    begun: u64,
    ended: u64,
    /// Whether anybody came since it began.
    is_next_due: bool,
    /// Of the last one that succeeded: its number, and when it began.
    confirmed: Option<(u64, Instant)>,
    /// How the last one ended.
    result: Result<(), StoreError>,
}

impl Freshness {
    pub(super) fn new() -> Self {
        let checks = Checks { begun: 0, ended: 0, is_next_due: false, confirmed: None, result: Ok(()) };
        Self { shared: Arc::new(Shared { checks: Mutex::new(checks), ended: Notify::new() }) }
    }

    /// Waits until a check that began after this call has ended.
    ///
    /// # Errors
    /// The store's: the check failed.
    pub(super) async fn confirm<M: Memory>(&self, memory: &Arc<M>) -> Result<(), StoreError> {
        let (awaited, is_idle) = self.shared.checks().ask();
        if is_idle {
            tokio::spawn(run(Arc::clone(&self.shared), Arc::clone(memory)));
        }
        loop {
            let ended = self.shared.ended.notified();
            if let Some(result) = self.shared.checks().result_of(awaited) {
                return result;
            }
            ended.await;
        }
    }

    /// As [`Self::confirm`], for whoever waits in the name of a device.
    ///
    /// # Errors
    /// The store's; [`StoreError::Unavailable`] also when it was silent for [`PATIENCE`].
    pub(super) async fn confirm_in_time<M: Memory>(&self, memory: &Arc<M>) -> Result<(), StoreError> {
        in_time(PATIENCE, self.confirm(memory)).await
    }

    /// As [`Self::confirm_in_time`], but where the store is away a check that began less than
    /// [`BELIEVED`] ago is enough.
    ///
    /// # Errors
    /// The store's, when the last confirmation is older: memory proves nothing.
    pub(super) async fn confirm_or_believe<M: Memory>(&self, memory: &Arc<M>) -> Result<(), StoreError> {
        let confirmed = self.confirm_in_time(memory).await;
        let is_believed = self.shared.checks().confirmed.is_some_and(|(_, began)| began.elapsed() < BELIEVED);
        if is_believed { Ok(()) } else { confirmed }
    }
}

impl Shared {
    /// No code of others runs under this lock, so a poisoned one still holds whole numbers.
    fn checks(&self) -> MutexGuard<'_, Checks> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checks {
    /// The number of the check that whoever comes now waits for, and whether it has just begun: then it is to be run.
    fn ask(&mut self) -> (u64, bool) {
        let awaited = self.begun + 1;
        let is_idle = self.begun == self.ended;
        if is_idle {
            self.begun = awaited;
        } else {
            self.is_next_due = true;
        }
        (awaited, is_idle)
    }

    /// What whoever waits for this check is told; `None`: it has not ended.
    fn result_of(&self, awaited: u64) -> Option<Result<(), StoreError>> {
        match self.confirmed {
            _ if self.ended < awaited => None,
            Some((number, _)) if number >= awaited => Some(Ok(())),
            _ => Some(self.result.clone()),
        }
    }

    /// Notes how the one under way ended, and begins the next one if it is due.
    fn end(&mut self, began: Instant, result: Result<(), StoreError>) -> bool {
        self.ended = self.begun;
        if result.is_ok() {
            self.confirmed = Some((self.ended, began));
        }
        self.result = result;
        let goes_on = std::mem::take(&mut self.is_next_due);
        self.begun += u64::from(goes_on);
        goes_on
    }
}

/// What comes of `work`, which is dropped when it takes longer than `limit`.
///
/// # Errors
/// Those of `work`; [`StoreError::Unavailable`] when it took too long.
pub(super) async fn in_time<T, E: From<StoreError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Unavailable { reason: format!("no answer within {} s", limit.as_secs()) }.into()),
    }
}

/// The check that has begun, and one more as long as any is due.
async fn run<M: Memory>(shared: Arc<Shared>, memory: Arc<M>) {
    let mut goes_on = true;
    while goes_on {
        let began = Instant::now();
        let memory = Arc::clone(&memory);
        // Apart, so that one that panics has failed, and not taken all later ones with it.
        let checked = tokio::spawn(async move { memory.catch_up().await }).await;
        let result = checked.unwrap_or_else(|broken| Err(StoreError::Unavailable { reason: broken.to_string() }));
        goes_on = shared.checks().end(began, result);
        shared.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;
    use tokio::task::yield_now;

    use super::*;

    /// A store that answers as often as it is let.
    struct Scripted {
        begun: AtomicUsize,
        answers: Semaphore,
        /// The numbers of the checks that fail, and of the one that panics.
        failing: Vec<usize>,
        panicking: usize,
    }

    impl Scripted {
        fn failing(failing: &[usize]) -> Arc<Self> {
            let (begun, answers) = (AtomicUsize::new(0), Semaphore::new(0));
            Arc::new(Self { begun, answers, failing: failing.to_vec(), panicking: 0 })
        }

        fn well() -> Arc<Self> {
            Self::failing(&[])
        }

        fn begun(&self) -> usize {
            self.begun.load(Ordering::SeqCst)
        }

        /// Until so many checks have begun.
        async fn reaches(&self, begun: usize) {
            while self.begun() < begun {
                yield_now().await;
            }
        }
    }

    impl Memory for Scripted {
        async fn catch_up(&self) -> Result<(), StoreError> {
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            self.answers.acquire().await.unwrap().forget();
            assert_ne!(number, self.panicking, "as the test asked");
            match self.failing.contains(&number) {
                true => Err(StoreError::Unavailable { reason: format!("check {number}") }),
                false => Ok(()),
            }
        }
    }

    /// Asks now, and waits in a task.
    async fn asked(
        freshness: &Arc<Freshness>,
        memory: &Arc<Scripted>,
    ) -> tokio::task::JoinHandle<Result<(), StoreError>> {
        let (freshness, memory) = (Arc::clone(freshness), Arc::clone(memory));
        let asking = tokio::spawn(async move { freshness.confirm(&memory).await });
        yield_now().await;
        asking
    }

    #[tokio::test]
    async fn however_many_ask_one_check_runs_and_one_follows() {
        let (freshness, memory) = (Arc::new(Freshness::new()), Scripted::well());
        let mut asking = vec![asked(&freshness, &memory).await];
        memory.reaches(1).await;
        for _ in 1..1_000 {
            asking.push(asked(&freshness, &memory).await);
        }
        assert_eq!(memory.begun(), 1, "the next begins when this one has ended");
        memory.answers.add_permits(10);
        for asking in asking {
            asking.await.unwrap().unwrap();
        }
        assert_eq!(memory.begun(), 2);
    }

    #[tokio::test]
    async fn who_comes_during_a_check_waits_for_the_next() {
        let (freshness, memory) = (Arc::new(Freshness::new()), Scripted::well());
        let first = asked(&freshness, &memory).await;
        memory.reaches(1).await;
        let second = asked(&freshness, &memory).await;
        memory.answers.add_permits(1);
        first.await.unwrap().unwrap();
        memory.reaches(2).await;
        assert!(!second.is_finished(), "the first may have looked before it came");
        memory.answers.add_permits(1);
        second.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_nothing_from_the_others() {
        let (freshness, memory) = (Arc::new(Freshness::new()), Scripted::well());
        let first = asked(&freshness, &memory).await;
        memory.reaches(1).await;
        let (dropped, second) = (asked(&freshness, &memory).await, asked(&freshness, &memory).await);
        first.abort();
        dropped.abort();
        memory.answers.add_permits(2);
        second.await.unwrap().unwrap();
        assert_eq!(memory.begun(), 2);

        // With nobody left, what has begun ends, and the next one to come is served.
        let alone = asked(&freshness, &memory).await;
        memory.reaches(3).await;
        alone.abort();
        memory.answers.add_permits(2);
        freshness.confirm(&memory).await.unwrap();
    }

    #[tokio::test]
    async fn each_is_told_of_the_check_that_it_waited_for() {
        let (freshness, memory) = (Arc::new(Freshness::new()), Scripted::failing(&[1, 3]));
        let first = asked(&freshness, &memory).await;
        memory.reaches(1).await;
        let second = asked(&freshness, &memory).await;
        memory.answers.add_permits(3);
        assert_eq!(first.await.unwrap().unwrap_err().to_string(), "the store is not available: check 1");
        second.await.unwrap().unwrap();
        assert!(freshness.confirm(&memory).await.is_err());
    }

    #[tokio::test]
    async fn a_check_that_panics_has_failed_and_the_next_one_is_made() {
        let memory = Arc::new(Scripted { panicking: 1, ..Arc::into_inner(Scripted::well()).unwrap() });
        let freshness = Freshness::new();
        memory.answers.add_permits(2);
        assert!(freshness.confirm(&memory).await.is_err());
        freshness.confirm(&memory).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_silent_or_away_leaves_memory_believed_for_five_seconds() {
        let (freshness, memory) = (Freshness::new(), Scripted::well());
        memory.answers.add_permits(1);
        freshness.confirm_or_believe(&memory).await.unwrap();

        // Silent: whoever comes waits for two seconds, and then until memory is too old.
        let began = Instant::now();
        freshness.confirm_or_believe(&memory).await.unwrap();
        assert_eq!(began.elapsed(), PATIENCE);
        assert!(freshness.confirm_in_time(&memory).await.is_err(), "where memory is no answer at all");
        assert_eq!(began.elapsed(), 2 * PATIENCE);
        let error = freshness.confirm_or_believe(&memory).await.unwrap_err();
        assert_eq!(error.to_string(), "the store is not available: no answer within 2 s");
        assert_eq!((began.elapsed(), memory.begun()), (3 * PATIENCE, 2), "all of them waited for one look");

        // It answers again: no restart is needed.
        memory.answers.add_permits(2);
        freshness.confirm_or_believe(&memory).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_as_old_as_the_beginning_of_its_check() {
        let (freshness, memory) = (Freshness::new(), Scripted::failing(&[2, 3]));
        let mut slow = pin!(freshness.confirm_in_time(&memory));
        tokio::select! {
            biased;
            _ = &mut slow => panic!("it has no answer yet"),
            () = tokio::time::sleep(Duration::from_secs(1)) => memory.answers.add_permits(3),
        }
        slow.await.unwrap();
        tokio::time::advance(BELIEVED - Duration::from_millis(1_001)).await;
        freshness.confirm_or_believe(&memory).await.expect("4.999 s old");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(freshness.confirm_or_believe(&memory).await.is_err(), "5 s old");
    }
}
