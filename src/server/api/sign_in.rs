//! Signing API clients and administrators in and out.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use zeroize::Zeroizing;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::session::{LegacyToken, OAuthToken};
use super::{Api, Call};
use crate::domain::address::SourcePrefix;
use crate::management::Error;
use crate::management::sessions::{Session, SignedIn, TOKEN_LIFETIME};
use crate::server::http::failures::{FailureRate, TooManyFailures};
use crate::server::http::form;

/// Failed sign-ins that one source is told of. Right credentials are let through whatever others
/// behind the same address did.
const FAILED_SIGN_INS: FailureRate = FailureRate { per_second: NonZeroU32::new(1), burst: 20 };

/// `POST /signin`: `client_id` and `client_secret` as a form, or `username` and `password` for an
/// administrator; `expires_in` is a string.
pub(super) async fn sign_in(api: &Api, call: &Call) -> Result<Answer, Refusal> {
    let form = Credentials::read(&call.body)?;
    let signed_in = match form.administrator {
        Some((username, password)) => {
            let (from, user_agent) = (call.address, &call.user_agent);
            api.management.sign_in_administrator(&username, password, from, user_agent, TOKEN_LIFETIME).await?
        }
        None => check(api, call, &form).await?,
    };
    let body = LegacyToken { token_type: "Bearer", access_token: &signed_in.token, expires_in: seconds(&signed_in) };
    Ok(Answer::json(StatusCode::OK, &body))
}

/// `POST /oauth2/v1/token`, client credentials (RFC 6749 §4.4); `expires_in` is a number. `audience`
/// is not looked at.
pub(super) async fn token(api: &Api, call: &Call) -> Result<Answer, Refusal> {
    let form = Credentials::read(&call.body)?;
    if form.grant_type != "client_credentials" {
        let detail = "grant_type must be client_credentials";
        return Err(Refusal::OAuth { error: "unsupported_grant_type", detail });
    }
    if form.has_assertion {
        let detail = "client assertions are not accepted; send client_secret";
        return Err(Refusal::OAuth { error: "invalid_request", detail });
    }
    let signed_in = match check(api, call, &form).await {
        Err(Refusal::UseCase(Error::InvalidCredentials)) => {
            return Err(Refusal::OAuth { error: "invalid_client", detail: "unknown client or wrong secret" });
        }
        outcome => outcome?,
    };
    let body = OAuthToken { access_token: &signed_in.token, token_type: "Bearer", expires_in: seconds(&signed_in) };
    Ok(Answer::json(StatusCode::OK, &body))
}

/// `POST /signout` with the token that is to end.
pub(super) async fn sign_out(api: &Api, _call: &Call, session: &Session) -> Result<Answer, Refusal> {
    api.management.sign_out(session).await?;
    Ok(Answer::empty())
}

async fn check(api: &Api, call: &Call, form: &Credentials) -> Result<SignedIn, Refusal> {
    match api.management.sign_in_client(&form.client_id, &form.client_secret).await {
        Err(Error::InvalidCredentials) => {
            match api.failed_sign_ins.admit(SourcePrefix::of(call.address), FAILED_SIGN_INS, Instant::now()) {
                Ok(()) => Err(Error::InvalidCredentials.into()),
                Err(TooManyFailures { retry_after }) => {
                    let retry_after_seconds = whole_seconds(retry_after);
                    Err(Refusal::TooManyFailedSignIns { retry_after_seconds })
                }
            }
        }
        outcome => Ok(outcome?),
    }
}

/// Rounded up, so that whoever waits as long does not come too early.
fn whole_seconds(span: Duration) -> u32 {
    u32::try_from(span.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
}

fn seconds(signed_in: &SignedIn) -> u64 {
    signed_in.lifetime.as_secs()
}

/// The members of a sign-in form; missing ones are empty, and so no client's.
#[derive(Default)]
struct Credentials {
    client_id: String,
    client_secret: Zeroizing<String>,
    grant_type: String,
    has_assertion: bool,
    /// User name and password, when there is a user name and no client id.
    administrator: Option<(String, Zeroizing<String>)>,
}

impl Credentials {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        let malformed = || Refusal::Query { member: "body", detail: "is not form-encoded UTF-8".to_owned() };
        let text = std::str::from_utf8(body).map_err(|_| malformed())?;
        let mut credentials = Self::default();
        let (mut username, mut password) = (None, Zeroizing::default());
        for (name, value) in form::parse(text).ok_or_else(malformed)? {
            match &*name {
                "client_id" => credentials.client_id = value.to_string(),
                "client_secret" => credentials.client_secret = value,
                "grant_type" => credentials.grant_type = value.to_string(),
                "client_assertion" => credentials.has_assertion = true,
                "username" => username = Some(value.to_string()),
                "password" => password = value,
                _ => {}
            }
        }
        if credentials.client_id.is_empty() {
            credentials.administrator = username.map(|username| (username, password));
        }
        Ok(credentials)
    }
}
