//! Sessions of API clients: sign in, authenticate each request, sign out.

use std::time::Duration;

use zeroize::Zeroizing;

use super::error::InvalidToken;
use super::{Error, Management, Object};
use crate::auth::client_secret;
use crate::auth::token::{Claims, SubjectKind};
use crate::clock::Timestamp;
use crate::domain::administrator::ActorIdentity;
use crate::domain::audit::AuditEvent;
use crate::domain::{Actor, ApiClient};
use crate::id::CustomerId;

/// How long a token lives. Public clients take it for granted that it is an hour, and some never sign
/// in again.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(3_600);

/// Longest client id and secret looked at, in bytes each.
const CREDENTIAL_BYTES_MAX: usize = 256;

/// What a sign-in gives.
pub struct SignedIn {
    /// A JWT.
    pub token: Zeroizing<String>,
    pub lifetime: Duration,
}

/// A request's caller, whose token was good and whose client and customer are in force.
#[derive(Clone, Debug)]
pub struct Session {
    pub actor: Actor,
    /// The token's `jti`.
    pub(super) token_id: String,
    pub(super) expires_at: Timestamp,
}

impl Management {
    /// Signs an API client in. For unknown clients the same digests are computed and compared; that a
    /// known one is disabled is found out only after its secret was right.
    ///
    /// Costs one durable write for the audit event when it succeeds and none when it does not.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], whatever was wrong; outages.
    pub async fn sign_in_client(&self, client_id: &str, client_secret: &str) -> Result<SignedIn, Error> {
        let too_long = client_id.len() > CREDENTIAL_BYTES_MAX || client_secret.len() > CREDENTIAL_BYTES_MAX;
        let (client_id, client_secret) = if too_long { ("", "") } else { (client_id, client_secret) };
        let client = self.store().find_api_client(client_id).await?;
        let stored = client.as_ref().map(|client| (client.pepper, &client.secret_digest));
        let is_right = client_secret::verify(&self.parts.peppers, client_id, client_secret, stored);
        let Some(client) = client.filter(|client| is_right && client.enabled) else {
            return Err(Error::InvalidCredentials);
        };
        if !self.is_in_force(client.customer_id).await? {
            return Err(Error::InvalidCredentials);
        }
        let now = self.now();
        let claims = Claims::new(&client.client_id, SubjectKind::ApiClient, client.customer_id, now, TOKEN_LIFETIME);
        let actor = actor_of(client);
        let event = session_event(&actor, "sign-in", &claims.jti, now);
        self.store()
            .commit_changes(Vec::new(), vec![event], &self.parts.audit_key)
            .await
            .map_err(|error| super::CommitError::from(error).about(Object::Session, &claims.jti, ""))?;
        Ok(SignedIn { token: self.parts.token_key.sign(&claims), lifetime: TOKEN_LIFETIME })
    }

    /// Who sends this token. Client, customer and sign-out are looked up each time, so what was
    /// disabled is refused from its next request on.
    ///
    /// # Errors
    /// [`Error::InvalidToken`]; outages.
    pub async fn authenticate(&self, token: &str) -> Result<Session, Error> {
        let refused = |why: InvalidToken| Err(Error::InvalidToken(why));
        let claims = match self.parts.token_key.verify(token, self.now()) {
            Ok(claims) => claims,
            Err(error) => return refused(error.into()),
        };
        match claims.kind {
            SubjectKind::ApiClient => {}
            SubjectKind::Administrator => return refused(InvalidToken::Kind),
        }
        let client = self.store().find_api_client(&claims.sub).await?;
        let client = client.filter(|client| client.enabled && client.customer_id == claims.customer_id);
        let Some(client) = client else {
            return refused(InvalidToken::Client { client_id: claims.sub });
        };
        if !self.is_in_force(client.customer_id).await? {
            return refused(InvalidToken::Customer);
        }
        if self.is_signed_out(&claims.jti).await? {
            return refused(InvalidToken::SignedOut);
        }
        let expires_at = Timestamp::from_unix_seconds(claims.exp);
        Ok(Session { actor: actor_of(client), token_id: claims.jti, expires_at })
    }

    /// Ends the session: its token is refused from now on, on every node and after a restart.
    ///
    /// # Errors
    /// Outages; the token may be good still.
    pub async fn sign_out(&self, session: &Session) -> Result<(), Error> {
        let now = self.now();
        let event = session_event(&session.actor, "sign-out", &session.token_id, now);
        self.remember_sign_out(&session.token_id, session.expires_at, now, event).await
    }

    async fn is_in_force(&self, customer: CustomerId) -> Result<bool, Error> {
        if customer == CustomerId::SERVICE {
            return Ok(true);
        }
        Ok(self.store().find_customer(customer).await?.is_some_and(|customer| customer.enabled))
    }
}

/// `token_id` names the session and opens nothing.
fn session_event(actor: &Actor, action: &str, token_id: &str, now: Timestamp) -> AuditEvent {
    let object = (Object::Session.as_str(), token_id.to_owned(), "");
    AuditEvent::new(actor, actor.customer_id, now, action, object)
}

fn actor_of(client: ApiClient) -> Actor {
    Actor {
        identity: ActorIdentity::ApiClient { id: client.id, client_id: client.client_id, managing: client.managing },
        customer_id: client.customer_id,
        role: client.role,
    }
}
