//! Access tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA-256, good on every node.
//!
//! The algorithm is ours and fixed: a token's first part is compared byte for byte with the one
//! header we write, so no token chooses how it is verified (RFC 8725 §3.1). Nothing of a token is
//! decoded before its MAC has verified.
//!
//! Public clients read `exp` out of the token before every request, so it is a three-part JWT and
//! not an opaque text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::id::CustomerId;
use crate::secret::{random_bytes, random_name};

/// base64url of `{"alg":"HS256","typ":"JWT"}`: the only header there is.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// Longest token looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 2_048;

/// What a token says. All of it was true when it was made; whether it still is, is for the one
/// who asks to find out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// Who signed in: a client id, or an administrator's id (a decimal string).
    pub sub: String,
    pub kind: SubjectKind,
    /// Decimal string; `"0"` for those who belong to no customer.
    #[serde(with = "customer_text")]
    pub customer_id: CustomerId,
    /// Seconds since the epoch.
    pub iat: i64,
    /// Seconds since the epoch; from this instant on the token is refused.
    pub exp: i64,
    /// 16 characters of base64url, random: names this token for sign-out.
    pub jti: String,
    /// Of an API client: how often its secret had been replaced when it signed in.
    #[serde(default)]
    pub secret_generation: u32,
}

/// What `sub` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    Administrator,
    ApiClient,
}

/// Why a token is not accepted. The caller answers the same 401 to all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("not a token of three parts, or longer than {TOKEN_BYTES_MAX} bytes")]
    Malformed,
    #[error("the header is not the one this service writes")]
    ForeignHeader,
    #[error("the signature does not verify")]
    BadSignature,
    #[error("the claims cannot be read: {detail}")]
    UnreadableClaims { detail: String },
    #[error("expired at {at}")]
    Expired { at: Timestamp },
}

impl Claims {
    /// Claims of a session that starts now.
    pub fn new(
        sub: &str,
        kind: SubjectKind,
        customer_id: CustomerId,
        now: Timestamp,
        lifetime: std::time::Duration,
    ) -> Self {
        Self {
            sub: sub.to_owned(),
            kind,
            customer_id,
            iat: now.unix_seconds(),
            exp: now.saturating_add(lifetime).unix_seconds(),
            jti: random_name::<12>(),
            secret_generation: 0,
        }
    }
}

/// Signs and verifies tokens. No `Debug`, no `Clone`: share it in an `Arc`.
pub struct TokenKey(hmac::Key);

impl TokenKey {
    pub fn generate() -> Zeroizing<[u8; 32]> {
        random_bytes()
    }

    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The compact form (RFC 7515 §3.1): `header.claims.signature`.
    pub fn sign(&self, claims: &Claims) -> Zeroizing<String> {
        let claims = serde_json::to_vec(claims).expect("claims are strings and numbers");
        let mut token = Zeroizing::new(String::with_capacity(HEADER.len() + claims.len() * 4 / 3 + 64));
        token.push_str(HEADER);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = hmac::sign(&self.0, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// # Errors
    /// Every [`TokenError`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if header != HEADER {
            return Err(TokenError::ForeignHeader);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::BadSignature)?;
        // Constant time over the MAC.
        hmac::verify(&self.0, signed.as_bytes(), &signature).map_err(|_| TokenError::BadSignature)?;

        let unreadable = |detail: String| TokenError::UnreadableClaims { detail };
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|error| unreadable(error.to_string()))?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|error| unreadable(error.to_string()))?;
        if now.unix_seconds() >= claims.exp {
            return Err(TokenError::Expired { at: Timestamp::from_unix_seconds(claims.exp) });
        }
        Ok(claims)
    }
}

