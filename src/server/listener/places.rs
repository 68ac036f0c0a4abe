//! The places of one listener: how many are taken, by whom, and who gives way when they run short.
//!
//! Places are shared out between sources ([`Shares`]). When one comes and they are nearly used up, all of them or
//! those that its source may have, connections give way whose clients have long been silent: those of the source
//! that holds most, and of these the silent for longest. So ten thousand who connect and say nothing are no
//! obstacle for a device, and a device that is merely slow is the last to suffer.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::domain::address::SourcePrefix;
use crate::server::http::silence::Silence;
use crate::server::shares::Shares;

/// A client that is silent for less is only slow.
const SILENCE_MIN: Duration = Duration::from_secs(1);

/// Places are short when no more than one in so many is free, and so many are made free at once.
const SHORT_DIVISOR: usize = 16;

/// At least between two searches for silent connections of whomever, and between two for those of one source. Each
/// looks at all that are open. Only sources at their share are searched while places are left, and these are few.
const SEARCH_EVERY: Duration = Duration::from_millis(20);

#[derive(Default)]
pub struct Places {
    open: AtomicUsize,
    all_closed: Notify,
    table: Mutex<Table>,
}

/// The open connections whose source is known.
#[derive(Default)]
struct Table {
    shares: Shares<SourcePrefix>,
    connections: HashMap<u64, (SourcePrefix, Arc<Silence>)>,
    last_number: u64,
    /// Before that there is none for those of one source; `None`: of whomever.
    next_searches: HashMap<Option<SourcePrefix>, Instant>,
}

/// What came of asking for a place for a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// To be given back with; `None`: the source has its share.
    pub number: Option<u64>,
    /// Silent connections that were closed to make room.
    pub displaced: usize,
}

impl Places {
    /// How many are taken.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Takes one, for whomever.
    pub fn take(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts a place that was taken to whom it is for, of `maximum`.
    pub fn assign(&self, source: SourcePrefix, silence: &Arc<Silence>, maximum: usize) -> Assigned {
        let free = maximum.saturating_sub(self.open() - 1);
        let mut table = self.table();
        let number = table.shares.take(source, free).then(|| table.put(source, Arc::clone(silence)));
        let most = Shares::<SourcePrefix>::most(free);
        let displaced = if is_short(free, maximum) {
            table.displace(None, maximum)
        } else if is_short(most.saturating_sub(table.shares.held(&source)), most) {
            table.displace(Some(source), most)
        } else {
            0
        };
        Assigned { number, displaced }
    }

    /// Makes room where there is none; how many silent connections were closed.
    pub fn make_room(&self, maximum: usize) -> usize {
        self.table().displace(None, maximum)
    }

    /// Gives one back; `number`: what it was assigned by.
    pub fn give_back(&self, number: Option<u64>) {
        if let Some(number) = number {
            self.table().remove(number);
        }
        if self.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            // Keeps the permit for a waiter that has only just looked at the count.
            self.all_closed.notify_one();
        }
    }

