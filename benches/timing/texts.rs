//! What is presented: key strings that nobody made, and ones that miss a key by a character.

use muster::domain::key_string::KEY_ID_CHARACTERS;
use muster::domain::{Cloud, KeySecret, KeyVersion, TrustPin};

use crate::random::Random;

/// What of a key string nobody can know: 24 bytes in base64.
const RANDOM_CHARACTERS: usize = 32;

/// The classes of refusal.
pub const CLASSES: [&str; 5] = ["unknown", "first-wrong", "last-wrong", "disabled", "exhausted"];

/// Four key strings: an active key to be missed at the first character, one at the last, a disabled and an exhausted one.
pub type Keys = [String; 4];

/// A text of each class, in the order of [`CLASSES`]. All have one length.
pub type Texts = [String; CLASSES.len()];

pub fn generate(count: usize) -> Vec<Keys> {
    let cloud: Cloud = "localhost:8443".parse().expect("a cloud");
    let string = |_| KeySecret::generate(KeyVersion::Bootstrap, &cloud, TrustPin::NONE).expose().to_owned();
    (0..count).map(|_| std::array::from_fn(string)).collect()
}

/// Texts that were never seen before.
pub fn missing([first, last, disabled, exhausted]: &Keys, random: &mut Random) -> Texts {
    [
        unknown(first, random),
        near(first, Place::First, random),
        near(last, Place::Last, random),
        near(disabled, Place::Last, random),
        near(exhausted, Place::Last, random),
    ]
}

/// The key that a text of this class misses; for one that nobody made, the key that it has its form from.
pub fn missed(keys: &Keys, class: usize) -> &str {
    &keys[class.saturating_sub(1)]
}

/// Which of the characters behind the key id is wrong.
#[derive(Clone, Copy)]
enum Place {
    First,
    Last,
}

/// `key` with another id and another random part: what somebody makes up who knows the form and where to call.
fn unknown(key: &str, random: &mut Random) -> String {
    let begins = secret_at(key);
    let ends = begins + KEY_ID_CHARACTERS + RANDOM_CHARACTERS;
    let made_up: String = (begins..ends).map(|_| character(random)).collect();
    format!("{}{made_up}{}", &key[..begins], &key[ends..])
}

/// `key` with another character in one place.
fn near(key: &str, place: Place, random: &mut Random) -> String {
    let at = match place {
        Place::First => secret_at(key) + KEY_ID_CHARACTERS,
        Place::Last => key.len() - 1,
    };
    let mut text = key.to_owned();
    while text == key {
        text.replace_range(at..=at, character(random).encode_utf8(&mut [0; 4]));
    }
    text
}

/// Where the secret begins.
fn secret_at(key: &str) -> usize {
    key.rfind('|').expect("a key string") + 1
}

/// Any of base64.
fn character(random: &mut Random) -> char {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char::from(BASE64[random.below(64) as usize])
}
