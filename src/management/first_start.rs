//! The first start: everything that a service needs before its first administrator, in one
//! transaction.
//!
//! Either all of it is there or nothing, so a first start that broke off is simply done again. A
//! store that has been through it is recognised and left alone; of several nodes that begin on one empty
//! store at the same moment, one does it and the others find that out when they commit.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::customers::NewCustomer;
use super::tls_anchor::load_anchor;
use super::{CommitError, Error, Object, audited};
use crate::auth::{ClientCredentials, TokenKey, password};
use crate::ca::{EndpointAnchor, IssuerError, Profile, certificate_pem};
use crate::clock::Clock;
use crate::domain::audit::{AuditEvent, AuditKey};
use crate::domain::peppers::{PepperError, open_peppers};
use crate::domain::places::{self, RecordPlace};
use crate::domain::{Actor, Administrator, ApiClient, Cloud, Description, Name, Revision, Role};
use crate::id::CustomerId;
use crate::secret::master::{MasterKeys, UnsealError};
use crate::secret::pepper::{PepperBytes, PepperNumber, Peppers};
use crate::store::{BrokenRule, Change, ChangeError, IdAllocator, SETTING_SEALED_BY, SealedSecret, Store, StoreError};

/// Inserted by the first start and never changed: an RFC 3339 instant.
pub const SETTING_INITIALIZED_AT: &str = "initialized_at";

/// The cloud that new key strings and certificates name.
pub const SETTING_CLOUD: &str = "cloud";

const FIRST_CUSTOMER: &str = "Default";
const FIRST_ADMINISTRATOR: &str = "admin";
const FIRST_API_CLIENT: &str = "first-start";

/// What a first start needs to know.
pub struct FirstStart {
    pub cloud: Cloud,
    /// What the trial certificates of the first signing certificates are made with.
    pub profile: Arc<Profile>,
    /// How long the certificates of components live that the first signing certificates sign.
    pub component_lifetime_seconds: u32,
}

/// Shown once, kept nowhere. No `Debug`.
pub struct FirstCredentials {
    pub customer_id: CustomerId,
    /// An owner.
    pub username: String,
    pub password: Zeroizing<String>,
    /// An admin of the first customer.
    pub client_id: String,
    pub client_secret: Zeroizing<String>,
    /// PEM of the CA above the TLS certificates of the service's listeners.
    pub endpoint_anchor: String,
}

/// A first start that is ready to be committed.
///
/// In two steps, so that whoever starts the service can put the credentials somewhere safe *before*
/// they are valid: a crash in between leaves no service that nobody can enter.
pub struct PreparedFirstStart {
    credentials: FirstCredentials,
    changes: Vec<Change>,
    audit: Vec<AuditEvent>,
    audit_key: AuditKey,
}

