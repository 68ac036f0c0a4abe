//! CRLs: made off every request's way, kept in memory to be served.
//!
//! A look, once a second: which signing certificates have revocations that no CRL tells of ([`Store`] keeps them
//! until one does), whose CRL has reached half of its time, which ones this node has just opened, and what other nodes
//! published meanwhile (the change feed). What is due is made, one after the other; of several nodes that do it at the same
//! moment the store takes the first, and the others take over what that one made. Why so:
//! `docs/decisions/0019-crls.md`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::directory::{Directory, Signer};
use super::store_clock::StoreClock;
use crate::ca::{CRL_BACKDATING, IssueError};
use crate::clock::{Clock, Timestamp};
use crate::domain::revocation::{Crl, CrlHead, CrlNumber};
use crate::id::SigningCertificateId;
use crate::metrics::{CrlBuild, Metrics};
use crate::store::{Revocations, Store, StoreError};

/// From the end of a build to the next one of the same signing certificate: revocations that come together
/// share one.
const PAUSE_MIN: Duration = Duration::from_secs(2);

/// The same, as a multiple of how long the build took: constant revocation must not keep a core.
const PAUSE_FACTOR: u32 = 10;

/// After a build that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);

/// The newest CRL of each signing certificate, as this node knows it. Shared with the door in an `Arc`.
#[derive(Default)]
pub struct Crls {
    published: DashMap<SigningCertificateId, Crl>,
}

impl Crls {
    pub fn find(&self, id: SigningCertificateId) -> Option<Crl> {
        self.published.get(&id).map(|entry| entry.clone())
    }
}

/// What a publisher is made of; `app` fills it in.
#[derive(Clone)]
pub struct CrlParts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub store_clock: Arc<StoreClock>,
    pub directory: Arc<Directory>,
    pub metrics: Arc<Metrics>,
    /// From a CRL's making to its end.
    pub lifetime: Duration,
}

/// Makes CRLs. One for the process; its [`look`](Self::look) is called every second or so.
pub struct CrlPublisher {
    parts: CrlParts,
    crls: Arc<Crls>,
    /// To be read from the store: another node may have published one.
    stale: HashSet<SigningCertificateId>,
    /// To be made whatever the store says.
    due: HashSet<SigningCertificateId>,
    /// Not to be made before.
    paused: HashMap<SigningCertificateId, Instant>,
}

