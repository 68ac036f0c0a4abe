//! Signing certificates that come from elsewhere: imported with their private key, or signed by an
//! operator's CA for a key pair that was made here.
//!
//! Both ways end in the same checks: a whole chain of CAs in validity, the key of the certificate, and a
//! trial by a verifier that is not ours. What fails is the caller's to mend and told member by member, all
//! at once.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::fields::{Checker, Field, Input};
use super::signing_certificates::{SigningCertificateView, off_the_async_threads, open_private_key};
use super::{Error, Management, Request};
use crate::ca::{
    self, AuthorityChain, AuthorityError, ImportedKey, Issuer, KeyAlgorithm, Profile, RequestSubject,
    certificates_of_pem,
};
use crate::clock::Timestamp;
use crate::domain::certificate::{PublicKeyHash, SigningPurpose};
use crate::domain::{Description, Name, Revision, Role, SigningCertificate, places};
use crate::id::{CustomerId, SigningCertificateId};
use crate::secret::master::MasterKeys;
use crate::store::{ListQuery, PageRequest};

/// What a caller says when it brings a certificate and its private key. No `Debug`.
#[derive(Default)]
pub struct SigningCertificateImport {
    pub name: Input<String>,
    pub description: Input<String>,
    /// Of what it signs, 1 to 3,650. Absent: what the service is configured for.
    pub component_lifetime_days: Input<u64>,
    /// PEM: the CA certificate first, then its issuers up to a root, here or in `chain`.
    pub certificate: Input<String>,
    pub chain: Input<String>,
    /// PEM, unencrypted: PKCS#8, SEC1 or PKCS#1.
    pub private_key: Input<Zeroizing<String>>,
}

/// What a caller says when a key pair is to be made here and its certificate will come from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct SigningCertificateRequest {
    pub name: Input<String>,
    pub description: Input<String>,
    /// As for an import.
    pub component_lifetime_days: Input<u64>,
    /// P-256 when absent.
    pub algorithm: Input<KeyAlgorithm>,
    /// The signing certificate's name when absent. 1 to 64 characters, as the next two.
    pub common_name: Input<String>,
    /// The customer's name when absent; none when cleared.
    pub organization: Input<String>,
    pub organizational_unit: Input<String>,
    /// Two capitals (ISO 3166).
    pub country: Input<String>,
}