impl PreparedFirstStart {
    /// Makes settings, sealed secrets, the first customer with its six signing certificates, an owner
    /// and an API client, with their audit events. Writes nothing.
    /// `None`: the store has been through it.
    ///
    /// Blocks no async thread for longer than a key pair takes; the argon2id hash is made elsewhere.
    ///
    /// # Errors
    /// Outages, [`Error::Internal`] when certificates cannot be made.
    pub async fn make(
        store: &dyn Store,
        ids: &IdAllocator,
        master_keys: &Arc<MasterKeys>,
        clock: &dyn Clock,
        start: FirstStart,
    ) -> Result<Option<Self>, Error> {
        if store.find_setting(SETTING_INITIALIZED_AT).await?.is_some() {
            return Ok(None);
        }
        let now = clock.now();
        let system = Actor::system();
        let name = |text: &str| Name::new(text).expect("the first names are names");

        let pepper: PepperBytes = Peppers::generate();
        let audit_key_bytes = AuditKey::generate();
        let anchor = EndpointAnchor::make(now)
            .map_err(|error| Error::Internal { detail: format!("the endpoint's anchor could not be made: {error}") })?;
        let seal = |place: &RecordPlace, plain: &[u8]| Change::PutSecret(sealed(place, plain, master_keys));
        let mut changes = vec![
            Change::InsertSetting { name: SETTING_INITIALIZED_AT.to_owned(), value: now.to_string() },
            Change::PutSetting { name: SETTING_CLOUD.to_owned(), value: start.cloud.to_string() },
            Change::PutSetting { name: SETTING_SEALED_BY.to_owned(), value: master_keys.sealing_id() },
            seal(&places::pepper(PepperNumber::FIRST), &*pepper),
            seal(&places::token_key(), &*TokenKey::generate()),
            seal(&places::audit_key(), &*audit_key_bytes),
            seal(&places::endpoint_anchor_certificate(), &anchor.certificate),
            seal(&places::endpoint_anchor_key(), &anchor.private_key),
        ];

        let lifetime = start.component_lifetime_seconds;
        let customer_id = ids.next().await?;
        let first_name = name(FIRST_CUSTOMER);
        let first = NewCustomer::make(customer_id, first_name, ids, master_keys, &start.profile, lifetime, now).await?;
        let mut audit = vec![
            AuditEvent {
                after: Some(serde_json::json!({ "cloud": start.cloud.as_str() }).to_string()),
                ..AuditEvent::new(
                    &system,
                    CustomerId::SERVICE,
                    now,
                    "initialize",
                    (Object::Service.as_str(), String::new(), ""),
                )
            },
            audited::created(&system, now, &first.customer),
        ];
        changes.push(Change::InsertCustomer(first.customer));
        for certificate in first.signing_certificates {
            audit.push(audited::created(&system, now, &certificate));
            changes.push(Change::InsertSigningCertificate(certificate));
        }

        let owner_password = password::generate();
        let hashing = owner_password.clone();
        let password_hash = super::signing_certificates::off_the_async_threads(move || {
            password::hash(&hashing).map_err(|error| Error::Internal { detail: error.to_string() })
        })
        .await?;
        let owner = Administrator {
            id: ids.next().await?,
            customer_id: CustomerId::SERVICE,
            username: name(FIRST_ADMINISTRATOR),
            description: Description::default(),
            password_hash,
            role: Role::Owner,
            enabled: true,
            last_sign_in_at: None,
            created_at: now,
            modified_at: now,
            modified_by: None,
            revision: Revision::FIRST,
        };
        audit.push(audited::created(&system, now, &owner));
        changes.push(Change::InsertAdministrator(owner));

        let credentials = ClientCredentials::generate();
        let (pepper_number, secret_digest) = credentials.digest(&Peppers::new(&[(PepperNumber::FIRST, pepper)]));
        let client = ApiClient {
            id: ids.next().await?,
            customer_id,
            name: name(FIRST_API_CLIENT),
            client_id: credentials.client_id.clone(),
            secret_digest,
            pepper: pepper_number,
            secret_generation: 0,
            role: Role::Admin,
            enabled: true,
            managing: None,
            last_used_at: None,
            created_at: now,
            modified_at: now,
            modified_by: None,
            revision: Revision::FIRST,
        };
        audit.push(audited::created(&system, now, &client));
        changes.push(Change::InsertApiClient(client));

        let credentials = FirstCredentials {
            customer_id,
            username: FIRST_ADMINISTRATOR.to_owned(),
            password: owner_password,
            client_id: credentials.client_id,
            client_secret: credentials.client_secret,
            endpoint_anchor: certificate_pem(&anchor.certificate),
        };
        Ok(Some(Self { credentials, changes, audit, audit_key: AuditKey::new(&audit_key_bytes) }))
    }

    /// What will be good once [`commit`](Self::commit) has answered.
    pub fn credentials(&self) -> &FirstCredentials {
        &self.credentials
    }

    /// All of it in one transaction. `None`: another node was first, and nothing of this is good.
    ///
    /// # Errors
    /// Outages. A first start that broke off is simply done again.
    pub async fn commit(self, store: &dyn Store) -> Result<Option<FirstCredentials>, Error> {
        match store.commit_changes(self.changes, self.audit, &self.audit_key).await {
            Ok(_) => Ok(Some(self.credentials)),
            // The position: of the setting that says that it was done.
            Err(ChangeError::Rule { position: 0, rule: BrokenRule::DuplicateName }) => Ok(None),
            Err(error) => Err(CommitError::from(error).about(Object::Service, "", "")),
        }
    }
}