/// Why a CRL was not made.
#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error(transparent)]
    Sign(#[from] IssueError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the thread that made it has ended: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// What became of a build.
enum Built {
    Published(Crl),
    /// Another node was quicker, or the signing certificate is gone.
    Overtaken,
}

impl CrlPublisher {
    pub fn new(parts: CrlParts) -> Self {
        Self { parts, crls: Arc::default(), stale: HashSet::new(), due: HashSet::new(), paused: HashMap::new() }
    }

    pub fn crls(&self) -> Arc<Crls> {
        Arc::clone(&self.crls)
    }

    /// Takes over what others published and makes what is due. Failures are logged; what they concern stays due.
    ///
    /// Dropping the future loses nothing but the build that is under way.
    pub async fn look(&mut self) {
        if let Err(error) = self.take_over().await {
            tracing::warn!(%error, "It cannot be seen for the moment whether CRLs are due; it is tried again.");
            return;
        }
        // A CRL that begins or ends at a wrong time is refused by those who fetch it.
        if !self.parts.store_clock.difference().may_sign() {
            return;
        }
        let now = Instant::now();
        self.paused.retain(|_, until| *until > now);
        let mut waiting: Vec<_> = self.due.iter().copied().filter(|id| !self.paused.contains_key(id)).collect();
        // Those first that nobody can use any more.
        waiting.sort_by_key(|id| self.crls.published.get(id).map(|crl| crl.head.next_update));
        for id in waiting {
            self.make(id).await;
        }
    }

    /// Brings what is in memory, and what is due, up to date with feed and store.
    async fn take_over(&mut self) -> Result<(), StoreError> {
        let news = self.parts.directory.take_crl_news();
        self.due.extend(&news.opened);
        self.stale.extend(news.opened.into_iter().chain(news.published));
        for id in self.stale.iter().copied().collect::<Vec<_>>() {
            self.read(id).await?;
            self.stale.remove(&id);
        }
        let unpublished = self.parts.store.list_unpublished_revocations().await?;
        self.due.extend(unpublished.into_iter().map(|(_, id)| id));
        let now = self.parts.clock.now();
        let aged = self.crls.published.iter().filter(|crl| crl.head.renewed_at() <= now).map(|crl| *crl.key());
        self.due.extend(aged);
        Ok(())
    }

    /// Takes over the stored CRL, or forgets it with its signing certificate.
    async fn read(&mut self, id: SigningCertificateId) -> Result<(), StoreError> {
        let Some(signer) = self.parts.directory.signer(id) else {
            self.crls.published.remove(&id);
            self.due.remove(&id);
            self.parts.metrics.forget_crl(&id.to_string());
            return Ok(());
        };
        let Some(head) = self.parts.store.find_crl_head(signer.customer_id, id).await? else { return Ok(()) };
        let held = self.crls.published.get(&id).map(|crl| crl.head);
        if held == Some(head) {
            return Ok(());
        }
        if held.is_some_and(|held| held.number > head.number) {
            tracing::error!(
                signing_certificate.id = %id,
                "The store has an older CRL than this node saw; a new one is made."
            );
            self.due.insert(id);
            return Ok(());
        }
        if held.is_some() {
            // Of all that made this one due here, the other node knew as well.
            self.due.remove(&id);
        }
        if let Some(crl) = self.parts.store.find_crl(signer.customer_id, id).await? {
            self.put(crl);
        }
        Ok(())
    }

    fn put(&self, crl: Crl) {
        let head = crl.head;
        let label = head.signing_certificate_id.to_string();
        self.parts.metrics.set_crl(&label, head.next_update, head.entries);
        self.crls.published.insert(head.signing_certificate_id, crl);
    }

    async fn make(&mut self, id: SigningCertificateId) {
        let now = self.parts.clock.now();
        let Some(signer) = self.parts.directory.signer(id).filter(|signer| signer.publishes_crls(now)) else {
            self.due.remove(&id);
            return;
        };
        let begun = Instant::now();
        let floor = self.crls.published.get(&id).map(|crl| crl.head.number);
        let built = self.build(signer, id, floor, now).await;
        let took = begun.elapsed();
        let mut pause = PAUSE_MIN.max(took * PAUSE_FACTOR);
        match built {
            Ok(Built::Published(crl)) => {
                self.parts.metrics.observe_crl_build(CrlBuild::Published, took);
                let CrlHead { number, entries, .. } = crl.head;
                tracing::debug!(signing_certificate.id = %id, number = number.0, entries, "A CRL was published.");
                self.put(crl);
                self.due.remove(&id);
            }
            Ok(Built::Overtaken) => {
                self.parts.metrics.observe_crl_build(CrlBuild::Overtaken, took);
                // What is still due is found to be so again.
                self.due.remove(&id);
                self.stale.insert(id);
            }
            Err(error) => {
                self.parts.metrics.observe_crl_build(CrlBuild::Failed, took);
                pause = PAUSE_AFTER_FAILURE;
                match self.crls.find(id).map(|crl| crl.head.next_update) {
                    Some(end) if end > now => tracing::warn!(
                        signing_certificate.id = %id, %error, next_update = %end,
                        "A CRL could not be made; it is tried again, and the last one counts for so long."
                    ),
                    _ => tracing::error!(
                        signing_certificate.id = %id, %error,
                        "A CRL could not be made, and there is none that counts: whoever asks for one refuses all that \
                         it is about."
                    ),
                }
            }
        }
        self.paused.insert(id, Instant::now() + pause);
    }

    /// `floor`: a number that was published, whatever the store says.
    async fn build(
        &self,
        signer: Arc<Signer>,
        id: SigningCertificateId,
        floor: Option<CrlNumber>,
        now: Timestamp,
    ) -> Result<Built, BuildError> {
        let customer_id = signer.customer_id;
        let Revocations { previous, certificates, news } =
            self.parts.store.find_revocations(customer_id, id, now).await?;
        let head = CrlHead {
            customer_id,
            signing_certificate_id: id,
            number: CrlNumber::following(previous.map(|previous| previous.number).max(floor), now),
            this_update: begin(previous.as_ref(), now),
            next_update: now.saturating_add(self.parts.lifetime),
            entries: certificates.len() as u64,
        };
        let signed = spawn_blocking(move || {
            let issuer = signer.issuer().ok_or(IssueError::Unavailable)?;
            issuer.sign_crl(&head, &certificates)
        });
        let crl = Crl { head, der: signed.await??.into() };
        let after = previous.map(|previous| previous.number);
        let is_published = self.parts.store.publish_crl(crl.clone(), after, news).await?;
        Ok(if is_published { Built::Published(crl) } else { Built::Overtaken })
    }
}

/// When a CRL made at `now` begins: some minutes ago, for verifiers whose clock is behind, yet after the one before, so
/// that whoever asks whether there is a newer one is told.
fn begin(previous: Option<&CrlHead>, now: Timestamp) -> Timestamp {
    let after_previous = previous.map(|previous| previous.this_update.saturating_add(Duration::from_secs(1)).min(now));
    now.saturating_sub(CRL_BACKDATING).max(after_previous.unwrap_or(Timestamp::from_unix_seconds(i64::MIN)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{CustomerId, Id as _};

    #[test]
    fn a_crl_begins_minutes_ago_but_after_the_one_before() {
        let at = |seconds: i64| Timestamp::from_unix_seconds(1_800_000_000 + seconds);
        let previous = |this_update| CrlHead {
            customer_id: CustomerId::from_raw(1),
            signing_certificate_id: SigningCertificateId::from_raw(2),
            number: CrlNumber(1),
            this_update,
            next_update: at(10_000),
            entries: 0,
        };
        assert_eq!(begin(None, at(0)), at(-300));
        assert_eq!(begin(Some(&previous(at(-9_000))), at(0)), at(-300));
        assert_eq!(begin(Some(&previous(at(-300))), at(0)), at(-299), "of another node, whose clock is ahead");
        assert_eq!(begin(Some(&previous(at(5_000))), at(0)), at(0), "a clock that went back");
    }
}
