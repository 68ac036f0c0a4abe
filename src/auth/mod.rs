//! Passwords, client secrets and tokens: how people and programs prove who they are.
//!
//! Knows neither the store nor HTTP: it is given what is stored and what was presented, and says
//! whether they fit. Whether the account may still be used is `management`'s to decide.

pub mod client_secret;
pub mod password;
pub mod throttle;
pub mod token;

pub use client_secret::ClientCredentials;
pub use password::Passwords;
pub use throttle::{SignInThrottle, TooManyAttempts};
pub use token::{Claims, TokenError, TokenKey};

/// Why a password could not be hashed or checked. Never that it was the wrong one.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("too many passwords are being checked ({waiting} waiting)")]
    Overloaded { waiting: usize },
    #[error("a stored password hash is no PHC string of argon2id: {detail}")]
    CorruptHash { detail: String },
    #[error("argon2id failed: {detail}")]
    Hashing { detail: String },
}
