//! Which key strings are known: the concurrent in-memory index that every presented key is
//! looked up in.
//!
//! Keyed by the first 16 bytes of the digest, compared over all 32 in constant time. A presented
//! text costs the same work whether it is no key string at all, unknown, or known: one digest per
//! live pepper, one lookup each, one comparison each.
//!
//! What it deliberately does not do: read the store (whoever feeds it does), judge a key's state,
//! or decide about uses: its counter is a hint for the queue, the store decides.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dashmap::DashMap;
use subtle::ConditionallySelectable;

use crate::domain::key::IndexedKey;
use crate::domain::key_string::{KEY_STRING_BYTES_MAX, KeyString};
use crate::id::ProvisioningKeyId;
use crate::secret::pepper::{Digests, KeyDigest, PepperNumber, Peppers};

/// Compared against when nothing was found, so that a miss costs what a hit costs.
const DUMMY: KeyDigest = KeyDigest::from_bytes([0; KeyDigest::BYTES]);

type Prefix = [u8; KeyDigest::PREFIX_BYTES];

/// Parts of each map that are locked for themselves. When one doubles, whoever looks for a key of it waits: with
/// ten million keys, until 30,000 of them have moved.
const SHARDS: usize = 256;

/// All keys of all customers. Shared in an `Arc`; no lock is held beyond a call.
pub struct KeyIndex {
    by_digest: DashMap<Prefix, Arc<KeyEntry>>,
    /// To find what to take out when only the id is left.
    by_id: DashMap<ProvisioningKeyId, Arc<KeyEntry>>,
    peppers: Arc<Peppers>,
}

/// What a presented text is looked up by, as often as needed: its digests, without the text itself.
/// Only [`KeyIndex::present`] makes one.
#[derive(Clone)]
pub struct PresentedKey {
    /// Under each pepper that was live.
    digests: Digests,
    /// Whether the text has a key string's form.
    is_key_string: bool,
}

/// A key as of its last change, with the count as of its last commit on this node.
pub struct KeyEntry {
    key: IndexedKey,
}

impl KeyIndex {
    pub fn new(peppers: Arc<Peppers>) -> Self {
        let (by_digest, by_id) = (DashMap::with_shard_amount(SHARDS), DashMap::with_shard_amount(SHARDS));
        Self { by_digest, by_id, peppers }
    }

    /// Digests `text`, the same way for every text of a length. Allocates nothing.
    pub fn present(&self, text: &str) -> PresentedKey {
        let parsed = KeyString::parse(text);
        // What does not parse is digested all the same, up to the longest that could have parsed.
        let bytes = match &parsed {
            Some(key_string) => key_string.as_str().as_bytes(),
            None => &text.as_bytes()[..text.len().min(KEY_STRING_BYTES_MAX)],
        };
        PresentedKey { digests: self.peppers.digests(bytes), is_key_string: parsed.is_some() }
    }

    /// Whether peppers came or went since the text was presented: it is to be presented anew before it counts as
    /// unknown, as keys may have moved to a pepper that it was not digested under.
    pub fn is_overtaken(&self, presented: &PresentedKey) -> bool {
        !self.peppers.made(&presented.digests)
    }

    /// The digest of the presented text, which found `entry`, under the pepper that the key is to move to; `None`, nearly
    /// always: there is no such pepper, or the key has it.
    pub fn newer_digest(&self, presented: &PresentedKey, entry: &KeyEntry) -> Option<(PepperNumber, KeyDigest)> {
        self.peppers.outgoing()?;
        let making = self.peppers.making();
        let digest = presented.digests.under(making)?;
        (!bool::from(digest.matches(&entry.key.digest))).then_some((making, digest))
    }

    /// What key strings are digested under here.
    pub fn peppers(&self) -> &Arc<Peppers> {
        &self.peppers
    }

    /// The key that the presented text is the key string of. Allocates nothing.
    pub fn find(&self, presented: &PresentedKey) -> Option<Arc<KeyEntry>> {
        let mut found = None;
        for (_, digest) in presented.digests.iter() {
            let candidate = self.by_digest.get(digest.prefix()).map(|entry| Arc::clone(&entry));
            let stored = candidate.as_ref().map_or(&DUMMY, |entry| &entry.key.digest);
            let mut accepted = digest.matches(stored);
            accepted.conditional_assign(&0.into(), u8::from(!presented.is_key_string).into());
            if bool::from(accepted) {
                found = candidate;
            }
        }
        found
    }

    /// The key as it is now, by its row's id.
    pub fn find_by_id(&self, id: ProvisioningKeyId) -> Option<Arc<KeyEntry>> {
        self.by_id.get(&id).map(|entry| Arc::clone(&entry))
    }

