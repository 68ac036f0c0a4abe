//! Peppers: a new one, the move of digests to it, and the end of the one before (docs/decisions/0028).
//!
//! A rotation is what the store has: a pepper newer than another. Digests move by themselves, of key strings that are kept
//! sealed at once ([`move_digests`]), of the others when they are presented; when none is left under the older pepper it
//! goes ([`retire_if_unused`]). An operator may end it before that: whatever is left then is never accepted again.
//!
//! The functions take the store itself, for a command that works on a service which does not run and for the service's
//! own tasks; [`Management`]'s methods are for those who must be allowed to.

use serde_json::json;

use super::customers::require_owner;
use super::first_start::sealed;
use super::{CommitError, Error, Management, Object};
use crate::clock::Timestamp;
use crate::domain::audit::{AuditEvent, AuditKey};
use crate::domain::key::KeyName;
use crate::domain::peppers::open_peppers;
use crate::domain::{Actor, Name, places};
use crate::id::{ApiClientId, CustomerId, Id as _, ProvisioningKeyId};
use crate::secret::master::MasterKeys;
use crate::secret::pepper::{PepperNumber, Peppers};
use crate::store::{BrokenRule, Change, DigestCounts, KeyUnderPepper, NewDigest, Store};

/// Keys and API clients that are named in a report, of each.
pub const NAMED_MAX: u32 = 100;

/// Key strings that are digested anew in one transaction: an enrollment waits for no more of them.
const MOVED_AT_ONCE: u32 = 100;

/// What may be done about the peppers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PepperStep {
    /// Makes the next one.
    Rotate,
    /// Lets go of the one before, whatever is left under it.
    Finish,
}

/// Why a step was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PepperRefusal {
    #[error("no pepper is being rotated: there is one, number {}", .0.0)]
    NoneUnderWay(PepperNumber),
    #[error(
        "a pepper is being rotated already: {} provisioning keys and {} API clients are left under number {}, and move when \
         they are used next. muster pepper show names them; muster pepper finish ends it without them", .0.keys,
        .0.api_clients, .0.pepper.0
    )]
    Unfinished(DigestCounts),
}

/// How many digests are under which pepper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PepperReport {
    /// Those that there are, newest first.
    pub live: Vec<DigestCounts>,
    /// What is under the one before the newest.
    pub left: NamedDigests,
    /// What was left when a rotation was ended: nothing is accepted by it any more.
    pub lost: NamedDigests,
    /// What is under peppers that are not there, of a damaged store: nothing is accepted by it either.
    pub under_none: Vec<DigestCounts>,
}

/// The first of them, in order of id: at most [`NAMED_MAX`] of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedDigests {
    pub keys: Vec<(CustomerId, KeyName)>,
    pub api_clients: Vec<NamedApiClient>,
}

/// An API client as others refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedApiClient {
    pub customer: CustomerId,
    pub id: ApiClientId,
    pub name: Name,
}

impl PepperReport {
    /// The one before the newest, while digests move.
    pub fn outgoing(&self) -> Option<&DigestCounts> {
        self.live.get(1)
    }
}

/// What is under which pepper. Walks through an index of all keys.
///
/// # Errors
/// Outages.
pub async fn show(store: &dyn Store) -> Result<PepperReport, Error> {
    let counts = store.count_digests().await?;
    let count = |pepper| {
        let found = counts.iter().find(|counts| counts.pepper == pepper);
        found.copied().unwrap_or(DigestCounts { pepper, keys: 0, api_clients: 0 })
    };
    let live: Vec<_> = numbers(store).await?.into_iter().map(count).collect();
    let left = match live.get(1) {
        Some(outgoing) => named(store, outgoing).await?,
        None => NamedDigests::default(),
    };
    let lost = named(store, &count(PepperNumber::GONE)).await?;
    let is_there = |pepper| pepper == PepperNumber::GONE || live.iter().any(|counts| counts.pepper == pepper);
    let under_none = counts.iter().filter(|counts| !is_there(counts.pepper)).copied().collect();
    Ok(PepperReport { live, left, lost, under_none })
}

