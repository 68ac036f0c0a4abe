//! A store that is away or silent when a test wants it, and whose calls fail one at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use muster::store::{Store, StoreError};
use tokio::sync::watch;

use super::store_behind::{StoreBehind, Way};

/// How the store is, to one of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Away,
    Silent,
    Well,
}

/// What a single call comes to that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its queue is full; nothing is done.
    Overloaded,
    /// Nothing is done.
    Unavailable,
    /// It is done, and the answer gets lost.
    UnknownDone,
    /// It is not, and nobody knows.
    UnknownLost,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::Overloaded, Self::Unavailable, Self::UnknownDone, Self::UnknownLost];

    fn error(self) -> StoreError {
        let reason = "on purpose".to_owned();
        match self {
            Self::Overloaded => StoreError::Overloaded { waiting: 4_096 },
            Self::Unavailable => StoreError::Unavailable { reason },
            Self::UnknownDone | Self::UnknownLost => StoreError::Unknown { reason },
        }
    }
}

/// One node's way to a store with moods.
pub type SharedStore = StoreBehind<Moody>;

pub struct Moody {
    is_shared: bool,
    mood: watch::Sender<Mood>,
    calls: Mutex<HashMap<&'static str, usize>>,
    /// So many calls go well before one that does not.
    fault: Mutex<Option<(usize, Fault)>>,
}

impl SharedStore {
    /// To one that other nodes may write to.
    pub fn well(inner: Arc<dyn Store>) -> Arc<Self> {
        Self::to(inner, true)
    }

    /// `is_shared`: whether other nodes may write to the store.
    pub fn to(inner: Arc<dyn Store>, is_shared: bool) -> Arc<Self> {
        let mood = watch::Sender::new(Mood::Well);
        Self::new(inner, Moody { is_shared, mood, calls: Mutex::default(), fault: Mutex::default() })
    }

    pub fn turn(&self, mood: Mood) {
        self.way().mood.send_replace(mood);
    }

    /// How often the node looked how far the change feed is.
    pub fn looks(&self) -> usize {
        self.calls("last_change")
    }

    /// How often the node called this method.
    pub fn calls(&self, call: &str) -> usize {
        self.way().calls.lock().unwrap().get(call).copied().unwrap_or_default()
    }

    /// The call after so many more fails, once.
    pub fn fail_after(&self, calls: usize, fault: Fault) {
        *self.way().fault.lock().unwrap() = Some((calls, fault));
    }

    /// Whether it did; else it will not any more.
    pub fn has_failed(&self) -> bool {
        self.way().fault.lock().unwrap().take().is_none()
    }
}

impl Moody {
    /// What goes wrong with this call, if something does.
    fn next_fault(&self) -> Option<Fault> {
        let mut fault = self.fault.lock().unwrap();
        match fault.take() {
            Some((0, now)) => Some(now),
            later => {
                *fault = later.map(|(calls, fault)| (calls - 1, fault));
                None
            }
        }
    }
}

impl Way for Moody {
    fn is_shared(&self) -> bool {
        self.is_shared
    }

    async fn carry<T: Send, E: From<StoreError> + Send>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        *self.calls.lock().unwrap().entry(call).or_default() += 1;
        let mut mood = self.mood.subscribe();
        let mood = *mood.wait_for(|mood| *mood != Mood::Silent).await.expect("its sender is this one's");
        if mood == Mood::Away {
            return Err(StoreError::Unavailable { reason: "on purpose".to_owned() }.into());
        }
        match self.next_fault() {
            None => answer.await,
            Some(fault) => {
                if fault == Fault::UnknownDone {
                    answer.await?;
                }
                Err(fault.error().into())
            }
        }
    }
}