    /// Adds a key, or replaces what is known of it.
    pub fn put(&self, key: IndexedKey) {
        let entry = Arc::new(KeyEntry { key });
        self.by_digest.insert(*entry.prefix(), Arc::clone(&entry));
        let previous = self.by_id.insert(entry.key.id, Arc::clone(&entry));
        if let Some(previous) = previous.filter(|previous| previous.prefix() != entry.prefix()) {
            self.by_digest.remove_if(previous.prefix(), |_, found| found.key.id == entry.key.id);
        }
    }

    pub fn remove(&self, id: ProvisioningKeyId) {
        if let Some((_, entry)) = self.by_id.remove(&id) {
            self.by_digest.remove_if(entry.prefix(), |_, found| found.key.id == id);
        }
    }

    /// The ids of all keys, in order; for a node that reads everything anew and must find out what is gone.
    pub fn ids(&self) -> Vec<ProvisioningKeyId> {
        let mut ids: Vec<_> = self.by_id.iter().map(|known| *known.key()).collect();
        ids.sort_unstable();
        ids
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl KeyEntry {
    /// The settings.
    pub fn key(&self) -> &IndexedKey {
        &self.key
    }

    fn prefix(&self) -> &Prefix {
        self.key.digest.prefix()
    }

    /// The count as far as this node knows. Less than the store's while a commit is under way; more only
    /// until the change that released a use has been followed.
    pub fn uses(&self) -> u32 {
        self.key.uses.load(Ordering::Acquire)
    }

    /// Takes over a count that the store answered.
    ///
    /// Counts only go up between changes of the key (a release is a change, and brings a new
    /// entry), so the larger one is the newer one.
    pub fn observe_uses(&self, uses: u32) {
        self.key.uses.fetch_max(uses, Ordering::AcqRel);
    }

    /// Whether the store is known to have given out every use.
    pub fn is_exhausted(&self) -> bool {
        self.key.maximum.is_some_and(|maximum| self.uses() >= maximum.get())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Cloud, KeySecret, KeyVersion, Networks, Revision, TrustPin};
    use crate::id::{CustomerId, GroupId, Id, SigningCertificateId};
    use crate::secret::pepper::PepperBytes;

    fn indexed(id: u64, digest: KeyDigest, uses: u32) -> IndexedKey {
        IndexedKey {
            id: ProvisioningKeyId::from_raw(id),
            customer_id: CustomerId::from_raw(1),
            group_id: GroupId::from_raw(2),
            signing_certificate_id: SigningCertificateId::from_raw(3),
            maximum: std::num::NonZeroU32::new(10),
            enabled: true,
            allow_re_enrollment: false,
            expires_at: None,
            addresses: Networks::default(),
            digest,
            uses: uses.into(),
            revision: Revision::FIRST,
        }
    }

    fn made() -> KeySecret {
        let cloud: Cloud = "localhost:8443".parse().unwrap();
        KeySecret::generate(KeyVersion::Bootstrap, &cloud, TrustPin::NONE)
    }

    fn find(index: &KeyIndex, text: &str) -> Option<Arc<KeyEntry>> {
        index.find(&index.present(text))
    }

    fn index() -> (KeyIndex, (PepperNumber, PepperBytes)) {
        let pepper = (PepperNumber(1), Peppers::generate());
        (KeyIndex::new(Arc::new(Peppers::new(std::slice::from_ref(&pepper)))), pepper)
    }

    #[test]
    fn only_the_whole_text_finds_its_key() {
        let (index, pepper) = index();
        let peppers = Peppers::new(&[pepper]);
        let key = made();
        index.put(indexed(7, peppers.digest(key.expose().as_bytes()).1, 0));

        let text = key.expose();
        assert_eq!(find(&index, text).unwrap().key().id, ProvisioningKeyId::from_raw(7));
        assert!(find(&index, &format!(" \t{text}\r\n")).is_some(), "white space at the ends is trimmed");
        for wrong in [
            text[..text.len() - 1].to_owned(),
            format!("{text}="),
            text.replace("3|", "2|"),
            text.replace("8443", "8444"),
            text.to_ascii_lowercase(),
            text.replace('|', " |"),
            format!("{text}\0"),
            key.key_id().to_owned(),
            String::new(),
        ] {
            assert!(find(&index, &wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_digest_that_shares_only_the_prefix_is_another_key() {
        let (index, pepper) = index();
        let peppers = Peppers::new(&[pepper]);
        let key = made();
        let mut digest = *peppers.digest(key.expose().as_bytes()).1.as_bytes();
        digest[31] ^= 1;
        index.put(indexed(7, KeyDigest::from_bytes(digest), 0));
        assert!(find(&index, key.expose()).is_none());
    }

    #[test]
    fn keys_of_the_old_pepper_are_found_beside_those_of_the_new() {
        let (old, new) = ((PepperNumber(1), Peppers::generate()), (PepperNumber(2), Peppers::generate()));
        let index = KeyIndex::new(Arc::new(Peppers::new(&[old.clone(), new.clone()])));
        let (first, second) = (made(), made());
        index.put(indexed(1, Peppers::new(&[old]).digest(first.expose().as_bytes()).1, 0));
        index.put(indexed(2, Peppers::new(&[new]).digest(second.expose().as_bytes()).1, 0));
        assert_eq!(find(&index, first.expose()).unwrap().key().id, ProvisioningKeyId::from_raw(1));
        assert_eq!(find(&index, second.expose()).unwrap().key().id, ProvisioningKeyId::from_raw(2));
    }

    #[test]
    fn a_key_moves_to_a_newer_pepper_under_those_who_present_it() {
        let (index, old) = index();
        let (key, new) = (made(), (PepperNumber(2), Peppers::generate()));
        index.put(indexed(7, index.peppers().digest(key.expose().as_bytes()).1, 3));
        let before = index.present(key.expose());
        let entry = index.find(&before).unwrap();
        assert!(index.newer_digest(&before, &entry).is_none(), "there is none");

        index.peppers().replace(&[old, new.clone()], false);
        assert!(index.is_overtaken(&before));
        let during = index.present(key.expose());
        assert!(!index.is_overtaken(&during));
        let entry = index.find(&during).unwrap();
        assert!(index.newer_digest(&during, &entry).is_none(), "others may not know it yet");
        index.peppers().settle();
        let (pepper, digest) = index.newer_digest(&during, &entry).unwrap();
        assert!(index.newer_digest(&before, &entry).is_none(), "it was presented too early");

        assert_eq!(pepper, new.0);
        index.put(indexed(7, digest, 3));
        assert!(index.find(&before).is_none() && index.is_overtaken(&before), "it is to be presented anew");
        let entry = index.find(&during).unwrap();
        assert!(index.newer_digest(&during, &entry).is_none(), "it has moved");
        index.peppers().replace(&[new], true);
        assert!(find(&index, key.expose()).is_some());
        assert!(index.newer_digest(&index.present(key.expose()), &entry).is_none());
    }

    #[test]
    fn a_key_with_a_new_digest_is_not_found_under_the_old_one() {
        let (index, pepper) = index();
        let peppers = Peppers::new(&[pepper]);
        let (before, after) = (made(), made());
        index.put(indexed(7, peppers.digest(before.expose().as_bytes()).1, 0));
        index.put(indexed(7, peppers.digest(after.expose().as_bytes()).1, 0));
        assert!(find(&index, before.expose()).is_none());
        assert!(find(&index, after.expose()).is_some());
        index.remove(ProvisioningKeyId::from_raw(7));
        assert!(find(&index, after.expose()).is_none());
        assert!(index.is_empty() && index.by_digest.is_empty());
    }

    #[test]
    fn a_key_whose_settings_change_stays_found_and_is_what_it_became() {
        let (index, pepper) = index();
        let key = made();
        let digest = Peppers::new(&[pepper]).digest(key.expose().as_bytes()).1;
        index.put(indexed(7, digest, 0));
        index.put(IndexedKey { enabled: false, ..indexed(7, digest, 3) });
        let by_string = find(&index, key.expose()).expect("the string is what it was");
        let by_id = index.find_by_id(ProvisioningKeyId::from_raw(7)).expect("so is the id");
        assert!(Arc::ptr_eq(&by_string, &by_id));
        assert_eq!((by_id.key().enabled, by_id.uses(), index.len()), (false, 3, 1));
    }

    #[test]
    fn all_keys_are_named_in_order() {
        let (index, pepper) = index();
        let peppers = Peppers::new(&[pepper]);
        for id in [9, 7, 8] {
            index.put(indexed(id, peppers.digest(made().expose().as_bytes()).1, 0));
        }
        index.remove(ProvisioningKeyId::from_raw(8));
        assert_eq!(index.ids(), [7, 9].map(ProvisioningKeyId::from_raw));
        assert_eq!((index.len(), index.is_empty()), (2, false));
        assert!(index.find_by_id(ProvisioningKeyId::from_raw(8)).is_none());
    }

    #[test]
    fn the_larger_count_is_the_newer_one() {
        let (index, pepper) = index();
        let key = made();
        index.put(indexed(7, Peppers::new(&[pepper]).digest(key.expose().as_bytes()).1, 3));
        let entry = find(&index, key.expose()).unwrap();
        entry.observe_uses(9);
        entry.observe_uses(8);
        assert_eq!((entry.uses(), entry.is_exhausted()), (9, false));
        entry.observe_uses(10);
        assert!(entry.is_exhausted());
    }

    proptest! {
        #[test]
        fn no_text_finds_a_key_that_it_is_not_the_string_of(text in "\\PC{0,200}") {
            let (index, pepper) = index();
            index.put(indexed(7, Peppers::new(&[pepper]).digest(made().expose().as_bytes()).1, 0));
            prop_assert!(find(&index, &text).is_none());
        }
    }
}
