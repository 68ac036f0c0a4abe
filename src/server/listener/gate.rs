//! Who waits for the cryptography, and who goes next.
//!
//! A handshake is the dearest thing that an unknown caller can ask for. While the node keeps up, one that
//! arrives goes straight on. Once it does not, newcomers wait here, each behind others of its source
//! ([`SourcePrefix`]), and the usher lets in a few at a time:
//!
//! - **What was let in is finished first.** Before each round the usher lets its worker look at the kernel, and goes
//!   behind all that this look made ready. A round is a few handshakes, so what a step of an enrollment waits for is
//!   as bounded as they are, however many wait.
//! - **Who is nobody makes less of a queue.** Handshakes come two at a time for each processor, as commits are cheaper in
//!   company. While most connections begin with a 401 or 429, which no commit follows, they come one at a time, and the
//!   usher gives way to the store's thread, too, which on a single processor would wait for a slice of time.
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
use std::future::poll_fn;
use std::mem;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use crate::domain::address::SourcePrefix;
use crate::sync::{AtomicU32, AtomicUsize, Mutex, MutexGuard, PoisonError};

/// How late the runtime gets to what is ready when the node does not keep up.
const LATE: Duration = Duration::from_millis(2);

/// A queue whose first has waited so long takes nobody more.
const STANDING: Duration = Duration::from_millis(500);

/// Whoever has waited so long is turned away: the node has become much slower since it was let wait.
pub const WAIT_MAX: Duration = Duration::from_secs(3);

/// The queue in front of one listener's handshakes.
pub struct Gate {
    queue: Mutex<Queue<oneshot::Sender<()>>>,
    /// As many as are in `queue`, to be read without its lock.
    waiting: AtomicUsize,
    arrived: Notify,
    workers: usize,
    /// How many of the latest answers said that nobody knows the caller, of [`ALL`].
    unknown: AtomicU32,
}

/// A share of one, as [`Gate::unknown`] counts.
const ALL: u32 = 1 << 16;

/// Of how many answers the share is, about.
const LATEST: u32 = 64;

/// Why a newcomer is not let in. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Its source's queue stands.
    QueueStands,
    WaitedTooLong,
}

impl Gate {
    /// `workers`: threads that the runtime has for tasks.
    pub fn new(workers: usize) -> Self {
        Self {
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            arrived: Notify::new(),
            workers: workers.max(1),
            unknown: AtomicU32::new(0),
        }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Whether a newcomer may go straight on whose ClientHello was read just now.
    ///
    /// One that spoke as soon as it was accepted has shown by that how late the runtime is. Who took longer may have been
    /// silent itself, so it goes behind what is ready: all who speak at the same moment are in front of it or with it.
    pub async fn is_open(&self, accepted_at: Instant) -> bool {
        self.waiting() == 0 && (accepted_at.elapsed() < LATE || keeps_up().await && self.waiting() == 0)
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

    /// Notes the first answer to one that was let in. Of two at once one may be lost.
    pub fn note_answer(&self, caller_is_unknown: bool) {
        let share = self.unknown.load(Ordering::Relaxed);
        let latest = if caller_is_unknown { ALL / LATEST } else { 0 };
        self.unknown.store(share - share / LATEST + latest, Ordering::Relaxed);
    }

    /// Lets in who waits, for as long as it is polled. One for each gate.
    pub async fn usher(&self) -> Infallible {
        loop {
            self.arrived.notified().await;
            while self.waiting() > 0 {
                tokio::task::yield_now().await;
                behind_what_is_ready().await;
                let is_flooded = self.is_flooded();
                if is_flooded {
                    thread::yield_now();
                }
                for _ in 0..if is_flooded { self.workers } else { 2 * self.workers } {
                    let Some(turn) = self.next() else { break };
                    // Who went away meanwhile needs none.
                    let _ = turn.send(());
                }
            }
        }
    }

    /// Whether most of those who were let in lately are nobody.
    fn is_flooded(&self) -> bool {
        self.unknown.load(Ordering::Relaxed) > ALL / 2
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

/// Whether the runtime gets to what is ready now before it is [`LATE`].
async fn keeps_up() -> bool {
    let asked_at = Instant::now();
    behind_what_is_ready().await;
    asked_at.elapsed() < LATE
}

/// Goes to the end of the runtime's queue. Whom a look at the kernel wakes, this task among them, stands there in the order
/// of waking, but the last one in front of all; who wakes itself stands last.
async fn behind_what_is_ready() {
    let mut is_behind = false;
    poll_fn(|context| {
        if mem::replace(&mut is_behind, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Sources beyond twice those that wait, of which nobody waits any more, before they are looked for.
const GONE_MAX: usize = 64;

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
    /// Those of a source in order of arrival. One that has gone away to the last may stay until it is first in its round.
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
        let first_of = |source| self.sources.get(source).and_then(VecDeque::front);
        let first = first_of(&source).or_else(|| self.new.front().and_then(first_of));
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
        let (first, second) = match self.is_turn_of_served {
            true => (&mut self.served, &mut self.new),
            false => (&mut self.new, &mut self.served),
        };
        let source = first.pop_front().or_else(|| second.pop_front())?;
        self.is_turn_of_served = !self.is_turn_of_served;
        let waiters = self.sources.get_mut(&source)?;
        let waiter = waiters.pop_front()?;
        self.waiting -= 1;
        if waiters.is_empty() {
            self.sources.remove(&source);
        } else {
            self.served.push_back(source);
        }
        self.forget_the_gone();
        Some(waiter.turn)
    }

    /// Takes out one that went away; nothing when its turn has come before.
    fn remove(&mut self, source: SourcePrefix, ticket: u64) {
        let Some(waiters) = self.sources.get_mut(&source) else { return };
        if let Ok(place) = waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
            waiters.remove(place);
            self.waiting -= 1;
            self.forget_the_gone();
        }
    }

    /// The first source of each round has somebody who waits, so that the gone cost nobody a turn and hide nobody's wait;
    /// and there are not many more sources than waiters.
    fn forget_the_gone(&mut self) {
        let Self { sources, new, served, waiting, .. } = self;
        let has_gone = |sources: &HashMap<SourcePrefix, VecDeque<Waiter<T>>>, source: &SourcePrefix| {
            sources.get(source).is_none_or(VecDeque::is_empty)
        };
        for round in [new, served] {
            while let Some(source) = round.front().copied().filter(|source| has_gone(sources, source)) {
                round.pop_front();
                sources.remove(&source);
            }
            if sources.len() > 2 * *waiting + GONE_MAX {
                round.retain(|source| !has_gone(sources, source));
            }
        }
        if sources.len() > 2 * *waiting + GONE_MAX {
            sources.retain(|_, waiters| !waiters.is_empty());
        }
    }
}

#[cfg(test)]
mod tests;
