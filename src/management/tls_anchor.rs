//! The TLS trust anchor: the CA above this service's own TLS certificates, and its roll.
//!
//! A roll has two steps ([`RollStep`]), and between them as much time as devices need. Each is one transaction, bound
//! to what was read, so that of two at once one happens. The old private key is gone with the first step: it has
//! signed the last that it ever will.
//!
//! The functions take the store itself, for a command that works on a service which does not run; [`Management`]'s
//! methods are for those who must be allowed to.

use std::fmt;

use serde_json::json;

use super::customers::require_owner;
use super::first_start::{LoadSecretsError, open_of, sealed};
use super::{CommitError, Error, Management, Object};
use crate::ca::{CertificateDescription, EndpointAnchor, EndpointAnchorParts, certificate_pem};
use crate::clock::Timestamp;
use crate::domain::Actor;
use crate::domain::audit::{AuditEvent, AuditKey};
use crate::domain::places::{self, RecordPlace};
use crate::id::CustomerId;
use crate::secret::master::MasterKeys;
use crate::store::{BrokenRule, Change, SealedSecret, Store, StoreError};

/// One step of a roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollStep {
    /// Makes a new anchor, vouched for by the present one, which is shown beside it from now on.
    Roll,
    /// Lets go of the anchor before the present one.
    Finish,
}

/// The anchor as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsAnchor {
    pub current: AnchorFacts,
    /// The one before, while it is rolled.
    pub previous: Option<AnchorFacts>,
}

/// One CA certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorFacts {
    pub common_name: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// SHA-256 of the SubjectPublicKeyInfo, 64 lower-case hex digits: what key strings pin.
    pub public_key_sha256: String,
    /// One block.
    pub pem: String,
}

/// All that the store has of the anchor, from one read.
struct SealedAnchor(Vec<SealedSecret>);

impl SealedAnchor {
    async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self(store.list_secrets(places::ENDPOINT_ANCHOR).await?))
    }

    fn open(&self, master_keys: &MasterKeys) -> Result<EndpointAnchor, LoadSecretsError> {
        let open = |place: RecordPlace| open_of(&self.0, &place, master_keys);
        let (certificate, private_key) =
            (open(places::endpoint_anchor_certificate())?, open(places::endpoint_anchor_key())?);
        let previous = if self.is_rolling() {
            Some((open(places::endpoint_anchor_cross())?, open(places::previous_endpoint_anchor())?))
        } else {
            None
        };
        let previous = previous.as_ref().map(|(cross, previous)| (&***cross, &***previous));
        Ok(EndpointAnchor::new(&EndpointAnchorParts {
            certificate: &certificate,
            private_key: &private_key,
            previous,
        })?)
    }

    fn facts(&self, master_keys: &MasterKeys) -> Result<TlsAnchor, Error> {
        let facts = |place: RecordPlace| {
            let der = open_of(&self.0, &place, master_keys).map_err(|error| unusable(&error))?;
            AnchorFacts::read(&der)
        };
        let previous = self.is_rolling().then(|| facts(places::previous_endpoint_anchor())).transpose()?;
        Ok(TlsAnchor { current: facts(places::endpoint_anchor_certificate())?, previous })
    }

    fn is_rolling(&self) -> bool {
        self.find(&places::previous_endpoint_anchor()).is_some()
    }

    fn find(&self, place: &RecordPlace) -> Option<&SealedSecret> {
        self.0.iter().find(|secret| secret.name == place.record())
    }

    /// What takes the place of the value that was read; the first one there, if there was none.
    fn replace(&self, place: &RecordPlace, plain: &[u8], master_keys: &MasterKeys) -> Change {
        let secret = sealed(place, plain, master_keys);
        match self.find(place) {
            Some(before) => Change::ReplaceSecret { secret, before: before.sealed.clone() },
            None => Change::PutSecret(secret),
        }
    }
}

impl AnchorFacts {
    fn read(der: &[u8]) -> Result<Self, Error> {
        let CertificateDescription { facts, public_key_sha256, .. } =
            CertificateDescription::read(der).ok_or_else(|| unusable(&"it is no certificate"))?;
        let (not_before, not_after) = (facts.not_before, facts.not_after);
        let pem = certificate_pem(der);
        Ok(Self { common_name: facts.common_name, not_before, not_after, public_key_sha256, pem })
    }
}

/// The anchor, ready to sign, as the store has it now.
///
/// # Errors
/// [`LoadSecretsError`].
pub async fn load_anchor(store: &dyn Store, master_keys: &MasterKeys) -> Result<EndpointAnchor, LoadSecretsError> {
    SealedAnchor::load(store).await?.open(master_keys)
}

/// The anchor, and the one before it while it is rolled.
///
/// # Errors
/// Outages; [`Error::Internal`] when the master key does not open it.
pub async fn show(store: &dyn Store, master_keys: &MasterKeys) -> Result<TlsAnchor, Error> {
    SealedAnchor::load(store).await?.facts(master_keys)
}

/// Takes a step of a roll.
///
/// # Errors
/// [`Error::AnchorRoll`] when it is not the next one; [`Error::Contended`] when somebody was quicker; outages.
pub async fn take_step(
    store: &dyn Store,
    master_keys: &MasterKeys,
    audit_key: &AuditKey,
    by: (&Actor, Timestamp),
    step: RollStep,
) -> Result<TlsAnchor, Error> {
    let prepared = prepare(store, master_keys, by, step).await?;
    store.commit_changes(prepared.changes, prepared.audit, audit_key).await.map_err(overtaken)?;
    show(store, master_keys).await
}

