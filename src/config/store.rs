//! `[store]`: where the state is kept, and how commits are gathered.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::check::Checker;
use super::database_address::{self, DatabaseAddress};
use crate::store::postgres::PostgresSettings;

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

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEngine {
    /// In the data directory, one process.
    Embedded,
    /// A database that any number of nodes share.
    Postgres(PostgresSettings),
}

impl StoreEngine {
    /// As it stands in the file.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Postgres(_) => "postgres",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shape {
    engine: String,
    url: Concealed,
    url_file: String,
    ca_file: String,
    connections_max: i64,
    batch_size_max: i64,
    batch_linger_us: i64,
    queue_max: i64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            engine: "embedded".into(),
            url: Concealed(String::new()),
            url_file: String::new(),
            ca_file: String::new(),
            connections_max: 16,
            batch_size_max: 128,
            batch_linger_us: 1_000,
            queue_max: 4_096,
        }
    }
}

impl Shape {
    pub fn check(&self, checker: &mut Checker<'_>) -> Option<StoreSettings> {
        let connections_max = checker.size("store.connections_max", self.connections_max, 4..=500);
        let engine = self.check_engine(connections_max, checker);
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

    fn check_engine(&self, connections_max: Option<usize>, checker: &mut Checker<'_>) -> Option<StoreEngine> {
        match self.engine.as_str() {
            "embedded" => {
                let accepted = "nothing, as the embedded store lives in data_dir; engine = \"postgres\" uses it";
                let mut is_alone = true;
                for (key, found, is_set) in [
                    ("store.url", "an address".to_owned(), !self.url.0.is_empty()),
                    ("store.url_file", format!("{:?}", self.url_file), !self.url_file.is_empty()),
                    ("store.ca_file", format!("{:?}", self.ca_file), !self.ca_file.is_empty()),
                ] {
                    if is_set {
                        checker.refuse(key, found, accepted);
                        is_alone = false;
                    }
                }
                is_alone.then_some(StoreEngine::Embedded)
            }
            "postgres" => {
                let DatabaseAddress { url, ca_file } = self.check_address(checker)?;
                let ca_file = if self.ca_file.is_empty() { ca_file } else { Some(PathBuf::from(&self.ca_file)) };
                Some(StoreEngine::Postgres(PostgresSettings { url, ca_file, connections_max: connections_max? }))
            }
            engine => {
                checker.refuse("store.engine", format!("{engine:?}"), "\"embedded\" or \"postgres\"");
                None
            }
        }
    }

    /// None of it is repeated in a problem: it may hold a password.
    fn check_address(&self, checker: &mut Checker<'_>) -> Option<DatabaseAddress> {
        let (key, text) = match (self.url.0.as_str(), self.url_file.as_str()) {
            ("", "") => {
                let accepted = format!("{}; or store.url_file, a file that holds it", database_address::FORM);
                checker.refuse("store.url", "nothing", accepted);
                return None;
            }
            (url, "") => ("store.url", Zeroizing::new(url.to_owned())),
            ("", path) if path.contains("://") => {
                checker.refuse("store.url_file", "an address", "the path of a file that holds it");
                return None;
            }
            ("", path) => match fs::read_to_string(Path::new(path)).map(Zeroizing::new) {
                Ok(text) => ("store.url_file", text),
                Err(error) => {
                    checker.refuse("store.url_file", format!("{path:?} ({error})"), "a file that holds the address");
                    return None;
                }
            },
            (_, _) => {
                checker.refuse("store.url_file", "a file", "nothing, as store.url is set; or the other way round");
                return None;
            }
        };
        match database_address::read(text.trim_ascii()) {
            Ok(address) => Some(address),
            Err(accepted) => {
                checker.refuse(key, "an address that cannot be used", accepted);
                None
            }
        }
    }
}

/// A text that may hold a password. `Debug` does not show it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Concealed(String);

impl fmt::Debug for Concealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Concealed()" } else { "Concealed(…)" })
    }
}

impl Drop for Concealed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