async fn named(store: &dyn Store, counts: &DigestCounts) -> Result<NamedDigests, Error> {
    let mut named = NamedDigests::default();
    if counts.keys > 0 {
        let keys = store.list_keys_under(counts.pepper, ProvisioningKeyId::from_raw(0), NAMED_MAX).await?;
        named.keys = keys.into_iter().map(|found| (found.customer, found.key)).collect();
    }
    if counts.api_clients > 0 {
        let clients = store.list_api_clients_under(counts.pepper, NAMED_MAX).await?;
        let name = |client: crate::domain::ApiClient| NamedApiClient {
            customer: client.customer_id,
            id: client.id,
            name: client.name,
        };
        named.api_clients = clients.into_iter().map(name).collect();
    }
    Ok(named)
}

/// Newest first.
async fn numbers(store: &dyn Store) -> Result<Vec<PepperNumber>, Error> {
    let sealed = store.list_secrets(places::PEPPER).await?;
    let number = |name: &str| {
        let number = name.parse().map(PepperNumber);
        number.map_err(|_| Error::Internal { detail: format!("a pepper is named {name:?}") })
    };
    let mut numbers = sealed.iter().map(|secret| number(&secret.name)).collect::<Result<Vec<_>, _>>()?;
    numbers.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
    Ok(numbers)
}

/// Takes a step.
///
/// # Errors
/// [`Error::PepperRotation`] when it is not the next one; [`Error::Contended`] when somebody was quicker; outages.
pub async fn take_step(
    store: &dyn Store,
    master_keys: &MasterKeys,
    audit_key: &AuditKey,
    by: (&Actor, Timestamp),
    step: PepperStep,
) -> Result<PepperReport, Error> {
    let (change, event) = prepare(store, master_keys, by, step).await?;
    store.commit_changes(vec![change], vec![event], audit_key).await.map_err(overtaken)?;
    show(store).await
}

impl Management {
    /// As [`show`].
    ///
    /// # Errors
    /// The same; rights.
    pub async fn find_peppers(&self, actor: &Actor) -> Result<PepperReport, Error> {
        require_owner(actor)?;
        show(self.store()).await
    }

    /// As [`take_step`]. In force on this node when this returns; others follow within seconds.
    ///
    /// # Errors
    /// The same; rights.
    pub async fn take_pepper_step(&self, actor: &Actor, step: PepperStep) -> Result<PepperReport, Error> {
        require_owner(actor)?;
        let (change, event) = prepare(self.store(), &self.parts.master_keys, (actor, self.now()), step).await?;
        self.commit(vec![change], vec![event]).await.map_err(overtaken)?;
        show(self.store()).await
    }
}

async fn prepare(
    store: &dyn Store,
    master_keys: &MasterKeys,
    (actor, now): (&Actor, Timestamp),
    step: PepperStep,
) -> Result<(Change, AuditEvent), Error> {
    let numbers = numbers(store).await?;
    let (newest, outgoing) = match numbers[..] {
        [newest, ..] => (newest, numbers.get(1).copied()),
        [] => return Err(Error::Internal { detail: "there is no pepper".to_owned() }),
    };
    match (step, outgoing) {
        (PepperStep::Rotate, None) => {
            let next = newest.next();
            let secret = sealed(&places::pepper(next), &*Peppers::generate(), master_keys);
            Ok((Change::InsertSecret(secret), event(actor, now, "rotate-pepper", (newest, next))))
        }
        (PepperStep::Rotate, Some(pepper)) => {
            let counts = store.count_digests().await?;
            let left = counts.into_iter().find(|counts| counts.pepper == pepper);
            let left = left.unwrap_or(DigestCounts { pepper, keys: 0, api_clients: 0 });
            Err(Error::PepperRotation(PepperRefusal::Unfinished(left)))
        }
        (PepperStep::Finish, None) => Err(Error::PepperRotation(PepperRefusal::NoneUnderWay(newest))),
        (PepperStep::Finish, Some(pepper)) => {
            // What can move does, so that only keys whose string is not kept are given up.
            let sealed = store.list_secrets(places::PEPPER).await?;
            let peppers = open_peppers(sealed.iter().map(|secret| (&*secret.name, &*secret.sealed)), master_keys)
                .map_err(|error| Error::Internal { detail: error.to_string() })?;
            move_digests(store, master_keys, &Peppers::new(&peppers)).await?;
            let give_up = Some((now, actor.row_id()));
            let event = event(actor, now, "finish-pepper-rotation", (pepper, newest));
            Ok((Change::RetirePepper { pepper, give_up }, event))
        }
    }
}

