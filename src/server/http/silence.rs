//! Since when a connection waits for its client.
//!
//! Kept by the connection, read by whoever looks for one that can give way. A connection that is at work, or whose
//! client waits for us, is never closed for others: which of the two it is, one atomic decides.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

const AT_WORK: u64 = 0;
const CLOSED: u64 = u64::MAX;

/// Of one connection, silent from the beginning.
pub struct Silence {
    opened: Instant,
    /// Milliseconds after `opened`, one more than they are; or [`AT_WORK`], or [`CLOSED`].
    since: AtomicU64,
    /// Ends the connection's task.
    task: OnceLock<AbortHandle>,
}

impl Silence {
    pub fn new(opened: Instant) -> Self {
        Self { opened, since: AtomicU64::new(1), task: OnceLock::new() }
    }

    /// What ends the connection. Until then it cannot be closed.
    pub fn is_of(&self, task: AbortHandle) {
        // Said once, when the task has been made.
        let _ = self.task.set(task);
    }

    /// From now on the connection waits for its client.
    pub fn begin(&self) {
        let since = self.milliseconds(Instant::now()) + 1;
        if self.since.swap(since, Ordering::AcqRel) == CLOSED {
            self.since.store(CLOSED, Ordering::Release);
        }
    }

    /// From now on it does not. Never returns when the connection has been closed for others before: its task ends
    /// here.
    pub async fn end(&self) {
        if self.since.swap(AT_WORK, Ordering::AcqRel) == CLOSED {
            self.since.store(CLOSED, Ordering::Release);
            std::future::pending::<()>().await;
        }
    }

    /// For how long the connection has waited; `None`: it does not.
    pub fn lasts(&self, now: Instant) -> Option<Duration> {
        let since = self.since.load(Ordering::Acquire);
        let is_silent = since != AT_WORK && since != CLOSED && self.task.get().is_some();
        is_silent.then(|| Duration::from_millis((self.milliseconds(now) + 1).saturating_sub(since)))
    }

    /// Closes the connection if it has still waited for so long at least. `false`: it was heard of meanwhile.
    pub fn close(&self, now: Instant, at_least: Duration) -> bool {
        let since = self.since.load(Ordering::Acquire);
        if self.lasts(now).is_none_or(|lasts| lasts < at_least) {
            return false;
        }
        let is_closed = self.since.compare_exchange(since, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if let Some(task) = self.task.get().filter(|_| is_closed) {
            task.abort();
        }
        is_closed
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.opened).as_millis()).unwrap_or(CLOSED / 2)
    }
}

/// For a request that came by no connection.
impl Default for Silence {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl fmt::Debug for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Silence").field(&self.lasts(Instant::now())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn silence() -> (Silence, tokio::task::JoinHandle<()>) {
        let silence = Silence::new(Instant::now());
        let task = tokio::spawn(std::future::pending());
        silence.is_of(task.abort_handle());
        (silence, task)
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_been_silent_for_long_can_be_closed() {
        let (silence, task) = silence();
        tokio::time::advance(SECOND).await;
        assert_eq!(silence.lasts(Instant::now()), Some(SECOND));
        assert!(!silence.close(Instant::now(), 2 * SECOND));
        assert!(silence.close(Instant::now(), SECOND));
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(silence.lasts(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_at_work_cannot() {
        let (silence, _task) = silence();
        tokio::time::advance(SECOND).await;
        silence.end().await;
        assert_eq!(silence.lasts(Instant::now()), None);
        assert!(!silence.close(Instant::now(), Duration::ZERO));
        silence.begin();
        assert_eq!(silence.lasts(Instant::now()), Some(Duration::ZERO));
        assert!(silence.close(Instant::now(), Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_closed_does_not_go_on() {
        let (silence, _task) = silence();
        assert!(silence.close(Instant::now(), Duration::ZERO));
        silence.begin();
        assert!(tokio::time::timeout(SECOND, silence.end()).await.is_err());
        assert!(!silence.close(Instant::now(), Duration::ZERO), "closed once");
    }
}