    pub async fn wait_until_free(&self) {
        loop {
            let closed = self.all_closed.notified();
            if self.open() == 0 {
                return;
            }
            closed.await;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_short(free: usize, maximum: usize) -> bool {
    free <= maximum / SHORT_DIVISOR
}

impl Table {
    fn put(&mut self, source: SourcePrefix, silence: Arc<Silence>) -> u64 {
        self.last_number += 1;
        self.connections.insert(self.last_number, (source, silence));
        self.last_number
    }

    fn remove(&mut self, number: u64) {
        if let Some((source, _)) = self.connections.remove(&number) {
            self.shares.give_back(&source);
        }
    }

    /// Closes silent connections, of one source or of all, so that a part of `maximum` will be free.
    fn displace(&mut self, only: Option<SourcePrefix>, maximum: usize) -> usize {
        let now = Instant::now();
        self.next_searches.retain(|_, next| now < *next);
        if self.next_searches.contains_key(&only) {
            return 0;
        }
        self.next_searches.insert(only, now + SEARCH_EVERY);
        let of_whom_it_may_be = |source: &SourcePrefix| only.is_none_or(|only| only == *source);
        let silent = self.connections.values().filter(|(source, _)| of_whom_it_may_be(source));
        let mut silent: Vec<_> = silent
            .filter_map(|(source, silence)| {
                let lasts = silence.lasts(now).filter(|lasts| *lasts >= SILENCE_MIN)?;
                Some((Reverse((self.shares.held(source), lasts)), silence))
            })
            .collect();
        let wanted = (maximum / SHORT_DIVISOR).max(1);
        if silent.len() > wanted {
            silent.select_nth_unstable_by_key(wanted, |(rank, _)| *rank);
            silent.truncate(wanted);
        }
        silent.into_iter().filter(|(_, silence)| silence.close(now, SILENCE_MIN)).count()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const MAXIMUM: usize = 160;

    fn source(number: u32) -> SourcePrefix {
        SourcePrefix::of(Ipv4Addr::from_bits(number).into())
    }

    /// One more connection, if there is a place, and how many others were closed for it.
    fn connect(places: &Places, number: u32) -> (Option<Arc<Silence>>, usize) {
        let silence = Arc::new(Silence::default());
        silence.is_of(tokio::spawn(std::future::pending::<()>()).abort_handle());
        places.take();
        let assigned = places.assign(source(number), &silence, MAXIMUM);
        if assigned.number.is_none() {
            places.give_back(None);
        }
        (assigned.number.map(|_| silence), assigned.displaced)
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_silent_for_longest_at_the_heaviest_source_gives_way() {
        let places = Places::default();
        let mut of_one = Vec::new();
        for _ in 0..50 {
            of_one.extend(connect(&places, 0).0);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let of_others: Vec<_> = (1..)
            .map_while(|number| {
                let is_roomy = places.open() < MAXIMUM - 1 - MAXIMUM / SHORT_DIVISOR;
                is_roomy.then(|| connect(&places, number).0.unwrap())
            })
            .collect();
        tokio::time::advance(SILENCE_MIN).await;
        of_one[0].end().await;
        of_one[1].begin();

        assert_eq!(connect(&places, 10_000).1, 0, "there is room");
        assert_eq!(connect(&places, 10_001).1, MAXIMUM / SHORT_DIVISOR);
        let is_closed = |silence: &Arc<Silence>| !silence.close(Instant::now(), Duration::ZERO);
        assert!(of_others.iter().all(|silence| !is_closed(silence)));
        let gone: Vec<_> = (2..50).filter(|place| is_closed(&of_one[*place])).collect();
        assert_eq!(gone, (2..2 + MAXIMUM / SHORT_DIVISOR).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_at_its_share_loses_its_own_silent_ones_and_nobody_elses() {
        let places = Places::default();
        let (other, _) = connect(&places, 1);
        let mut displaced = 0;
        while let (Some(_), closed) = connect(&places, 0) {
            displaced += closed;
        }
        assert_eq!(displaced, 0, "nobody was silent for long");
        tokio::time::advance(SILENCE_MIN).await;
        assert!(matches!(connect(&places, 0), (None, 1..)));
        assert_eq!(connect(&places, 0).1, 0, "not at once again");
        assert!(other.unwrap().close(Instant::now(), SILENCE_MIN), "it was not closed before");
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_for_one_source_puts_off_nobody_elses() {
        let places = Places::default();
        while [0, 1].map(|number| connect(&places, number).0.is_some()).contains(&true) {}
        tokio::time::advance(SILENCE_MIN).await;
        assert!(matches!(connect(&places, 0), (None, 1..)));
        assert!(matches!(connect(&places, 1), (None, 1..)), "it has not been searched");
        assert_eq!((connect(&places, 0).1, connect(&places, 1).1), (0, 0), "not at once again");
        assert!(places.make_room(MAXIMUM) > 0, "nor was there one for room for whomever");
        tokio::time::advance(SEARCH_EVERY).await;
        assert!(connect(&places, 0).1 > 0);
        assert_eq!(places.table().next_searches.len(), 1, "the others are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_gives_way_while_there_is_room() {
        let places = Places::default();
        for number in 0..100 {
            assert_eq!(connect(&places, number).1, 0);
            tokio::time::advance(SILENCE_MIN).await;
        }
    }
}
