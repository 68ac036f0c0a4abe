//! Who waits for the cryptography, and who goes next.
//!
//! A handshake is the dearest thing that an unknown caller can ask for. While the node keeps up, one that
//! arrives goes straight on. Once it does not, newcomers wait here, each behind others of its source
//! ([`SourcePrefix`]), and the usher lets in a few at a time:
//!
//! - **What was let in is finished first.** The usher yields before each round, so it runs when its worker has
//!   nothing else to do, or at the worker's next look at the kernel. A round is a few handshakes, so the
//!   work that they become is as bounded as they are, however many wait.
//! - **Sources take turns**, whatever each brings, in two rounds: those that have just come, and those that were
//!   served and have more waiting. The two are served alternately, so that a lone device waits for neither the queue
//!   nor the round of those who send many (the sparse flows of FQ-CoDel, RFC 8290 §4.2), and a storm from many
//!   addresses leaves half of the work to the one that sends it from a single address.
//! - **Nobody waits for nothing.** A source whose first has waited for [`STANDING`] gets no further places, and none of
//!   those that have just come does when the first of these has: that queue is longer than is served in that time, whatever
//!   the machine. They are closed as soon as they are accepted, which is the least that a refusal can cost. Nobody
//!   waits for more than [`WAIT_MAX`].
//!
//! The queue has no bound of its own: who waits holds a place of the listener, whose places are bounded and shared.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use crate::domain::address::SourcePrefix;

/// How late the runtime gets to a new connection when the node does not keep up.
const LATE: Duration = Duration::from_millis(2);

/// A queue whose first has waited so long takes nobody more.
const STANDING: Duration = Duration::from_secs(1);

/// Whoever has waited so long is turned away: the node has become much slower since it was let wait.
pub const WAIT_MAX: Duration = Duration::from_secs(3);

/// The queue in front of one listener's handshakes.
pub struct Gate {
    queue: Mutex<Queue<oneshot::Sender<()>>>,
    /// As many as are in `queue`, to be read without its lock.
    waiting: AtomicUsize,
    arrived: Notify,
    /// Handshakes let in between two looks at what is ready.
    round_size: usize,
}

/// Why a newcomer is not let in. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Its source's queue stands.
    QueueStands,
    WaitedTooLong,
}

impl Gate {
    /// `workers`: threads that the runtime has.
    pub fn new(workers: usize) -> Self {
        Self {
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            arrived: Notify::new(),
            round_size: 2 * workers.max(1),
        }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Whether a newcomer may go straight on that the runtime got to with this delay.
    pub fn is_open(&self, delay: Duration) -> bool {
        delay < LATE && self.waiting() == 0
    }

    /// Whether one more of `source` would be let wait. Costs nothing while nobody waits.
    pub fn has_room(&self, source: SourcePrefix) -> bool {
        self.waiting() == 0 || self.queue().has_room(source, Instant::now())
    }

    /// Waits for a turn behind others of `source`. Dropped, it leaves the queue.
    ///
    /// # Errors
    /// There is none for this one.
    pub async fn wait(&self, source: SourcePrefix) -> Result<(), Turned> {
        let (turn, comes) = oneshot::channel();
        let ticket = {
            let mut queue = self.queue();
            let now = Instant::now();
            if !queue.has_room(source, now) {
                return Err(Turned::QueueStands);
            }
            let ticket = queue.push(source, now, turn);
            self.waiting.store(queue.waiting, Ordering::SeqCst);
            ticket
        };
        self.arrived.notify_one();
        let _waiting = Waiting { gate: self, source, ticket };
        match timeout(WAIT_MAX, comes).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Turned::WaitedTooLong),
        }
    }

    /// Lets in who waits, for as long as it is polled. One for each gate.
    pub async fn usher(&self) -> Infallible {
        loop {
            self.arrived.notified().await;
            while self.waiting() > 0 {
                tokio::task::yield_now().await;
                for _ in 0..self.round_size {
                    let Some(turn) = self.next() else { break };
                    // Who went away meanwhile needs none.
                    let _ = turn.send(());
                }
            }
        }
    }

    fn next(&self) -> Option<oneshot::Sender<()>> {
        let mut queue = self.queue();
        let turn = queue.pop();
        self.waiting.store(queue.waiting, Ordering::SeqCst);
        turn
    }

    fn queue(&self) -> MutexGuard<'_, Queue<oneshot::Sender<()>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one that waits out of the queue, unless its turn has come.
struct Waiting<'a> {
    gate: &'a Gate,
    source: SourcePrefix,
    ticket: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queue = self.gate.queue();
        queue.remove(self.source, self.ticket);
        self.gate.waiting.store(queue.waiting, Ordering::SeqCst);
    }
}

/// The order, without what it is for. `T` is what the one that waits is told by.
struct Queue<T> {
    /// Those of a source in order of arrival. One that has gone away to the last stays until its turn in the round.
    sources: HashMap<SourcePrefix, VecDeque<Waiter<T>>>,
    /// Sources that were not served since they came. Each of `sources` is in one of the two rounds, once.
    new: VecDeque<SourcePrefix>,
    served: VecDeque<SourcePrefix>,
    is_turn_of_served: bool,
    waiting: usize,
    last_ticket: u64,
}

struct Waiter<T> {
    /// Ascends in the queue of a source.
    ticket: u64,
    since: Instant,
    turn: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            sources: HashMap::new(),
            new: VecDeque::new(),
            served: VecDeque::new(),
            is_turn_of_served: false,
            waiting: 0,
            last_ticket: 0,
        }
    }
}

impl<T> Queue<T> {
    fn has_room(&self, source: SourcePrefix, now: Instant) -> bool {
        // One that has nobody waiting waits for those that came before it.
        let of_whom = if self.sources.contains_key(&source) { Some(&source) } else { self.new.front() };
        let first = of_whom.and_then(|source| self.sources.get(source)).and_then(VecDeque::front);
        first.is_none_or(|first| now.saturating_duration_since(first.since) < STANDING)
    }

    /// Puts one behind the others of its source; its ticket.
    fn push(&mut self, source: SourcePrefix, now: Instant, turn: T) -> u64 {
        if self.waiting == 0 {
            self.sources.clear();
            self.new.clear();
            self.served.clear();
        }
        self.last_ticket += 1;
        self.waiting += 1;
        let waiters = self.sources.entry(source).or_insert_with(|| {
            self.new.push_back(source);
            VecDeque::new()
        });
        waiters.push_back(Waiter { ticket: self.last_ticket, since: now, turn });
        self.last_ticket
    }

    /// The next; `None`: nobody waits.
    fn pop(&mut self) -> Option<T> {
        while self.waiting > 0 {
            let (first, second) = match self.is_turn_of_served {
                true => (&mut self.served, &mut self.new),
                false => (&mut self.new, &mut self.served),
            };
            let source = first.pop_front().or_else(|| second.pop_front())?;
            self.is_turn_of_served = !self.is_turn_of_served;
            let waiters = self.sources.get_mut(&source)?;
            let waiter = waiters.pop_front();
            if waiters.is_empty() {
                self.sources.remove(&source);
            } else {
                self.served.push_back(source);
            }
            if let Some(waiter) = waiter {
                self.waiting -= 1;
                return Some(waiter.turn);
            }
        }
        None
    }

    /// Takes out one that went away; nothing when its turn has come before.
    fn remove(&mut self, source: SourcePrefix, ticket: u64) {
        let Some(waiters) = self.sources.get_mut(&source) else { return };
        if let Ok(place) = waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
            waiters.remove(place);
            self.waiting -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
