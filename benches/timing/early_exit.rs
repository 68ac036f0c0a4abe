//! How a key must not be recognised: the control that the method has to find.

use std::collections::HashMap;

use muster::domain::key_string::KeyString;

use crate::texts::Keys;

/// Key strings by their public id.
pub struct EarlyExit(HashMap<String, String>);

impl EarlyExit {
    pub fn new(keys: &[Keys]) -> Self {
        Self(
            keys.iter()
                .flatten()
                .map(|key| (KeyString::parse(key).expect("a key string").key_id().to_owned(), key.clone()))
                .collect(),
        )
    }

    /// Tells by its time whether the id is known, and how many characters are right.
    pub fn is_known(&self, text: &str) -> bool {
        let id = KeyString::parse(text).expect("a key string").key_id();
        self.0.get(id).is_some_and(|key| key.bytes().eq(text.bytes()))
    }
}
