//! Sessions: sign in, authenticate each request, sign out.
//!
//! API clients sign in with a secret of 256 bits, administrators with a password. Both get a token; an
//! administrator's also has a row, so that its sessions can be listed and ended.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;
use zeroize::Zeroizing;

use super::edits::{Attempt, until_not_overtaken};
use super::error::InvalidToken;
use super::{CommitError, Error, Management, Object};
use crate::auth::client_secret;
use crate::auth::token::{Claims, SubjectKind};
use crate::clock::Timestamp;
use crate::domain::address::SourcePrefix;
use crate::domain::administrator::ActorIdentity;
use crate::domain::audit::AuditEvent;
use crate::domain::session::kept_user_agent;
use crate::domain::{Actor, Administrator, ApiClient, Role, SessionRecord};
use crate::id::{AdministratorId, CustomerId};
use crate::secret::pepper::PepperNumber;
use crate::store::{BrokenRule, Change, NewDigest, Page, PageRequest};

/// How long a token of the API lives. Public clients take it for granted that it is an hour, and some never
/// sign in again.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(3_600);

/// How long whoever signed in at the portal stays so: a working day, so that nobody who works with pages loses
/// a form that is half filled in to the end of an hour. The session is listed, and can be ended meanwhile.
pub const PORTAL_SESSION_LIFETIME: Duration = Duration::from_secs(8 * 3_600);

/// Longest client id and secret looked at, in bytes each.
const CREDENTIAL_BYTES_MAX: usize = 256;

/// What a sign-in gives.
pub struct SignedIn {
    /// A JWT.
    pub token: Zeroizing<String>,
    pub lifetime: Duration,
    pub session: Session,
}

/// A request's caller, whose token was good and who is in force, customer included.
#[derive(Clone, Debug)]
pub struct Session {
    pub actor: Actor,
    pub(super) record: SessionRecord,
}

impl Session {
    /// The token's `jti`: names the session and opens nothing.
    pub fn id(&self) -> &str {
        &self.record.id
    }
}

impl Management {
    /// Signs an API client in. For unknown clients the same digests are computed and compared; that a
    /// known one is disabled is found out only after its secret was right.
    ///
    /// Costs one durable write for the audit event when it succeeds and none when it does not. The write takes the secret's
    /// digest along to a newer pepper, if there is one.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], whatever was wrong; outages. As long as this node lacks a client's pepper that is one
    /// for this client alone, which shows that its id, no secret, is known.
    pub async fn sign_in_client(&self, client_id: &str, client_secret: &str) -> Result<SignedIn, Error> {
        let too_long = client_id.len() > CREDENTIAL_BYTES_MAX || client_secret.len() > CREDENTIAL_BYTES_MAX;
        let (client_id, client_secret) = if too_long { ("", "") } else { (client_id, client_secret) };
        let peppers = &*self.parts.peppers;
        let is_unheard_of = |pepper| pepper != PepperNumber::GONE && !peppers.is_live(pepper);
        let mut client = self.store().find_api_client(client_id).await?;
        if client.as_ref().is_some_and(|client| is_unheard_of(client.pepper)) {
            // Another node was quicker to learn of it.
            self.catch_up().await?;
            client = self.store().find_api_client(client_id).await?;
            if client.as_ref().is_some_and(|client| is_unheard_of(client.pepper)) {
                let reason = "this node does not have the pepper of an API client's secret yet".to_owned();
                return Err(Error::StoreUnavailable { reason });
            }
        }
        let stored = client.as_ref().map(|client| (client.pepper, &client.secret_digest));
        let is_right = client_secret::verify(peppers, client_id, client_secret, stored);
        let Some(client) = client.filter(|client| is_right && client.enabled) else {
            return Err(Error::InvalidCredentials);
        };
        if !self.is_in_force(client.customer_id).await? {
            return Err(Error::InvalidCredentials);
        }
        let now = self.now();
        let claims = Claims {
            secret_generation: client.secret_generation,
            ..Claims::new(&client.client_id, SubjectKind::ApiClient, client.customer_id, now, TOKEN_LIFETIME)
        };
        let (customer, id, before) = (client.customer_id, client.id, client.secret_digest);
        let newer = client_secret::newer_digest(peppers, client_id, client_secret, client.pepper);
        let moved = newer
            .map(|(pepper, digest)| Change::ReplaceApiClientDigest(NewDigest { customer, id, before, pepper, digest }));
        let note = Change::NoteApiClientUse { customer, id, at: now };
        let session = Session { actor: actor_of_client(client), record: record_of_client(&claims) };
        let changes = [note].into_iter().chain(moved).collect();
        self.commit_session(changes, session_event(&session, "sign-in", now)).await?;
        Ok(SignedIn { token: self.parts.token_key.sign(&claims), lifetime: TOKEN_LIFETIME, session })
    }

