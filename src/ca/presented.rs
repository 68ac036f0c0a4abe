//! Client certificates as strangers show them: which signing certificate made one, and what it says of itself.
//!
//! Possession of the private key was proved before. What a certificate says leads to a record and proves nothing: it is
//! believed once its bytes are those of the record.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use super::ca_certificate::{CaCertificate, CaCertificateError, signature_algorithm};
use super::public_key::{SignatureAlgorithm, SignatureError};
use crate::domain::SerialNumber;
use crate::id::ComponentId;

/// A client certificate, taken apart. Nothing of it is believed yet.
pub struct PresentedCertificate<'a> {
    der: &'a [u8],
    /// DER of the Name.
    issuer: Vec<u8>,
    authority_key_identifier: Vec<u8>,
    serial: SerialNumber,
    component_id: ComponentId,
    /// TBSCertificate, header included.
    signed: Vec<u8>,
    signature_algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

/// Why a client certificate cannot be one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresentedError {
    #[error("it is a CA's")]
    Authority,
    #[error("it names no key of an authority")]
    AuthorityKeyIdentifier,
    #[error("its common name is no component's id")]
    CommonName,
    #[error("it is not an X.509 certificate in DER")]
    Malformed,
    #[error("it is not for clients: clientAuth is missing from its extended key usage")]
    Purpose,
    #[error("its serial number does not have 16 octets")]
    SerialNumber,
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// A signing certificate without its private key: says what it made. One that ended, or may not sign any more, says
/// so still.
pub struct SigningAuthority {
    certificate: CaCertificate,
}

impl<'a> PresentedCertificate<'a> {
    /// `der`: at most some kilobytes, from whoever proved to hold its private key.
    ///
    /// # Errors
    /// The first thing that keeps it from being a component's certificate.
    pub fn parse(der: &'a [u8]) -> Result<Self, PresentedError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| PresentedError::Malformed)?;
        let tbs = &certificate.tbs_certificate;
        if !rest.is_empty() || tbs.signature != certificate.signature_algorithm {
            return Err(PresentedError::Malformed);
        }
        // Fails when an extension is there twice or does not parse.
        let constraints = tbs.basic_constraints().map_err(|_| PresentedError::Malformed)?;
        if constraints.is_some_and(|found| found.value.ca) {
            return Err(PresentedError::Authority);
        }
        let usage = tbs.extended_key_usage().map_err(|_| PresentedError::Malformed)?;
        if !usage.is_some_and(|found| found.value.client_auth) {
            return Err(PresentedError::Purpose);
        }
        let key_identifier = tbs.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(found) => {
                found.key_identifier.as_ref().map(|found| found.0.to_vec())
            }
            _ => None,
        });
        let serial = tbs.raw_serial().try_into().map_err(|_| PresentedError::SerialNumber)?;
        let mut common_names = tbs.subject().iter_common_name();
        let component_id = match (common_names.next(), common_names.next()) {
            (Some(name), None) => name.as_str().ok().and_then(|name| name.parse().ok()),
            _ => None,
        };
        Ok(Self {
            der,
            issuer: tbs.issuer().as_raw().to_vec(),
            authority_key_identifier: key_identifier.ok_or(PresentedError::AuthorityKeyIdentifier)?,
            serial: SerialNumber::from_bytes(serial),
            component_id: component_id.ok_or(PresentedError::CommonName)?,
            signed: tbs.as_ref().to_vec(),
            signature_algorithm: signature_algorithm(&certificate.signature_algorithm)?,
            signature: certificate.signature_value.data.to_vec(),
        })
    }

    pub fn der(&self) -> &'a [u8] {
        self.der
    }

    /// The subject key identifier of what made it, as it says.
    pub fn authority_key_identifier(&self) -> &[u8] {
        &self.authority_key_identifier
    }

    /// Where its record is, as it says.
    pub fn component_id(&self) -> ComponentId {
        self.component_id
    }

    pub fn serial(&self) -> SerialNumber {
        self.serial
    }
}

