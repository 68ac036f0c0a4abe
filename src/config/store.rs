//! `[store]`: where the state is kept, and how commits are gathered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::Checker;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    pub engine: StoreEngine,
    /// Most enrollments that one durable transaction takes.
    pub batch_size_max: usize,
    /// How long the writer waits for company once it has one enrollment to commit.
    pub batch_linger: Duration,
    /// Enrollments waiting for the writer; what comes on top is answered `overloaded`.
    pub queue_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreEngine {
    /// In the data directory, one process.
    Embedded,
}

impl StoreEngine {
    /// As it stands in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shape {
    engine: String,
    url: String,
    batch_size_max: i64,
    batch_linger_us: i64,
    queue_max: i64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            engine: "embedded".into(),
            url: String::new(),
            batch_size_max: 128,
            batch_linger_us: 1_000,
            queue_max: 4_096,
        }
    }
}

impl Shape {
    pub fn check(&self, checker: &mut Checker<'_>) -> Option<StoreSettings> {
        let engine = self.check_engine(checker);
        let batch_size_max = checker.size("store.batch_size_max", self.batch_size_max, 1..=4_096);
        let batch_linger_us = checker.number("store.batch_linger_us", self.batch_linger_us, 0..=100_000);
        let queue_max = checker.size("store.queue_max", self.queue_max, 1..=1_000_000);
        Some(StoreSettings {
            engine: engine?,
            batch_size_max: batch_size_max?,
            batch_linger: Duration::from_micros(batch_linger_us?.into()),
            queue_max: queue_max?,
        })
    }

    fn check_engine(&self, checker: &mut Checker<'_>) -> Option<StoreEngine> {
        match self.engine.as_str() {
            "embedded" if self.url.is_empty() => Some(StoreEngine::Embedded),
            "embedded" => {
                // The address may hold a password, so it is not repeated.
                checker.refuse("store.url", "an address", "nothing, as the embedded store lives in data_dir");
                None
            }
            "postgres" => {
                let accepted = "\"embedded\"; this build has only the embedded store";
                checker.refuse("store.engine", "\"postgres\"", accepted);
                None
            }
            engine => {
                checker.refuse("store.engine", format!("{engine:?}"), "\"embedded\" or \"postgres\"");
                None
            }
        }
    }
}