impl Management {
    /// Stores a certificate with its private key, sealed, after a trial of both.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::DuplicateName`]; [`Error::DuplicateKeyPair`]; rights and
    /// outages.
    pub async fn import_signing_certificate(
        &self,
        request: impl Into<Request<'_, SigningCertificateView>>,
        customer: CustomerId,
        input: SigningCertificateImport,
    ) -> Result<SigningCertificateView, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Admin).await?;
        let now = self.now();
        let mut checker = Checker::default();
        let settings = (input.name, input.description, input.component_lifetime_days);
        let (name, description, lifetime_seconds) = self.checked_settings(settings, &mut checker);
        let id = self.parts.ids.next().await?;
        let trial = Trial { id, lifetime_seconds, profile: Arc::clone(&self.parts.profile), now };
        let (certificate, chain, private_key) = (input.certificate, input.chain, input.private_key);
        // Verifications and trial signatures take milliseconds of CPU.
        let (brought, checker) = off_the_async_threads(move || {
            let sent = Sent::read(certificate, chain, true, &mut checker);
            let chain = sent.and_then(|sent| sent.verify(&mut checker));
            let key = checker.required(Field::PrivateKey, private_key, |text| ImportedKey::from_pem(&text));
            let (Some(chain), Some(key)) = (chain, key) else { return Ok((None, checker)) };
            let private_key = match chain.private_key(&key) {
                Ok(private_key) => private_key,
                Err(foreign) => {
                    checker.fault(Field::PrivateKey, foreign);
                    return Ok((None, checker));
                }
            };
            trial.run(&chain, &private_key, &mut checker)?;
            Ok((Some((chain, private_key)), checker))
        })
        .await?;
        let (Some(name), Some((chain, private_key))) = (name, brought) else {
            return Err(checker.into_error());
        };
        checker.finish()?;

        let new = NewRow {
            id,
            customer_id: customer,
            name,
            description,
            lifetime_seconds,
            public_key_hash: *chain.public_key_hash(),
            private_key: &private_key,
            made_by: actor.row_id(),
            now,
        };
        let mut row = new.sealed(&self.parts.master_keys);
        self.install(&mut row, &chain).await?;
        self.insert_signing_certificate(Request { actor, once }, row, now).await
    }

    /// Makes a key pair and the CSR for it. The signing certificate cannot sign until an edit brings the
    /// certificate that the operator's CA made of the CSR.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::DuplicateName`]; rights and outages.
    pub async fn request_signing_certificate(
        &self,
        request: impl Into<Request<'_, SigningCertificateView>>,
        customer: CustomerId,
        input: SigningCertificateRequest,
    ) -> Result<SigningCertificateView, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Admin).await?;
        let now = self.now();
        let mut checker = Checker::default();
        let settings = (input.name, input.description, input.component_lifetime_days);
        let (name, description, lifetime_seconds) = self.checked_settings(settings, &mut checker);
        let algorithm = checker.take(Field::KeyAlgorithm, input.algorithm).given().unwrap_or_default();
        let common_name = checker.check(Field::CommonName, input.common_name, checked_subject_text).given();
        let organization = checker.check(Field::Organization, input.organization, checked_subject_text);
        let organizational_unit =
            checker.check(Field::OrganizationalUnit, input.organizational_unit, checked_subject_text).given();
        let country = checker.check(Field::Country, input.country, checked_country).given();
        let owner = self.owner(customer).await?;
        let organization = match organization {
            Input::Absent => Some(owner.name.as_str().to_owned()),
            organization => organization.given(),
        };
        let Some(name) = name else {
            return Err(checker.into_error());
        };
        checker.finish()?;
        let common_name = common_name.unwrap_or_else(|| name.as_str().to_owned());

        let made = off_the_async_threads(move || {
            let subject = RequestSubject {
                common_name: &common_name,
                country: country.as_deref(),
                organization: organization.as_deref(),
                organizational_unit: organizational_unit.as_deref(),
            };
            ca::make_request(&subject, algorithm).map_err(|error| Error::Internal { detail: error.to_string() })
        })
        .await?;
        let new = NewRow {
            id: self.parts.ids.next().await?,
            customer_id: customer,
            name,
            description,
            lifetime_seconds,
            public_key_hash: made.public_key_hash,
            private_key: &made.private_key,
            made_by: actor.row_id(),
            now,
        };
        let mut row = new.sealed(&self.parts.master_keys);
        row.csr = Some(made.csr);
        self.insert_signing_certificate(Request { actor, once }, row, now).await
    }

    /// Puts a certificate that was sent into `row`; faults are noted. Without one, and when it is the one that
    /// is there, nothing changes.
    pub(super) async fn take_upload(
        &self,
        row: &mut SigningCertificate,
        certificate: Input<String>,
        chain: Input<String>,
        now: Timestamp,
        checker: &mut Checker,
    ) -> Result<(), Error> {
        let sent = Sent::read(certificate, chain, false, checker);
        let Some(sent) = sent.filter(|sent| !sent.is_of(row)) else { return Ok(()) };
        let lifetime_seconds = row.lifetime_seconds;
        let trial = Trial { id: row.id, lifetime_seconds, profile: Arc::clone(&self.parts.profile), now };
        let (before, master_keys) = (row.clone(), Arc::clone(&self.parts.master_keys));
        let mut noted = std::mem::take(checker);
        let (chain, noted) = off_the_async_threads(move || {
            let Some(chain) = sent.verify(&mut noted) else { return Ok((None, noted)) };
            if *chain.public_key_hash() != before.public_key_hash {
                noted.fault(Field::Certificate, "has another public key than this signing certificate");
            } else if before.certificate.as_ref().is_some_and(|before| !chain.succeeds(before)) {
                let reason = "has another subject or subject key identifier than the certificate in its place: what \
                              that signed would not verify any more";
                noted.fault(Field::Certificate, reason);
            } else {
                trial.run(&chain, &open_private_key(&before, &master_keys)?, &mut noted)?;
            }
            Ok((Some(chain), noted))
        })
        .await?;
        *checker = noted;
        match chain {
            Some(chain) => self.install(row, &chain).await,
            None => Ok(()),
        }
    }

    /// Puts a chain that was checked into its row.
    async fn install(&self, row: &mut SigningCertificate, chain: &AuthorityChain) -> Result<(), Error> {
        row.certificate = Some(chain.certificate().to_vec());
        row.chain = chain.above();
        (row.not_before, row.not_after) = (chain.not_before(), chain.not_after());
        row.parent_id = self.parent_of(row).await?;
        Ok(())
    }

    /// The customer's signing certificate that is right above `row`, if that is one of its own.
    async fn parent_of(&self, row: &SigningCertificate) -> Result<Option<SigningCertificateId>, Error> {
        let Some(above) = row.chain.first() else { return Ok(None) };
        let mut query = ListQuery::first(PageRequest::LIMIT_MAX);
        loop {
            let page = self.store().list_signing_certificates(row.customer_id, &query).await?;
            if let Some(parent) = page.rows.iter().find(|other| other.certificate.as_ref() == Some(above)) {
                return Ok(Some(parent.id));
            }
            query.offset += u64::from(query.limit);
            if query.offset >= page.total {
                return Ok(None);
            }
        }
    }
}

/// A signing certificate with a key pair and no certificate yet.
struct NewRow<'a> {
    id: SigningCertificateId,
    customer_id: CustomerId,
    name: Name,
    description: Description,
    lifetime_seconds: u32,
    public_key_hash: PublicKeyHash,
    /// PKCS#8 DER.
    private_key: &'a [u8],
    made_by: Option<u64>,
    now: Timestamp,
}

