//! Secrets in memory and at rest.
//!
//! [`master`] seals what the store keeps (AES-256-GCM); [`pepper`] turns a key string into the
//! digest that the store and the index know. Types here have no `Debug` that shows their content and
//! no `Serialize`. Bytes that are held here are wiped when dropped; what `ring` makes of them (its
//! parsed AES and HMAC keys) is not, as it offers no way to. Reading files and the environment is not
//! done here: `app` hands texts in.

pub mod master;
pub mod pepper;

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// Fills an array from the system's random source.
///
/// # Panics
/// When the operating system has no randomness to give; nothing safe can be done then.
pub fn random_bytes<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(&mut *bytes).expect("the system's random source works");
    bytes
}

/// A name that nobody guesses, of `N` bytes in lower-case hexadecimal. Of base64url's names one in 64 would begin with `-`
/// and be an option on a command line. No secret: it is not wiped.
pub fn random_name<const N: usize>() -> String {
    random_bytes::<N>().iter().map(|byte| format!("{byte:02x}")).collect()
}
