//! Rotation: a successor with the same settings and a string of its own.

use std::borrow::Cow;

use super::{KeyView, manager, refuse_managed};
use crate::clock::Timestamp;
use crate::domain::key::KeyUsage;
use crate::domain::{KeyVersion, Kind, Name, ProvisioningKey, Revision, Role};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::management::edits::{Attempt, until_not_overtaken};
use crate::management::fields::{Checker, Field, Input};
use crate::management::{CommitError, Error, Management, Object, Request, audited};
use crate::store::{BrokenRule, Change};

/// Names that are tried for a successor, a transaction each, before the caller is asked for one.
const NAMES_TRIED_MAX: u64 = 10;

impl Management {
    /// Makes a successor of a key: the same settings, status included, a new string, no uses. The old key
    /// stays, marked with its successor, and enrolls until somebody disables or deletes it. To a device the
    /// successor is a new key.
    ///
    /// - `name`: the successor's. Absent: the old name with `-2`, or with the number that it ends in counted
    ///   on, the first that is free of ten ([`successor_name`]).
    /// - An imported key, whose form may be anyone's, gets a bootstrap key for successor.
    /// - An expiry that is over is not copied: the successor lives as long from now as the old one was
    ///   made to. (Without an expiry it would do more than the old key ever could.)
    /// - A key that has a successor is not rotated once more, or two successors would be in circulation; the
    ///   successor is the one to rotate. When it was deleted, the key can be rotated again.
    ///
    /// One transaction. Two rotations at once make one successor.
    ///
    /// # Errors
    /// [`Error::AlreadyRotated`]; [`Error::Invalid`], also when the signing certificate can sign no more;
    /// [`Error::DuplicateName`]; [`Error::Outdated`]; [`Error::ReadOnly`]; [`Error::NotFound`]; rights and outages.
    pub async fn rotate_key(
        &self,
        request: impl Into<Request<'_, KeyView>>,
        customer: CustomerId,
        kind: Kind,
        id: ProvisioningKeyId,
        expected: Option<Revision>,
        name: &Input<String>,
    ) -> Result<KeyView, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Operator).await?;
        until_not_overtaken(Object::ProvisioningKey, id, move || async move {
            let before = self.key_of_kind(customer, kind, id).await?;
            Error::expect_revision(Object::ProvisioningKey, expected, before.revision)?;
            refuse_managed(actor, &before)?;
            if let Some(successor) = before.successor_id
                && self.store().find_key(customer, successor).await?.is_some()
            {
                return Err(Error::AlreadyRotated { successor });
            }
            let now = self.now();
            let mut checker = Checker::default();
            let name = checker.check(Field::Name, name.clone(), |text| Name::new(&text)).given();
            self.usable_signer(customer, before.signing_certificate_id, now, &mut checker).await?;
            checker.finish()?;
            // All that is answered is read before the commit: nothing may lose a string that is shown once.
            let seen = self.view_key(actor, before).await?;
            self.make_successor(Request { actor, once }, seen, name, now).await
        })
        .await
    }

    async fn make_successor(
        &self,
        Request { actor, once }: Request<'_, KeyView>,
        seen: KeyView,
        name: Option<Name>,
        now: Timestamp,
    ) -> Result<Attempt<KeyView>, Error> {
        let before = seen.key;
        let (customer, id) = (before.customer_id, self.parts.ids.next().await?);
        let version = match before.version {
            KeyVersion::Bare => KeyVersion::Bare,
            KeyVersion::Bootstrap | KeyVersion::Imported => KeyVersion::Bootstrap,
        };
        let (secret, traces) = self.generate_string(customer, id, version, before.is_exportable());
        let successor = ProvisioningKey {
            id,
            expires_at: before.expires_at.map(|end| expiry_of_successor(before.created_at, end, now)),
            version: traces.version,
            hint: traces.hint,
            key_id: traces.key_id,
            digest: traces.digest,
            pepper: traces.pepper,
            sealed_string: traces.sealed_string,
            managed_by: manager(actor).or_else(|| before.managed_by.clone()),
            successor_id: None,
            usage: KeyUsage::default(),
            created_at: now,
            created_by: actor.row_id(),
            modified_at: now,
            modified_by: actor.row_id(),
            revision: Revision::FIRST,
            ..before.clone()
        };
        let after =
            ProvisioningKey { successor_id: Some(id), modified_at: now, modified_by: actor.row_id(), ..before.clone() };
        let state = successor.state(now);
        let mut made = KeyView { state, key: successor, string: Some(secret), ..seen };
        let mut names_tried = 0;
        loop {
            made.key.name = match &name {
                Some(name) => name.clone(),
                None => successor_name(&before.name, names_tried),
            };
            names_tried += 1;
            let changes = vec![Change::InsertKey(made.key.clone()), Change::UpdateKey(after.clone())];
            let audit =
                vec![audited::created(actor, now, &made.key), audited::changed("rotate", actor, now, &before, &after)];
            match self.commit_made(once, changes, audit, &made).await {
                Ok(()) => return Ok(Attempt::Done(made)),
                Err(CommitError::Rule { rule: BrokenRule::Outdated { .. }, .. }) => return Ok(Attempt::Overtaken),
                // The transaction is what finds out which name is free; a refused one writes nothing.
                Err(CommitError::Rule { rule: BrokenRule::DuplicateName, .. })
                    if name.is_none() && names_tried < NAMES_TRIED_MAX => {}
                Err(error) => {
                    return Err(error.about(Object::ProvisioningKey, before.id, made.key.name.as_str()));
                }
            }
        }
    }
}

