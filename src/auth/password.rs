//! Administrators' passwords: argon2id, off the async threads, a few at a time.
//!
//! One check costs about 19 MiB and tens of milliseconds of one core. That is the point, and the
//! reason why checks are counted: whoever sends wrong passwords in bulk fills a short queue and
//! neither the memory nor the runtime's threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::AuthError;
use crate::domain::administrator::NewPassword;
use crate::secret::random_bytes;

/// Memory per check in KiB, passes and lanes: the OWASP Password Storage Cheat Sheet's first
/// choice for argon2id (19 MiB, 2, 1).
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Checks that run at one time; they are CPU and memory, not waiting.
const AT_ONCE: usize = 2;

/// Checks that may wait for their turn; one more is refused at once.
const WAITING_MAX: usize = 64;

/// Longest password looked at, in bytes. Longer ones never match.
pub const PASSWORD_BYTES_MAX: usize = NewPassword::BYTES_MAX;

/// Checked in place of the hash that an unknown user does not have: of the parameters above, and of no
/// password that anyone knows. (It need not be secret: an unknown user is refused whatever matches.)
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bXVzdGVyLmR1bW15LjAwMQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Characters of a generated password: 32 symbols, so 5 bits each and 120 in all. Without
/// look-alikes (`0 o`, `1 l i`), because people type it.
const GENERATED_CHARACTERS: usize = 24;
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789-";

/// Hashes and checks passwords. Share in an `Arc`: the bound on work is this object's.
pub struct Passwords {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), waiting: AtomicUsize::new(0) }
    }
}

impl Passwords {
    /// The PHC string of a new password, e.g. `$argon2id$v=19$m=19456,t=2,p=1$…`.
    ///
    /// # Errors
    /// [`AuthError::Overloaded`] at once when too many wait, else [`AuthError::Hashing`].
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, AuthError> {
        self.off_the_async_threads(move || hash(&password)).await
    }

    /// Whether `password` belongs to `stored`, a PHC string. `None` (no such user) does the same
    /// work and is never true.
    ///
    /// # Errors
    /// [`AuthError::Overloaded`] at once when too many wait; [`AuthError::CorruptHash`].
    pub async fn verify(&self, stored: Option<String>, password: Zeroizing<String>) -> Result<bool, AuthError> {
        let is_known = stored.is_some();
        let stored = stored.unwrap_or_else(|| DUMMY.to_owned());
        let matches = self.off_the_async_threads(move || verify(&stored, &password)).await?;
        Ok(matches && is_known)
    }

    async fn off_the_async_threads<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AuthError> + Send + 'static,
    ) -> Result<T, AuthError> {
        let _place = Place::take(&self.waiting)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("the semaphore is never closed");
        // The work goes on when its caller goes away, so the turn is the work's.
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| AuthError::Hashing { detail: error.to_string() })?
    }
}

/// A place in the queue, given back on drop (also when the caller goes away while waiting).
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self, AuthError> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self(waiting);
        if before >= WAITING_MAX { Err(AuthError::Overloaded { waiting: before }) } else { Ok(place) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A random password of 24 characters, 120 bits.
pub fn generate() -> Zeroizing<String> {
    let bytes = random_bytes::<GENERATED_CHARACTERS>();
    let mut text = Zeroizing::new(String::with_capacity(GENERATED_CHARACTERS));
    text.extend(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])));
    text
}

/// Blocking; [`Passwords::hash`] is for async callers.
///
/// # Errors
/// [`AuthError::Hashing`].
pub fn hash(password: &str) -> Result<String, AuthError> {
    argon2id()?
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| AuthError::Hashing { detail: error.to_string() })
}