impl Management {
    /// As [`show`].
    ///
    /// # Errors
    /// The same; rights.
    pub async fn find_tls_anchor(&self, actor: &Actor) -> Result<TlsAnchor, Error> {
        require_owner(actor)?;
        show(self.store(), &self.parts.master_keys).await
    }

    /// As [`take_step`]. In force on this node when this returns; others follow within seconds.
    ///
    /// # Errors
    /// The same; rights.
    pub async fn roll_tls_anchor(&self, actor: &Actor, step: RollStep) -> Result<TlsAnchor, Error> {
        require_owner(actor)?;
        let prepared = prepare(self.store(), &self.parts.master_keys, (actor, self.now()), step).await?;
        self.commit(prepared.changes, prepared.audit).await.map_err(overtaken)?;
        show(self.store(), &self.parts.master_keys).await
    }
}

/// One transaction, not committed yet.
struct Prepared {
    changes: Vec<Change>,
    audit: Vec<AuditEvent>,
}

async fn prepare(
    store: &dyn Store,
    master_keys: &MasterKeys,
    by: (&Actor, Timestamp),
    step: RollStep,
) -> Result<Prepared, Error> {
    let stored = SealedAnchor::load(store).await?;
    match step {
        RollStep::Roll => prepare_roll(&stored, master_keys, by),
        RollStep::Finish => prepare_finish(&stored, master_keys, by),
    }
}

fn prepare_roll(
    stored: &SealedAnchor,
    master_keys: &MasterKeys,
    (actor, now): (&Actor, Timestamp),
) -> Result<Prepared, Error> {
    let (anchor, before) = (stored.open(master_keys).map_err(|error| unusable(&error))?, stored.facts(master_keys)?);
    // One that is shown no more is in nobody's way.
    if anchor.previous_not_after(now).is_some() {
        return Err(Error::AnchorRoll { is_rolling: true });
    }
    let next = anchor.make_next(now).map_err(|error| unusable(&error))?;
    let old =
        open_of(&stored.0, &places::endpoint_anchor_certificate(), master_keys).map_err(|error| unusable(&error))?;
    let (certificate, private_key) = (&next.authority.certificate, &next.authority.private_key);
    let previous = next.cross.as_deref().map(|cross| (cross, &**old));
    // What no node could open must not be stored.
    EndpointAnchor::new(&EndpointAnchorParts { certificate, private_key, previous })
        .map_err(|error| unusable(&error))?;
    let mut changes = vec![
        stored.replace(&places::endpoint_anchor_certificate(), certificate, master_keys),
        stored.replace(&places::endpoint_anchor_key(), private_key, master_keys),
    ];
    let places = [places::endpoint_anchor_cross(), places::previous_endpoint_anchor()];
    match previous {
        Some((cross, old)) => {
            let values = places.iter().zip([cross, old]);
            changes.extend(values.map(|(place, value)| stored.replace(place, value, master_keys)));
        }
        None => changes.extend(places.iter().filter_map(|place| stored.find(place).cloned()).map(Change::DeleteSecret)),
    }
    let after = AnchorFacts::read(certificate)?;
    let event = AuditEvent {
        before: Some(words(&before.current)),
        after: Some(words(&after)),
        ..event(actor, now, "roll", &after)
    };
    Ok(Prepared { changes, audit: vec![event] })
}

fn prepare_finish(
    stored: &SealedAnchor,
    master_keys: &MasterKeys,
    (actor, now): (&Actor, Timestamp),
) -> Result<Prepared, Error> {
    let TlsAnchor { current, previous } = stored.facts(master_keys)?;
    let Some(previous) = previous else { return Err(Error::AnchorRoll { is_rolling: false }) };
    let gone = [places::endpoint_anchor_cross(), places::previous_endpoint_anchor()];
    let changes = gone.iter().filter_map(|place| stored.find(place).cloned()).map(Change::DeleteSecret).collect();
    let event = AuditEvent {
        before: Some(words(&previous)),
        after: Some(words(&current)),
        ..event(actor, now, "finish-roll", &current)
    };
    Ok(Prepared { changes, audit: vec![event] })
}

fn event(actor: &Actor, now: Timestamp, action: &str, about: &AnchorFacts) -> AuditEvent {
    let object = (Object::TlsTrustAnchor.as_str(), String::new(), about.common_name.as_str());
    AuditEvent::new(actor, CustomerId::SERVICE, now, action, object)
}

fn words(anchor: &AnchorFacts) -> String {
    json!({
        "commonName": anchor.common_name,
        "notBefore": anchor.not_before,
        "notAfter": anchor.not_after,
        "publicKeySha256": anchor.public_key_sha256,
    })
    .to_string()
}

/// What was read is not there any more: somebody rolled, or finished a roll, meanwhile.
fn overtaken(error: impl Into<CommitError>) -> Error {
    match error.into() {
        CommitError::Rule { rule: BrokenRule::NotFound, .. } => {
            Error::Contended { object: Object::TlsTrustAnchor, id: String::new() }
        }
        error => error.about(Object::TlsTrustAnchor, "", ""),
    }
}

fn unusable(reason: &dyn fmt::Display) -> Error {
    Error::Internal { detail: format!("the TLS trust anchor: {reason}") }
}