/// The name of a successor: `name` with `-2`, or with the number from 2 on that it ends in (`-2`, as a
/// rotation gave it) counted on, and that `skipped` numbers further on. What does not fit is cut off in front
/// of the number.
pub fn successor_name(name: &Name, skipped: u64) -> Name {
    let (stem, number) = match name.as_str().rsplit_once('-') {
        Some((stem, digits)) if !stem.is_empty() => match rotation_number(digits) {
            Some(number) => (stem, number),
            None => (name.as_str(), 1),
        },
        _ => (name.as_str(), 1),
    };
    let number = format!("-{}", number + 1 + skipped);
    let stem: Cow<'_, str> = match Name::BYTES_MAX - number.len() {
        room if stem.len() > room => stem[..room].into(),
        _ => stem.into(),
    };
    Name::new(&format!("{stem}{number}")).expect("a name that was cut and ends in a digit is a name")
}

/// A number as rotations write it, small enough to count on.
fn rotation_number(digits: &str) -> Option<u64> {
    let is_plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse::<u32>().ok().filter(|number| is_plain && *number >= 2).map(u64::from)
}

fn expiry_of_successor(created_at: Timestamp, end: Timestamp, now: Timestamp) -> Timestamp {
    if end > now { end } else { now.saturating_add(end.since(created_at)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_successor_counts_on() {
        let longest = "a".repeat(255);
        for (name, skipped, expected) in [
            ("k", 0, "k-2"),
            ("k", 1, "k-3"),
            ("k-2", 0, "k-3"),
            ("k-9", 0, "k-10"),
            ("k-2-2", 0, "k-2-3"),
            ("k-1", 0, "k-1-2"),
            ("k-0", 0, "k-0-2"),
            ("k-02", 0, "k-02-2"),
            ("k-x", 0, "k-x-2"),
            ("k-", 0, "k--2"),
            ("-2", 0, "-2-2"),
            ("k-+2", 0, "k-+2-2"),
            ("k-4294967295", 0, "k-4294967296"),
            ("k-4294967296", 0, "k-4294967296-2"),
            (&longest, 0, &format!("{}-2", &longest[..253])),
            (&longest, 8, &format!("{}-10", &longest[..252])),
        ] {
            let Ok(name) = Name::new(name) else { continue };
            assert_eq!(successor_name(&name, skipped).as_str(), expected, "{name} {skipped}");
        }
    }

    #[test]
    fn an_expiry_that_is_over_becomes_a_lifetime() {
        let at = Timestamp::from_unix_seconds;
        assert_eq!(expiry_of_successor(at(100), at(200), at(199)), at(200));
        assert_eq!(expiry_of_successor(at(100), at(200), at(200)), at(300));
        assert_eq!(expiry_of_successor(at(100), at(200), at(1_000)), at(1_100));
        assert_eq!(at(200).since(at(100)), Duration::from_secs(100));
    }
}