    /// Signs an administrator in, whose `user_agent` may be anything, for [`TOKEN_LIFETIME`] or
    /// [`PORTAL_SESSION_LIFETIME`]. An unknown user, a wrong password and a disabled account are told alike, and
    /// cost the same hashing. How guessing is slowed down: [`SignInThrottle`](crate::auth::SignInThrottle).
    ///
    /// Costs one argon2id hash and one durable write. A failure of a known user is counted, and written
    /// down later: [`write_failed_sign_ins`](Self::write_failed_sign_ins).
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], whatever was wrong; [`Error::TooManySignIns`]: nothing was looked
    /// at; [`Error::PasswordsOverloaded`] and other outages.
    pub async fn sign_in_administrator(
        &self,
        username: &str,
        password: Zeroizing<String>,
        from: IpAddr,
        user_agent: &str,
        lifetime: Duration,
    ) -> Result<SignedIn, Error> {
        let checked = self.check_password(username, password, from).await?.ok_or(Error::InvalidCredentials)?;
        let (customer, id) = (checked.customer_id, checked.id);
        let (checked, user_agent) = (&checked, &kept_user_agent(user_agent));
        until_not_overtaken(Object::Administrator, id, move || async move {
            // Changed since: the session must not begin with what is no longer good.
            let found = self.store().find_administrator_by_id(customer, id).await?;
            let found = found.filter(|found| found.enabled && found.password_hash == checked.password_hash);
            let administrator = found.ok_or(Error::InvalidCredentials)?;
            let revision = administrator.revision;
            let now = self.now();
            let kind = SubjectKind::Administrator;
            let claims = Claims::new(&id.to_string(), kind, customer, now, lifetime);
            let record = SessionRecord {
                id: claims.jti.clone(),
                customer_id: customer,
                administrator_id: Some(id),
                created_at: now,
                expires_at: Timestamp::from_unix_seconds(claims.exp),
                ended_at: None,
                remote_address: Some(from.to_canonical()),
                user_agent: user_agent.clone(),
            };
            let session = Session { actor: actor_of_administrator(&administrator), record };
            let event = AuditEvent {
                after: Some(json!({ "remoteAddress": from.to_canonical(), "userAgent": user_agent }).to_string()),
                ..session_event(&session, "sign-in", now)
            };
            let insert = Change::InsertSession { session: session.record.clone(), revision };
            match self.store().commit_changes(vec![insert], vec![event], &self.parts.audit_key).await {
                Ok(_) => {
                    let token = self.parts.token_key.sign(&claims);
                    Ok(Attempt::Done(SignedIn { token, lifetime, session }))
                }
                Err(error) => match CommitError::from(error) {
                    CommitError::Rule { rule: BrokenRule::Outdated { .. } | BrokenRule::NotFound, .. } => {
                        Ok(Attempt::Overtaken)
                    }
                    error => Err(error.about(Object::Session, &claims.jti, "")),
                },
            }
        })
        .await
    }

    /// The administrator of this name, if it is in force and the password is its own.
    ///
    /// # Errors
    /// [`Error::TooManySignIns`]: nothing was looked at; outages.
    pub(super) async fn check_password(
        &self,
        username: &str,
        password: Zeroizing<String>,
        from: IpAddr,
    ) -> Result<Option<Administrator>, Error> {
        let (source, now) = (SourcePrefix::of(from), self.now());
        self.throttle.begin(username, source, now)?;
        let looked_at = async {
            let found = self.store().find_administrator(username).await?;
            let stored = found.as_ref().map(|found| found.password_hash.clone());
            let is_right = self.passwords.verify(stored, password).await?;
            let is_good = match &found {
                Some(found) => is_right && found.enabled && self.is_in_force(found.customer_id).await?,
                None => false,
            };
            Ok((found, is_good))
        };
        match looked_at.await {
            Ok((Some(administrator), true)) => {
                self.throttle.give_back(username, source);
                Ok(Some(administrator))
            }
            Ok((found, _)) => {
                if let Some(administrator) = found {
                    self.failed_sign_ins.note(&administrator, source, now);
                }
                Ok(None)
            }
            Err(error) => {
                self.throttle.give_back(username, source);
                Err(error)
            }
        }
    }

    /// Who sends this token. Client or administrator, customer and sign-out are looked up each time, so
    /// what was disabled is refused from its next request on. Three reads of one row each.
    ///
    /// # Errors
    /// [`Error::InvalidToken`]; outages.
    pub async fn authenticate(&self, token: &str) -> Result<Session, Error> {
        let claims = self.parts.token_key.verify(token, self.now()).map_err(InvalidToken::from)?;
        let known = self.store().find_session(&claims.jti).await?;
        if known.as_ref().is_some_and(|session| session.ended_at.is_some()) {
            return Err(InvalidToken::SignedOut.into());
        }
        let session = match claims.kind {
            SubjectKind::Administrator => self.session_of_administrator(known).await?,
            SubjectKind::ApiClient => self.session_of_client(&claims).await?,
        };
        if !self.is_in_force(session.actor.customer_id).await? {
            return Err(InvalidToken::Customer.into());
        }
        Ok(session)
    }

    async fn session_of_administrator(&self, known: Option<SessionRecord>) -> Result<Session, Error> {
        let record = known.ok_or(InvalidToken::NoSession)?;
        let id = record.administrator_id.ok_or(InvalidToken::NoSession)?;
        let found = self.store().find_administrator_by_id(record.customer_id, id).await?;
        let found = found.filter(|administrator| administrator.enabled);
        let administrator = found.ok_or_else(|| InvalidToken::Administrator { session: record.id.clone() })?;
        Ok(Session { actor: actor_of_administrator(&administrator), record })
    }

    async fn session_of_client(&self, claims: &Claims) -> Result<Session, Error> {
        let client = self.store().find_api_client(&claims.sub).await?;
        let client = client.filter(|client| {
            client.enabled
                && client.customer_id == claims.customer_id
                && client.secret_generation == claims.secret_generation
        });
        let client = client.ok_or_else(|| InvalidToken::Client { client_id: claims.sub.clone() })?;
        Ok(Session { actor: actor_of_client(client), record: record_of_client(claims) })
    }

    /// Ends the session: its token is refused from now on, on every node and after a restart.
    ///
    /// # Errors
    /// Outages; the token may be good still.
    pub async fn sign_out(&self, session: &Session) -> Result<(), Error> {
        let now = self.now();
        let end = Change::EndSession { session: session.record.clone(), at: now };
        self.commit_session(vec![end], session_event(session, "sign-out", now)).await
    }

    /// The live sessions of an administrator, newest first: one's own, or with the role of an admin
    /// anybody's.
    ///
    /// # Errors
    /// [`Error::NotFound`]; rights and outages.
    pub async fn list_sessions(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: AdministratorId,
        page: PageRequest,
    ) -> Result<Page<SessionRecord>, Error> {
        self.authorise_own(actor, customer, id).await?;
        Ok(self.store().list_sessions(customer, id, self.now(), page).await?)
    }

    /// Ends a session of an administrator, its own or with the role of an admin anybody's.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one that has ended; rights and outages.
    pub async fn end_session(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: AdministratorId,
        session: &str,
    ) -> Result<(), Error> {
        let whose = self.authorise_own(actor, customer, id).await?;
        let now = self.now();
        let found =
            self.store().find_session(session).await?.filter(|found| {
                found.administrator_id == Some(id) && found.customer_id == customer && found.is_live(now)
            });
        let found = found.ok_or_else(|| Error::not_found(Object::Session, session))?;
        let object = (Object::Session.as_str(), found.id.clone(), whose.username.as_str());
        let event = AuditEvent::new(actor, customer, now, "end-session", object);
        self.commit_session(vec![Change::EndSession { session: found, at: now }], event).await
    }

    /// Ends all sessions of an administrator but `kept`, and tells how many those were.
    ///
    /// # Errors
    /// As [`end_session`](Self::end_session). Some may have ended when an outage comes between.
    pub async fn end_other_sessions(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: AdministratorId,
        kept: &str,
    ) -> Result<u64, Error> {
        let whose = self.authorise_own(actor, customer, id).await?;
        let mut ended = 0;
        loop {
            let now = self.now();
            let page = PageRequest { offset: 0, limit: PageRequest::LIMIT_MAX };
            let mut found = self.store().list_sessions(customer, id, now, page).await?.rows;
            found.retain(|session| session.id != kept);
            if found.is_empty() {
                return Ok(ended);
            }
            ended += found.len() as u64;
            let event = |session: &SessionRecord| {
                let object = (Object::Session.as_str(), session.id.clone(), whose.username.as_str());
                AuditEvent::new(actor, customer, now, "end-session", object)
            };
            let events = found.iter().map(event).collect();
            let ends = found.into_iter().map(|session| Change::EndSession { session, at: now }).collect();
            if let Err(error) = self.store().commit_changes(ends, events, &self.parts.audit_key).await {
                return Err(CommitError::from(error).about(Object::Session, id, ""));
            }
        }
    }

    /// The administrator, for whom it is or who manages it.
    async fn authorise_own(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: AdministratorId,
    ) -> Result<Administrator, Error> {
        let needed = if actor.is_administrator(id) { Role::Auditor } else { Role::Admin };
        self.authorise(actor, customer, needed).await?;
        let found = self.store().find_administrator_by_id(customer, id).await?;
        found.ok_or_else(|| Error::not_found(Object::Administrator, id))
    }

    /// Nothing that a node keeps in memory is changed, so nothing is announced.
    async fn commit_session(&self, changes: Vec<Change>, event: AuditEvent) -> Result<(), Error> {
        let id = event.object_id.clone();
        match self.store().commit_changes(changes, vec![event], &self.parts.audit_key).await {
            Ok(_) => Ok(()),
            Err(error) => Err(CommitError::from(error).about(Object::Session, id, "")),
        }
    }

    async fn is_in_force(&self, customer: CustomerId) -> Result<bool, Error> {
        if customer == CustomerId::SERVICE {
            return Ok(true);
        }
        Ok(self.store().find_customer(customer).await?.is_some_and(|customer| customer.enabled))
    }
}