impl SigningAuthority {
    /// `certificate`: DER.
    ///
    /// # Errors
    /// It is no CA's.
    pub fn parse(certificate: &[u8]) -> Result<Self, CaCertificateError> {
        Ok(Self { certificate: CaCertificate::parse(certificate)? })
    }

    /// The authority key identifier of what it made.
    pub fn key_identifier(&self) -> &[u8] {
        &self.certificate.key_identifier
    }

    /// Whether its key made this certificate: names meet and the signature verifies. Costs a verification where names
    /// meet.
    pub fn has_signed(&self, presented: &PresentedCertificate<'_>) -> bool {
        let PresentedCertificate { issuer, signature_algorithm, signed, signature, .. } = presented;
        *issuer == self.certificate.subject
            && self.certificate.public_key.verify(*signature_algorithm, signed, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        KeyUsagePurpose, SerialNumber as Serial,
    };

    use super::*;
    use crate::id::Id as _;

    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        der: Vec<u8>,
    }

    fn authority(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Authority { issuer: Issuer::new(params, key), der }
    }

    fn leaf() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "72057594037927999");
        params.serial_number = Some(Serial::from(vec![7; 16]));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params
    }

    fn signed(params: &CertificateParams, by: &Authority) -> Vec<u8> {
        params.signed_by(&KeyPair::generate().unwrap(), &by.issuer).unwrap().der().to_vec()
    }

    fn refusal(params: &CertificateParams) -> PresentedError {
        PresentedCertificate::parse(&signed(params, &authority("CA"))).err().expect("a refusal")
    }

    #[test]
    fn a_certificate_is_taken_apart_and_traced_to_its_maker() {
        let (maker, namesake) = (authority("CA"), authority("CA"));
        let der = signed(&leaf(), &maker);
        let presented = PresentedCertificate::parse(&der).unwrap();
        assert_eq!(presented.der(), der);
        assert_eq!(presented.serial(), SerialNumber::from_bytes([7; 16]));
        assert_eq!(presented.component_id(), ComponentId::from_raw(72_057_594_037_927_999));
        let parse = |authority: &Authority| SigningAuthority::parse(&authority.der).unwrap();
        assert_eq!(presented.authority_key_identifier(), parse(&maker).key_identifier());
        assert!(parse(&maker).has_signed(&presented));
        assert!(!parse(&namesake).has_signed(&presented), "another key");

        let mut bent = der.clone();
        let place = bent.windows(16).position(|octets| octets == [7; 16]).unwrap();
        bent[place] = 8;
        assert!(!parse(&maker).has_signed(&PresentedCertificate::parse(&bent).unwrap()), "other octets");
    }

    #[test]
    fn what_is_no_components_certificate_is_refused() {
        let with = |change: fn(&mut CertificateParams)| {
            let mut params = leaf();
            change(&mut params);
            refusal(&params)
        };
        assert_eq!(with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), PresentedError::Authority);
        assert_eq!(with(|params| params.extended_key_usages.clear()), PresentedError::Purpose);
        let server_only = |params: &mut CertificateParams| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        };
        assert_eq!(with(server_only), PresentedError::Purpose);
        assert_eq!(
            with(|params| params.use_authority_key_identifier_extension = false),
            PresentedError::AuthorityKeyIdentifier
        );
        assert_eq!(with(|params| params.serial_number = Some(Serial::from(vec![7; 15]))), PresentedError::SerialNumber);
        assert_eq!(with(|params| params.distinguished_name = DistinguishedName::new()), PresentedError::CommonName);
        let named = |params: &mut CertificateParams| params.distinguished_name.push(DnType::CommonName, "router");
        assert_eq!(with(named), PresentedError::CommonName);

        let mut behind = signed(&leaf(), &authority("CA"));
        behind.push(0);
        assert_eq!(PresentedCertificate::parse(&behind).err(), Some(PresentedError::Malformed));
        assert_eq!(PresentedCertificate::parse(b"no certificate").err(), Some(PresentedError::Malformed));
    }
}