/// A customer's id, of which 0 is no id but means "none" here.
mod customer_text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::id::CustomerId;

    pub(super) fn serialize<S: Serializer>(id: &CustomerId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CustomerId, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "0" { Ok(CustomerId::SERVICE) } else { text.parse().map_err(serde::de::Error::custom) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::Id as _;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn claims() -> Claims {
        Claims::new("client", SubjectKind::ApiClient, CustomerId::from_raw(7), NOW, Duration::from_secs(3_600))
    }

    #[test]
    fn a_token_is_good_until_the_second_it_expires() {
        let key = TokenKey::new(&TokenKey::generate());
        let token = key.sign(&claims());
        let last = NOW.saturating_add(Duration::from_secs(3_599));
        let end = NOW.saturating_add(Duration::from_secs(3_600));
        assert_eq!(key.verify(&token, NOW).map(|claims| claims.sub), Ok("client".into()));
        assert!(key.verify(&token, last).is_ok());
        assert_eq!(key.verify(&token, end), Err(TokenError::Expired { at: end }));
    }

    #[test]
    fn others_read_the_expiry_as_a_number() {
        let token = TokenKey::new(&TokenKey::generate()).sign(&claims());
        let parts: Vec<_> = token.split('.').collect();
        let decode = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(parts.len(), 3);
        assert_eq!(decode(parts[0]), serde_json::json!({ "alg": "HS256", "typ": "JWT" }));
        let claims = decode(parts[1]);
        assert_eq!(claims["exp"], 1_800_003_600_i64);
        assert_eq!(claims["customerId"], "7");
        assert_eq!(claims["kind"], "api-client");
    }

    #[test]
    fn another_header_is_refused_even_when_signed() {
        let key = TokenKey::new(&TokenKey::generate());
        let token = key.sign(&claims());
        let body = token.split('.').nth(1).unwrap();
        for header in [r#"{"alg":"none","typ":"JWT"}"#, r#"{"typ":"JWT","alg":"HS256"}"#, r#"{"alg":"HS512"}"#, ""] {
            let signed = format!("{}.{body}", URL_SAFE_NO_PAD.encode(header));
            let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key.0, signed.as_bytes()));
            assert_eq!(key.verify(&format!("{signed}.{signature}"), NOW), Err(TokenError::ForeignHeader), "{header}");
            assert_eq!(key.verify(&format!("{signed}."), NOW), Err(TokenError::ForeignHeader), "{header}");
        }
    }

    #[test]
    fn every_changed_or_missing_character_is_refused() {
        let key = TokenKey::new(&TokenKey::generate());
        let token = key.sign(&claims());
        for at in 0..token.len() {
            let replacement = if &token[at..=at] == "A" { "B" } else { "A" };
            let changed = format!("{}{replacement}{}", &token[..at], &token[at + 1..]);
            assert!(key.verify(&changed, NOW).is_err(), "changed at {at}");
            assert!(key.verify(&token[..at], NOW).is_err(), "cut at {at}");
        }
        assert_eq!(TokenKey::new(&TokenKey::generate()).verify(&token, NOW), Err(TokenError::BadSignature));
        assert_eq!(key.verify(&"a.".repeat(TOKEN_BYTES_MAX), NOW), Err(TokenError::Malformed));
    }

    #[test]
    fn a_token_at_the_longest_that_is_looked_at() {
        let key = TokenKey::new(&TokenKey::generate());
        let signed = |sub: usize| key.sign(&Claims { sub: "s".repeat(sub), ..claims() });
        let longest = (0..).find(|&sub| signed(sub).len() == TOKEN_BYTES_MAX).expect("a length that base64 can have");
        assert!(key.verify(&signed(longest), NOW).is_ok());
        assert_eq!(key.verify(&signed(longest + 1), NOW), Err(TokenError::Malformed));
    }

    #[test]
    fn those_without_a_customer_carry_zero() {
        let key = TokenKey::new(&TokenKey::generate());
        let owner = Claims { customer_id: CustomerId::SERVICE, ..claims() };
        assert_eq!(key.verify(&key.sign(&owner), NOW), Ok(owner));
    }
}