/// The session's id names it and opens nothing.
fn session_event(session: &Session, action: &str, now: Timestamp) -> AuditEvent {
    let object = (Object::Session.as_str(), session.record.id.clone(), "");
    AuditEvent::new(&session.actor, session.actor.customer_id, now, action, object)
}

fn actor_of_administrator(administrator: &Administrator) -> Actor {
    Actor {
        identity: ActorIdentity::Administrator {
            id: administrator.id,
            username: administrator.username.as_str().to_owned(),
        },
        customer_id: administrator.customer_id,
        role: administrator.role,
    }
}

fn actor_of_client(client: ApiClient) -> Actor {
    Actor {
        identity: ActorIdentity::ApiClient { id: client.id, client_id: client.client_id, managing: client.managing },
        customer_id: client.customer_id,
        role: client.role,
    }
}

/// What is kept of an API client's token should it be signed out.
fn record_of_client(claims: &Claims) -> SessionRecord {
    SessionRecord {
        id: claims.jti.clone(),
        customer_id: claims.customer_id,
        administrator_id: None,
        created_at: Timestamp::from_unix_seconds(claims.iat),
        expires_at: Timestamp::from_unix_seconds(claims.exp),
        ended_at: None,
        remote_address: None,
        user_agent: String::new(),
    }
}
