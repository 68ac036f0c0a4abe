//! Tokens, in the two shapes that clients insist on.

use serde::{Serialize, Serializer};

/// Of `POST /signin`: `expires_in` is a string, and clients break on a number.
#[derive(Serialize)]
pub struct LegacyToken<'a> {
    pub token_type: &'static str,
    pub access_token: &'a str,
    #[serde(serialize_with = "as_text")]
    pub expires_in: u64,
}

/// Of `POST /oauth2/v1/token` (RFC 6749 §5.1): `expires_in` is a number.
#[derive(Serialize)]
pub struct OAuthToken<'a> {
    pub access_token: &'a str,
    pub token_type: &'static str,
    pub expires_in: u64,
}

fn as_text<S: Serializer>(seconds: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(seconds)
}