/// Blocking. The parameters are the stored hash's own, so that old hashes outlive a change of ours.
fn verify(stored: &str, password: &str) -> Result<bool, AuthError> {
    use argon2::password_hash::Error;
    let looked_at = if password.len() > PASSWORD_BYTES_MAX { "" } else { password };
    let matches = match argon2id()?.verify_password(looked_at.as_bytes(), stored) {
        Ok(()) => true,
        Err(Error::PasswordInvalid) => false,
        Err(error) => return Err(AuthError::CorruptHash { detail: error.to_string() }),
    };
    Ok(matches && password.len() <= PASSWORD_BYTES_MAX)
}

fn argon2id() -> Result<Argon2<'static>, AuthError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| AuthError::Hashing { detail: error.to_string() })?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let passwords = Passwords::default();
        let stored = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify(Some(stored.clone()), secret("correct horse")).await.unwrap());
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert!(!passwords.verify(Some(stored.clone()), secret(wrong)).await.unwrap(), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn an_unknown_user_is_never_right_not_even_with_an_empty_password() {
        let passwords = Passwords::default();
        assert!(!passwords.verify(None, secret("")).await.unwrap());
        assert!(!passwords.verify(None, generate()).await.unwrap());
    }

    /// Else a sign-in would tell by its time whether the user is known.
    #[test]
    fn an_unknown_user_costs_what_a_known_one_does() {
        let parameters = |hash: &str| hash.rsplitn(3, '$').last().unwrap().to_owned();
        assert_eq!(parameters(DUMMY), parameters(&hash("password").unwrap()));
        assert!(!verify(DUMMY, "password").unwrap(), "it is a hash that can be checked");
    }

    #[tokio::test]
    async fn a_password_over_the_limit_never_matches() {
        let passwords = Passwords::default();
        let empty = passwords.hash(secret("")).await.unwrap();
        let at = "p".repeat(PASSWORD_BYTES_MAX);
        let stored = passwords.hash(secret(&at)).await.unwrap();
        assert!(passwords.verify(Some(stored), secret(&at)).await.unwrap());
        assert!(!passwords.verify(Some(empty), secret(&format!("{at}p"))).await.unwrap());
    }

    #[tokio::test]
    async fn a_damaged_hash_is_an_error_and_not_a_wrong_password() {
        let passwords = Passwords::default();
        let outcome = passwords.verify(Some("$argon2id$nonsense".into()), secret("x")).await;
        assert!(matches!(outcome, Err(AuthError::CorruptHash { .. })), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_caller_who_goes_away_does_not_give_the_turn_of_the_work_to_others() {
        let passwords = Arc::new(Passwords::default());
        let (started, has_started) = tokio::sync::oneshot::channel();
        let (end, may_end) = std::sync::mpsc::channel::<()>();
        let theirs = Arc::clone(&passwords);
        let caller = tokio::spawn(async move {
            let work = move || {
                let _ = started.send(());
                let _ = may_end.recv();
                Ok(())
            };
            theirs.off_the_async_threads(work).await
        });
        has_started.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());

        assert_eq!(passwords.turns.available_permits(), AT_ONCE - 1);
        assert_eq!(passwords.waiting.load(Ordering::Relaxed), 0, "nobody waits for it");
        end.send(()).unwrap();
        let _all = passwords.turns.acquire_many(AT_ONCE as u32).await.unwrap();
    }

    #[test]
    fn the_queue_is_bounded_and_a_place_comes_back() {
        let waiting = AtomicUsize::new(0);
        let places: Vec<_> = (0..WAITING_MAX).map(|_| Place::take(&waiting).unwrap()).collect();
        assert!(matches!(Place::take(&waiting), Err(AuthError::Overloaded { waiting: WAITING_MAX })));
        drop(places);
        assert!(Place::take(&waiting).is_ok());
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn generated_passwords_differ_and_are_easy_to_type() {
        let password = generate();
        assert_eq!(password.len(), GENERATED_CHARACTERS);
        assert!(password.bytes().all(|byte| ALPHABET.contains(&byte)));
        assert_ne!(*password, *generate());
    }
}