/// Digests under the newest pepper what an older one digested and is kept sealed, and answers how much that was. Key
/// strings that are not kept are left: they move when they are presented. Nothing, before the newest makes digests.
///
/// Safe beside edits, deletions and others who do the same. Costs a look at each key under the older pepper.
///
/// # Errors
/// Outages. What moved until then has.
pub async fn move_digests(store: &dyn Store, master_keys: &MasterKeys, peppers: &Peppers) -> Result<u64, Error> {
    let Some(outgoing) = peppers.outgoing() else { return Ok(0) };
    let (mut after, mut moved) = (ProvisioningKeyId::from_raw(0), 0);
    loop {
        let found = store.list_keys_under(outgoing, after, MOVED_AT_ONCE).await?;
        let Some(last) = found.last() else { return Ok(moved) };
        after = last.key.id;
        let digests: Vec<_> = found.iter().filter_map(|key| digest_anew(key, master_keys, peppers, outgoing)).collect();
        if !digests.is_empty() {
            moved += store.replace_digests(digests).await?;
        }
    }
}

/// `None`: its string is not kept, or is not what it should be.
fn digest_anew(
    found: &KeyUnderPepper,
    master_keys: &MasterKeys,
    peppers: &Peppers,
    outgoing: PepperNumber,
) -> Option<NewDigest<ProvisioningKeyId>> {
    let (customer, id, before) = (found.customer, found.key.id, found.digest);
    let opened = master_keys.open(places::key_string(customer, id).as_place(), found.sealed_string.as_deref()?);
    let text = opened
        .inspect_err(
            |error| tracing::error!(key.id = %id, %error, "A key string does not open; its digest moves when it is presented."),
        )
        .ok()?;
    let (digests, pepper) = (peppers.digests(&text), peppers.making());
    let is_right = digests.under(outgoing).is_some_and(|digest| digest.matches(&before).into());
    let digest = digests.under(pepper).filter(|_| is_right && pepper > outgoing)?;
    Some(NewDigest { customer, id, before, pepper, digest })
}

/// Lets go of the older pepper when nothing is under it any more, and answers whether it went. A look at one row, as long
/// as anything is.
///
/// # Errors
/// Outages.
pub async fn retire_if_unused(
    store: &dyn Store,
    peppers: &Peppers,
    audit_key: &AuditKey,
    now: Timestamp,
) -> Result<bool, Error> {
    let Some(pepper) = peppers.outgoing() else { return Ok(false) };
    let is_used = !store.list_keys_under(pepper, ProvisioningKeyId::from_raw(0), 1).await?.is_empty()
        || !store.list_api_clients_under(pepper, 1).await?.is_empty();
    if is_used {
        return Ok(false);
    }
    let event = event(&Actor::system(), now, "finish-pepper-rotation", (pepper, peppers.making()));
    let retire = Change::RetirePepper { pepper, give_up: None };
    match store.commit_changes_in_background(vec![retire], vec![event], audit_key).await.map_err(CommitError::from) {
        Ok(_) => Ok(true),
        // A key was made under it meanwhile, or another node was quicker.
        Err(CommitError::Rule { rule: BrokenRule::Referenced { .. } | BrokenRule::NotFound, .. }) => Ok(false),
        Err(error) => Err(error.about(Object::Service, "", "")),
    }
}

fn event(actor: &Actor, now: Timestamp, action: &str, (from, to): (PepperNumber, PepperNumber)) -> AuditEvent {
    AuditEvent {
        before: Some(json!({ "pepper": from.0 }).to_string()),
        after: Some(json!({ "pepper": to.0 }).to_string()),
        ..AuditEvent::new(actor, CustomerId::SERVICE, now, action, (Object::Service.as_str(), String::new(), ""))
    }
}

/// What was read is so no more: somebody rotated, or a rotation ended, meanwhile.
fn overtaken(error: impl Into<CommitError>) -> Error {
    match error.into() {
        CommitError::Rule { rule: BrokenRule::NotFound | BrokenRule::DuplicateName, .. } => {
            Error::Contended { object: Object::Service, id: "pepper".to_owned() }
        }
        error => error.about(Object::Service, "", ""),
    }
}
