//! Requests that are to happen once though they are sent twice: `Idempotency-Key`.
//!
//! What a request came to is remembered in the transaction that did it, so there is no moment at which
//! the one is stored and the other is not. Of two that race the loser is refused, for whatever it met first;
//! so a door that is refused looks once more ([`Management::find_repeated`]).
//! The answer is sealed, as it may hold a key string; what is shown once only is kept for
//! [`BRIEF`], the rest for [`LASTING`]. Of the request only a hash is kept, sealed with the answer:
//! its body may hold a password.

use std::fmt;

use ring::digest::{Context, SHA256};
use zeroize::Zeroizing;

use super::{CommitError, Error, Management};
use crate::domain::audit::AuditEvent;
use crate::domain::{Actor, places};
use crate::store::{AnswerId, Change, StoredAnswer};

pub use crate::store::{ANSWER_BRIEF as BRIEF, ANSWER_LASTING as LASTING};

/// Longest key of a caller's choice, in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// Who asks for something to be made, and how a repetition is recognised. An [`Actor`] alone asks
/// for it to be made each time.
pub struct Request<'a, V> {
    pub(super) actor: &'a Actor,
    pub(super) once: Option<Once<'a, V>>,
}

/// A request that is to happen once, with what the door makes of the outcome.
pub struct Once<'a, V> {
    repeatable: &'a Repeatable,
    encode: &'a (dyn Fn(&V) -> Outcome + Sync),
}

/// One request as its repetitions will be: the caller's key for it, and all that it says.
pub struct Repeatable {
    actor: Actor,
    id: AnswerId,
    request_hash: [u8; 32],
}

/// What a request came to, in the door's own encoding.
pub struct Outcome {
    /// Without what is shown once only.
    pub lasting: Zeroizing<Vec<u8>>,
    /// What is answered for [`BRIEF`], where that is more than `lasting`.
    pub brief: Option<Zeroizing<Vec<u8>>>,
}

/// An answer that was given before, in the door's own encoding. May hold secrets: `Debug` shows none.
pub struct Repeated(pub Zeroizing<Vec<u8>>);

// By hand: what is made need not be copied for the request to be.
impl<V> Clone for Once<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Once<'_, V> {}

impl<'a, V> From<&'a Actor> for Request<'a, V> {
    fn from(actor: &'a Actor) -> Self {
        Self { actor, once: None }
    }
}

impl<'a, V> Request<'a, V> {
    /// `encode` makes the answer that a repetition is given.
    pub fn new(
        actor: &'a Actor,
        repeatable: Option<&'a Repeatable>,
        encode: &'a (dyn Fn(&V) -> Outcome + Sync),
    ) -> Self {
        Self { actor, once: repeatable.map(|repeatable| Once { repeatable, encode }) }
    }
}

impl Repeatable {
    /// `key` is the caller's choice, 1 to [`KEY_BYTES_MAX`] bytes; keys of different callers have
    /// nothing to do with each other. `request` is whatever must be the same in a repetition.
    pub fn new(actor: &Actor, key: &str, request: &[&[u8]]) -> Self {
        let caller = actor.row_id().unwrap_or_default().to_be_bytes();
        let id = AnswerId(hash(&[&caller, key.as_bytes()]));
        Self { actor: actor.clone(), id, request_hash: hash(request) }
    }
}

impl Management {
    /// What the same request came to before, if it was made before.
    ///
    /// # Errors
    /// [`Error::IdempotencyKeyReused`] when the caller's key stands for another request; outages.
    pub async fn find_repeated(&self, repeatable: &Repeatable) -> Result<Option<Repeated>, Error> {
        let Some(stored) = self.store().find_answer(repeatable.id).await? else { return Ok(None) };
        let age = self.now().since(stored.at);
        if age >= LASTING {
            return Ok(None);
        }
        let sealed = stored.sealed_brief.filter(|_| age < BRIEF).unwrap_or(stored.sealed_lasting);
        let damaged = || Error::Internal { detail: "a remembered answer does not open".to_owned() };
        let place = places::answer(repeatable.actor.customer_id, &repeatable.id.0);
        let opened = self.parts.master_keys.open(place.as_place(), &sealed).map_err(|_| damaged())?;
        let (request_hash, answer) = opened.split_first_chunk::<32>().ok_or_else(damaged)?;
        if *request_hash != repeatable.request_hash {
            return Err(Error::IdempotencyKeyReused);
        }
        Ok(Some(Repeated(Zeroizing::new(answer.to_vec()))))
    }

    /// [`commit`](Self::commit) of what a request makes; `made` is what it came to.
    pub(super) async fn commit_made<V>(
        &self,
        once: Option<Once<'_, V>>,
        mut changes: Vec<Change>,
        audit: Vec<AuditEvent>,
        made: &V,
    ) -> Result<(), CommitError> {
        if let Some(Once { repeatable, encode }) = once {
            changes.push(Change::RememberAnswer(self.seal(repeatable, &encode(made))));
        }
        self.commit(changes, audit).await
    }

    fn seal(&self, repeatable: &Repeatable, outcome: &Outcome) -> StoredAnswer {
        let place = places::answer(repeatable.actor.customer_id, &repeatable.id.0);
        let seal = |answer: &[u8]| {
            let mut plain = Zeroizing::new(Vec::with_capacity(32 + answer.len()));
            plain.extend_from_slice(&repeatable.request_hash);
            plain.extend_from_slice(answer);
            self.parts.master_keys.seal(place.as_place(), &plain)
        };
        StoredAnswer {
            id: repeatable.id,
            at: self.now(),
            sealed_brief: outcome.brief.as_ref().map(|answer| seal(answer)),
            sealed_lasting: seal(&outcome.lasting),
        }
    }
}

impl fmt::Debug for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Repeated(…)")
    }
}

/// SHA-256 over the parts, each behind its length.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
}
