//! Tokens, in the two shapes that clients insist on.

use serde::{Serialize, Serializer};

use crate::server::api::schema::{Form, Member, Shape};

/// Of `POST /signin`.
pub static SIGN_IN: Shape = Shape::new(
    "SignIn",
    &[
        Member::text("client_id", "Id of the API client").writable(),
        Member::text("client_secret", "Its secret").writable(),
        Member::text("username", "User name of the administrator, where no client_id is given").writable(),
        Member::text("password", "Their password").writable(),
    ],
);

/// Of `POST /oauth2/v1/token` (RFC 6749 §4.4.2).
pub static CLIENT_CREDENTIALS: Shape = Shape::new(
    "ClientCredentials",
    &[
        Member::word("grant_type", &["client_credentials"], "The only grant there is").required(),
        Member::text("client_id", "Id of the API client").required(),
        Member::text("client_secret", "Its secret").required(),
    ],
);

pub static LEGACY_TOKEN: Shape = Shape::new(
    "LegacyToken",
    &[
        Member::word("token_type", &["Bearer"], "How it is presented"),
        Member::text("access_token", "A JWT"),
        Member::counter("expires_in", "Seconds that it lives"),
    ],
);

pub static OAUTH_TOKEN: Shape = Shape::new(
    "OAuthToken",
    &[
        Member::text("access_token", "A JWT"),
        Member::word("token_type", &["Bearer"], "How it is presented"),
        Member::new("expires_in", Form::Number, "Seconds that it lives"),
    ],
);

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