/// The service-wide secrets, opened.
pub struct ServiceSecrets {
    pub peppers: Peppers,
    pub token_key: TokenKey,
    pub audit_key: AuditKey,
    pub endpoint_anchor: EndpointAnchor,
}

/// Why the secrets could not be opened. The texts are for whoever starts the service.
#[derive(Debug, thiserror::Error)]
pub enum LoadSecretsError {
    #[error("the store holds no {purpose}: it was never initialized, or its first start was undone by hand")]
    Missing { purpose: String },
    #[error(
        "the {purpose} {name:?} does not open: {source}. \
         Is this the master key that the store was initialized with?"
    )]
    Unseal { purpose: String, name: String, source: UnsealError },
    #[error("the {purpose} {name:?} has a wrong length or name: the store is damaged")]
    Damaged { purpose: String, name: String },
    #[error("{0}. Is this the master key that the store was initialized with?")]
    Pepper(#[from] PepperError),
    #[error("the endpoint's anchor cannot be used: {0}")]
    Anchor(#[from] IssuerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) fn sealed(place: &RecordPlace, plain: &[u8], master_keys: &MasterKeys) -> SealedSecret {
    SealedSecret {
        purpose: place.purpose().to_owned(),
        name: place.record().to_owned(),
        sealed: master_keys.seal(place.as_place(), plain),
    }
}

/// Opens what a first start sealed. A few reads; once per start.
///
/// # Errors
/// [`LoadSecretsError`]; the service must not start.
pub async fn load_secrets(store: &dyn Store, master_keys: &MasterKeys) -> Result<ServiceSecrets, LoadSecretsError> {
    let sealed = store.list_secrets(places::PEPPER).await?;
    let peppers = open_peppers(sealed.iter().map(|secret| (&*secret.name, &*secret.sealed)), master_keys)?;
    if peppers.is_empty() {
        return Err(LoadSecretsError::Missing { purpose: places::PEPPER.to_owned() });
    }
    Ok(ServiceSecrets {
        peppers: Peppers::new(&peppers),
        token_key: TokenKey::new(&*load_32(store, master_keys, &places::token_key()).await?),
        audit_key: AuditKey::new(&*load_32(store, master_keys, &places::audit_key()).await?),
        endpoint_anchor: load_anchor(store, master_keys).await?,
    })
}

async fn load_32(
    store: &dyn Store,
    master_keys: &MasterKeys,
    place: &RecordPlace,
) -> Result<Zeroizing<[u8; 32]>, LoadSecretsError> {
    let plain = open_of(&store.list_secrets(place.purpose()).await?, place, master_keys)?;
    exactly_32(&plain).ok_or_else(|| LoadSecretsError::Damaged {
        purpose: place.purpose().to_owned(),
        name: place.record().to_owned(),
    })
}

/// The one of `secrets` that stands in this place.
pub(super) fn open_of(
    secrets: &[SealedSecret],
    place: &RecordPlace,
    master_keys: &MasterKeys,
) -> Result<Zeroizing<Vec<u8>>, LoadSecretsError> {
    let found = secrets.iter().find(|secret| secret.name == place.record());
    let secret = found.ok_or_else(|| LoadSecretsError::Missing { purpose: place.purpose().to_owned() })?;
    open(place, secret, master_keys)
}

fn open(
    place: &RecordPlace,
    secret: &SealedSecret,
    master_keys: &MasterKeys,
) -> Result<Zeroizing<Vec<u8>>, LoadSecretsError> {
    master_keys.open(place.as_place(), &secret.sealed).map_err(|source| LoadSecretsError::Unseal {
        purpose: secret.purpose.clone(),
        name: secret.name.clone(),
        source,
    })
}

fn exactly_32(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    bytes.try_into().ok().map(Zeroizing::new)
}
