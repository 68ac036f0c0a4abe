//! The master keys of a node that runs: its file, which others write, and which of them the store says seals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::master_key::{self, MasterKeyFileError};
use super::watched_files::Watched;
use crate::config::Settings;
use crate::management::sealing::{self, SealedBy, SealingError};
use crate::secret::master::{MasterKeys, header};
use crate::store::{Store, StoreError};

/// Between two attempts at what failed, if the file does not change before.
const RETRY_EVERY: Duration = Duration::from_secs(10);

/// Looked at every second: a few `stat`s; a read of what changed.
pub(super) struct FollowedMasterKeys {
    settings: Settings,
    store: Arc<dyn Store>,
    master_keys: Arc<MasterKeys>,
    state: Mutex<State>,
}

struct State {
    file: Watched,
    /// `None`: the file is in use as it was when it was looked at last.
    retry_at: Option<Instant>,
    /// [`Directory::service_changes`](crate::enrollment::Directory::service_changes) when the store's word was followed last.
    changes: Option<u64>,
    /// What was said last, so that it is not said each second.
    told: String,
}

/// Why a master key file is not taken over. What was read before stays in use, and it is tried again.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    File(#[from] MasterKeyFileError),
    #[error(
        "the line of master key {id} is gone from the file, and {values} values are sealed by it: put its line back"
    )]
    Needed { id: String, values: u64 },
    #[error("the file has another master key {id} than before: put the old line back, and give the new one another id")]
    Other { id: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FollowedMasterKeys {
    /// `file`: as it was before `master_keys` were read from it, so that no change between the two is missed.
    pub(super) fn new(settings: &Settings, file: Watched, store: Arc<dyn Store>, master_keys: Arc<MasterKeys>) -> Self {
        let state = State { file, retry_at: None, changes: None, told: String::new() };
        Self { settings: settings.clone(), store, master_keys, state: Mutex::new(state) }
    }

    /// The master key file as it is now, before it is read.
    pub(super) fn look(settings: &Settings) -> Watched {
        let mut file = Watched::default();
        file.is_changed(master_key::locate(settings).as_deref());
        file
    }

    /// Takes over a file that changed, and which key seals, if it may be another since `changes` was another count. Whether
    /// there are other keys than before.
    pub(super) async fn follow(&self, changes: u64) -> bool {
        let mut state = self.state.lock().await;
        let is_changed = state.file.is_changed(master_key::locate(&self.settings).as_deref());
        let is_due = is_changed || state.retry_at.is_some_and(|at| Instant::now() >= at);
        let mut are_new = false;
        if is_due {
            state.retry_at = None;
            match self.take_over().await {
                Ok(are_others) => are_new = are_others,
                Err(error) => {
                    state.retry_at = Some(Instant::now() + RETRY_EVERY);
                    if state.is_news(&error) {
                        tracing::warn!(%error, "The master keys stay those that were read before.");
                    }
                }
            }
        }
        if are_new || state.changes != Some(changes) {
            match sealing::follow(&*self.store, &self.master_keys).await {
                Ok(sealed_by) => {
                    state.changes = Some(changes);
                    self.tell_of_old_file(&sealed_by, &mut state);
                }
                Err(SealingError::Store(error)) => {
                    tracing::warn!(%error, "The store did not say which master key seals; it is asked again.");
                }
                Err(error) => {
                    if state.is_news(&error) {
                        tracing::error!(%error, "What this node seals is not kept until it has the master key that seals.");
                    }
                }
            }
        }
        are_new
    }

    async fn take_over(&self) -> Result<bool, FollowError> {
        let read = master_key::load(&self.settings)?;
        if read.are(&self.master_keys) {
            return Ok(false);
        }
        let ids = read.ids();
        for id in read.missing_of(&self.master_keys) {
            let values = self.store.count_sealed(&header(&id)).await?.all();
            match (ids.contains(&id), values) {
                (true, 1..) => return Err(FollowError::Other { id }),
                (false, 1..) => return Err(FollowError::Needed { id, values }),
                (_, 0) => {}
            }
        }
        tracing::info!(first = ids[0], "The master keys were read anew.");
        self.master_keys.replace_by(read);
        Ok(true)
    }

    fn tell_of_old_file(&self, sealed_by: &SealedBy, state: &mut State) {
        let first = self.master_keys.ids().swap_remove(0);
        let (true, Some(id)) = (sealed_by.is_former(&first), sealed_by.sealing()) else { return };
        if state.is_news(&format!("{first} {id}")) {
            tracing::warn!(
                first,
                id,
                "The master key file is an older one: its first line seals no more, and what this node seals is sealed by \
                 master key {id}, as the store says."
            );
        }
    }
}

impl State {
    fn is_news(&mut self, what: &impl ToString) -> bool {
        let what = what.to_string();
        std::mem::replace(&mut self.told, what.clone()) != what
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Inputs;
    use crate::management::first_start::load_secrets;
    use crate::management::reseal::reseal;
    use crate::management::tests::Fixture;

    /// A node of the fixture's store with a file of these lines.
    struct Node {
        _directory: tempfile::TempDir,
        file: std::path::PathBuf,
        master_keys: Arc<MasterKeys>,
        followed: FollowedMasterKeys,
    }

    impl Node {
        /// `between`: what happens between the file's reading and the service's first look at it.
        fn start(fixture: &Fixture, text: &str, between: impl FnOnce(&std::path::Path)) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("keys");
            fs::write(&file, text).unwrap();
            let mut settings = Inputs::default().load().unwrap().settings;
            settings.master_key.file = Some(file.clone());
            let looked = FollowedMasterKeys::look(&settings);
            let master_keys = Arc::new(master_key::load(&settings).unwrap());
            between(&file);
            let store = Arc::clone(&fixture.store);
            let followed = FollowedMasterKeys::new(&settings, looked, store, Arc::clone(&master_keys));
            Self { _directory: directory, file, master_keys, followed }
        }

        async fn reseal(&self, fixture: &Fixture) {
            let audit_key = load_secrets(&*fixture.store, &self.master_keys).await.unwrap().audit_key;
            reseal(&*fixture.store, &self.master_keys, &audit_key, &*fixture.clock).await.unwrap();
        }

        async fn retry(&self) {
            self.followed.state.lock().await.retry_at.replace(Instant::now());
        }
    }

    async fn sealed(fixture: &Fixture, id: &str) -> u64 {
        fixture.store.count_sealed(&header(id)).await.unwrap().all()
    }

    #[tokio::test]
    async fn a_file_that_changes_while_the_service_starts_is_seen() {
        let fixture = Fixture::new().await;
        let new = MasterKeys::generate_text("n");
        let old = fixture.master_key_text.clone();
        let node = Node::start(&fixture, &old, |file| fs::write(file, format!("{}{old}", *new)).unwrap());
        assert!(node.followed.follow(0).await);
        assert_eq!(node.master_keys.ids(), ["n", "m"]);
        assert!(!node.followed.follow(0).await, "it is taken over once");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_used_is_tried_again() {
        let fixture = Fixture::new().await;
        let node = Node::start(&fixture, &fixture.master_key_text, |_| ());
        let new = MasterKeys::generate_text("n");
        // Without the line that everything is sealed by, and with another of its name.
        for text in [new.to_string(), MasterKeys::generate_text("m").to_string(), "not a key".to_owned()] {
            fs::write(&node.file, text).unwrap();
            assert!(!node.followed.follow(0).await);
            assert_eq!(node.master_keys.ids(), ["m"]);
        }
        // As if what kept it from being read were over, and nobody had touched it.
        fs::write(&node.file, format!("{}{}", *new, fixture.master_key_text)).unwrap();
        node.followed.state.lock().await.file.is_changed(Some(&node.file));
        assert!(!node.followed.follow(0).await, "not before its time");
        node.retry().await;
        assert!(node.followed.follow(0).await);
        assert_eq!(node.master_keys.ids(), ["n", "m"]);
    }

    #[tokio::test]
    async fn a_node_with_an_older_file_follows_the_store_and_does_not_seal_backwards() {
        let fixture = Fixture::new().await;
        let (old, new) = (fixture.master_key_text.clone(), MasterKeys::generate_text("n"));
        let first = Node::start(&fixture, &format!("{}{old}", *new), |_| ());
        let older = Node::start(&fixture, &format!("{old}{}", *new), |_| ());
        let without = Node::start(&fixture, &old, |_| ());
        let other = Node::start(&fixture, &format!("{old}{}", *MasterKeys::generate_text("n")), |_| ());
        let all = sealed(&fixture, "m").await;
        first.reseal(&fixture).await;
        assert_eq!((sealed(&fixture, "n").await, sealed(&fixture, "m").await), (all, 0));
        assert_eq!(first.master_keys.sealing_id(), "n");

        // Whether it has heard of it or not.
        older.reseal(&fixture).await;
        assert_eq!((sealed(&fixture, "n").await, sealed(&fixture, "m").await), (all, 0));
        older.master_keys.seal_by("m");
        older.followed.follow(1).await;
        assert_eq!(older.master_keys.sealing_id(), "n");
        // These cannot, and say so.
        for (node, reason) in [(&without, "not among those here"), (&other, "not the one of this id")] {
            node.followed.follow(1).await;
            assert_eq!(node.master_keys.sealing_id(), "m");
            let told = node.followed.state.lock().await.told.clone();
            assert!(told.contains(reason), "{told}");
        }
        // The line comes: it is followed without another change in the store.
        fs::write(&without.file, format!("{old}{}", *new)).unwrap();
        assert!(without.followed.follow(1).await);
        assert_eq!(without.master_keys.sealing_id(), "n");
    }
}