impl NewRow<'_> {
    fn sealed(self, master_keys: &MasterKeys) -> SigningCertificate {
        let place = places::signing_key(self.customer_id, self.id);
        SigningCertificate {
            id: self.id,
            customer_id: self.customer_id,
            name: self.name,
            description: self.description,
            certificate: None,
            chain: Vec::new(),
            public_key_hash: self.public_key_hash,
            sealed_private_key: Some(master_keys.seal(place.as_place(), self.private_key)),
            csr: None,
            parent_id: None,
            allow_signing: true,
            lifetime_seconds: self.lifetime_seconds,
            purpose: SigningPurpose::None,
            not_before: self.now,
            not_after: self.now,
            created_at: self.now,
            modified_at: self.now,
            modified_by: self.made_by,
            revision: Revision::FIRST,
        }
    }
}

/// Certificates as they were sent, in DER: those of `certificate`, then those of `chain`. Not empty.
struct Sent {
    certificates: Vec<Vec<u8>>,
    /// How many of them stood in `certificate`.
    in_certificate: usize,
}

impl Sent {
    /// `None`: nothing was sent, or a fault was noted. A chain needs its certificate, `is_required` or not.
    fn read(
        certificate: Input<String>,
        chain: Input<String>,
        is_required: bool,
        checker: &mut Checker,
    ) -> Option<Self> {
        let sends_chain = !matches!(chain, Input::Absent | Input::Cleared);
        if (is_required || sends_chain) && matches!(certificate, Input::Absent | Input::Cleared) {
            checker.missing(Field::Certificate);
        }
        let certificates = checker.check(Field::Certificate, certificate, |text| certificates_of_pem(&text)).given();
        let above = checker.check(Field::Chain, chain, |text| certificates_of_pem(&text)).given();
        if sends_chain && above.is_none() {
            return None;
        }
        let mut certificates = certificates?;
        let in_certificate = certificates.len();
        certificates.extend(above.unwrap_or_default());
        Some(Self { certificates, in_certificate })
    }

    /// Whether this is what `row` has, with its chain or, as clients write back what they read, without.
    fn is_of(&self, row: &SigningCertificate) -> bool {
        let (own, above) = (&self.certificates[0], &self.certificates[1..]);
        row.certificate.as_ref() == Some(own) && (above.is_empty() || above == row.chain)
    }

    /// The chain, or a noted fault of the member that it is in.
    fn verify(&self, checker: &mut Checker) -> Option<AuthorityChain> {
        match AuthorityChain::new(&self.certificates[0], &self.certificates[1..]) {
            Ok(chain) => Some(chain),
            Err(error) => {
                let index = error.index().unwrap_or(self.certificates.len() - 1);
                let field = if index < self.in_certificate { Field::Certificate } else { Field::Chain };
                checker.fault(field, format_args!("cannot be used: {error}"));
                None
            }
        }
    }
}

/// The checks that come last: whether certificate and key do what they are for.
struct Trial {
    id: SigningCertificateId,
    /// Of what it is to sign.
    lifetime_seconds: u32,
    profile: Arc<Profile>,
    now: Timestamp,
}

impl Trial {
    /// Notes the first fault. Blocking, milliseconds.
    fn run(&self, chain: &AuthorityChain, private_key: &[u8], checker: &mut Checker) -> Result<(), Error> {
        let (begin, end) = (chain.not_before(), chain.not_after());
        if self.now < begin {
            checker.fault(Field::Certificate, format_args!("does not count, with all of its chain, before {begin}"));
            return Ok(());
        }
        if end <= self.now {
            checker.fault(Field::Certificate, format_args!("has ended, it or one of its chain, at {end}"));
            return Ok(());
        }
        let internal = |what: &dyn std::fmt::Display| Error::Internal {
            detail: format!("the trial of signing certificate {} broke off: {what}", self.id),
        };
        let issuer = Issuer::new(self.id, chain.certificate(), &chain.above(), private_key, self.lifetime_seconds)
            .map_err(|error| internal(&error))?;
        match ca::try_out(&issuer, &self.profile, self.now) {
            Ok(()) => Ok(()),
            Err(error @ (AuthorityError::TrialFailed { .. } | AuthorityError::TrialRefused { .. })) => {
                checker.fault(Field::Certificate, format_args!("cannot be used: {error}"));
                Ok(())
            }
            Err(error) => Err(internal(&error)),
        }
    }
}

/// What may stand in a subject (X.520, upper bounds): 1 to 64 characters, none of them control characters.
fn checked_subject_text(text: String) -> Result<String, String> {
    match text.chars().count() {
        0 => Err("is empty; 1 to 64 characters were expected".to_owned()),
        1..=64 if text.chars().any(char::is_control) => Err("contains a control character".to_owned()),
        1..=64 => Ok(text),
        found => Err(format!("has {found} characters; at most 64 are accepted")),
    }
}

fn checked_country(text: String) -> Result<String, &'static str> {
    let is_country = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_country { Ok(text) } else { Err("must be two capital letters") }
}
