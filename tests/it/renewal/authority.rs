//! A CA whose private key is in other hands, too: imported into the service, and used outside it.

use muster::domain::Actor;
use muster::id::{CustomerId, SigningCertificateId};
use muster::management::Input;
use muster::management::certificate_uploads::SigningCertificateImport;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SerialNumber,
};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::support::device::Identity;
use crate::support::world::World;

/// What its leaves live, where the service has it: short, so that tests see them end.
pub const LIFETIME_DAYS: u64 = 1;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    key_pem: String,
}

impl Authority {
    pub fn root(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name);
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), issuer: Issuer::new(params, key) }
    }

    /// A root of the same name and subject key identifier as another, with a key of its own.
    pub fn namesake(name: &str, key_identifier: &[u8]) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = authority_params(name);
        params.key_identifier_method = KeyIdMethod::PreSpecified(key_identifier.to_vec());
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), issuer: Issuer::new(params, key) }
    }

    /// Of what signed this certificate.
    pub fn key_identifier_of(certificate: &[u8]) -> Vec<u8> {
        let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
        let found = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(found) => found.key_identifier.as_ref().map(|id| id.0.to_vec()),
            _ => None,
        });
        found.expect("an authority key identifier")
    }

    pub fn key_pair(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// A CA that this one signed, which the service knows nothing of.
    pub fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), issuer: Issuer::new(params, key) }
    }

    pub async fn import(&self, world: &World, customer: CustomerId, name: &str) -> SigningCertificateId {
        let input = SigningCertificateImport {
            name: Input::Given(name.to_owned()),
            component_lifetime_days: Input::Given(LIFETIME_DAYS),
            certificate: Input::Given(self.certificate_pem.clone()),
            private_key: Input::Given(self.key_pem.clone().into()),
            ..SigningCertificateImport::default()
        };
        let imported = world.management.import_signing_certificate(&Actor::system(), customer, input).await;
        imported.unwrap_or_else(|error| panic!("{error}")).certificate.id
    }

    /// A certificate like this one in subject, serial number, validity and purpose, for another key pair.
    pub fn twin(&self, of: &[u8]) -> Identity {
        let (_, original) = X509Certificate::from_der(of).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let common_name = original.subject().iter_common_name().next().unwrap().as_str().unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.serial_number = Some(SerialNumber::from(original.raw_serial().to_vec()));
        params.not_before = original.validity().not_before.to_datetime();
        params.not_after = original.validity().not_after.to_datetime();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::new(certificate.der(), &key)
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.key_identifier_method = KeyIdMethod::Sha256;
    params
}
