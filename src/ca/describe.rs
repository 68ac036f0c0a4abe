//! A certificate, decoded for people: everything that `openssl x509 -text` would be asked for, as plain
//! values. Which words and order a page gives them is the page's business.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ring::digest::{SHA256, digest};
use x509_parser::extensions::{
    CRLDistributionPoints, DistributionPointName, ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension,
};
use x509_parser::objects::{oid_registry, oid2sn};
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::CertificateFacts;

/// Shown, never decided by. Lists are in the certificate's order; an extension that is not there is `None` or
/// empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateDescription {
    pub facts: CertificateFacts,
    /// Lower-case hex, as many octets as the certificate has: `0a1b…`.
    pub serial_hex: String,
    /// Basic constraints; `None`: an end entity.
    pub authority: Option<AuthorityRole>,
    pub alternative_names: Vec<AlternativeNameText>,
    /// As RFC 5280 §4.2.1.3 writes them: `digitalSignature`.
    pub key_usages: Vec<&'static str>,
    /// As RFC 5280 §4.2.1.12 writes them: `clientAuth`; others as dotted numbers.
    pub extended_key_usages: Vec<String>,
    /// `ECDSA P-256`, `RSA 2048 bits`, `Ed25519`; others by their registered name or dotted number.
    pub public_key: String,
    /// `ecdsa-with-SHA256`; dotted numbers if it has no known name.
    pub signature_algorithm: String,
    /// Lower-case hex.
    pub subject_key_identifier: Option<String>,
    /// Lower-case hex.
    pub authority_key_identifier: Option<String>,
    pub crl_uris: Vec<String>,
    /// SHA-256 of the whole DER, 64 lower-case hex digits: what people compare certificates by.
    pub sha256: String,
    /// SHA-256 of the SubjectPublicKeyInfo, 64 lower-case hex digits: what recognises the key pair in another
    /// certificate.
    pub public_key_sha256: String,
}

/// Of a certificate that may sign others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorityRole {
    /// How many CAs may stand between this one and an end entity; `None`: any number.
    pub path_length: Option<u32>,
}

/// One name of the SAN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlternativeNameText {
    /// `DNS`, `URI`, `IP`, `email`, `directory name` or `other name`.
    pub kind: &'static str,
    pub value: String,
}

impl CertificateDescription {
    /// `None` when it is no DER certificate: the store keeps only what `ca` made or checked, so
    /// that is a damaged row.
    pub fn read(der: &[u8]) -> Option<Self> {
        let facts = CertificateFacts::read(der)?;
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut description = Self {
            facts,
            serial_hex: hex(certificate.raw_serial()),
            authority: None,
            alternative_names: Vec::new(),
            key_usages: Vec::new(),
            extended_key_usages: Vec::new(),
            public_key: public_key(certificate.public_key()),
            signature_algorithm: name_of(&certificate.signature_algorithm.algorithm),
            subject_key_identifier: None,
            authority_key_identifier: None,
            crl_uris: Vec::new(),
            sha256: sha256(der),
            public_key_sha256: sha256(certificate.public_key().raw),
        };
        for extension in certificate.extensions() {
            description.note(extension.parsed_extension());
        }
        Some(description)
    }

    fn note(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::BasicConstraints(found) if found.ca => {
                self.authority = Some(AuthorityRole { path_length: found.path_len_constraint });
            }
            ParsedExtension::SubjectAlternativeName(found) => {
                self.alternative_names = found.general_names.iter().map(alternative_name).collect();
            }
            ParsedExtension::KeyUsage(found) => self.key_usages = key_usages(found),
            ParsedExtension::ExtendedKeyUsage(found) => self.extended_key_usages = extended_key_usages(found),
            ParsedExtension::SubjectKeyIdentifier(found) => self.subject_key_identifier = Some(hex(found.0)),
            ParsedExtension::AuthorityKeyIdentifier(found) => {
                self.authority_key_identifier = found.key_identifier.as_ref().map(|found| hex(found.0));
            }
            ParsedExtension::CRLDistributionPoints(found) => self.crl_uris = crl_uris(found),
            _ => {}
        }
    }
}

fn key_usages(found: &KeyUsage) -> Vec<&'static str> {
    let named = [
        (found.digital_signature(), "digitalSignature"),
        (found.non_repudiation(), "contentCommitment"),
        (found.key_encipherment(), "keyEncipherment"),
        (found.data_encipherment(), "dataEncipherment"),
        (found.key_agreement(), "keyAgreement"),
        (found.key_cert_sign(), "keyCertSign"),
        (found.crl_sign(), "cRLSign"),
        (found.encipher_only(), "encipherOnly"),
        (found.decipher_only(), "decipherOnly"),
    ];
    named.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect()
}

fn extended_key_usages(found: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let named = [
        (found.any, "anyExtendedKeyUsage"),
        (found.server_auth, "serverAuth"),
        (found.client_auth, "clientAuth"),
        (found.code_signing, "codeSigning"),
        (found.email_protection, "emailProtection"),
        (found.time_stamping, "timeStamping"),
        (found.ocsp_signing, "OCSPSigning"),
    ];
    let named = named.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name.to_owned());
    named.chain(found.other.iter().map(Oid::to_id_string)).collect()
}

fn alternative_name(name: &GeneralName<'_>) -> AlternativeNameText {
    let (kind, value) = match name {
        GeneralName::DNSName(name) => ("DNS", (*name).to_owned()),
        GeneralName::URI(uri) => ("URI", (*uri).to_owned()),
        GeneralName::IPAddress(octets) => ("IP", address(octets)),
        GeneralName::RFC822Name(address) => ("email", (*address).to_owned()),
        GeneralName::DirectoryName(name) => ("directory name", name.to_string()),
        GeneralName::OtherName(oid, _) | GeneralName::RegisteredID(oid) => ("other name", oid.to_id_string()),
        GeneralName::X400Address(any) | GeneralName::EDIPartyName(any) => ("other name", hex(any.data)),
        GeneralName::Invalid(_, octets) => ("other name", hex(octets)),
    };
    AlternativeNameText { kind, value }
}

/// Hex when it is neither of the two lengths.
fn address(octets: &[u8]) -> String {
    let v4 = || <[u8; 4]>::try_from(octets).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    let v6 = || <[u8; 16]>::try_from(octets).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
    v4().or_else(v6).map_or_else(|| hex(octets), |address| address.to_string())
}

fn crl_uris(points: &CRLDistributionPoints<'_>) -> Vec<String> {
    let names = points.iter().filter_map(|point| match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) => Some(names),
        Some(DistributionPointName::NameRelativeToCRLIssuer(_)) | None => None,
    });
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.flatten().filter_map(uri).collect()
}

fn public_key(key: &SubjectPublicKeyInfo<'_>) -> String {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let modulus = &rsa.modulus[rsa.modulus.iter().take_while(|octet| **octet == 0).count()..];
            let bits = modulus.len() * 8 - modulus.first().map_or(0, |octet| octet.leading_zeros() as usize);
            format!("RSA {bits} bits")
        }
        Ok(PublicKey::EC(_)) => match key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok()) {
            Some(curve) => match curve.to_id_string().as_str() {
                "1.2.840.10045.3.1.7" => "ECDSA P-256".to_owned(),
                "1.3.132.0.34" => "ECDSA P-384".to_owned(),
                "1.3.132.0.35" => "ECDSA P-521".to_owned(),
                _ => format!("ECDSA on {}", name_of(&curve)),
            },
            None => "ECDSA".to_owned(),
        },
        _ => match key.algorithm.algorithm.to_id_string().as_str() {
            "1.3.101.112" => "Ed25519".to_owned(),
            _ => name_of(&key.algorithm.algorithm),
        },
    }
}

/// As registered, or dotted numbers.
fn name_of(oid: &Oid<'_>) -> String {
    match oid.to_id_string().as_str() {
        "1.3.101.112" => "Ed25519".to_owned(),
        dotted => oid2sn(oid, oid_registry()).map_or_else(|_| dotted.to_owned(), str::to_owned),
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CrlDistributionPoint, ExtendedKeyUsagePurpose, IsCa, KeyPair,
        KeyUsagePurpose, SanType, SerialNumber,
    };

    use super::*;

    fn params() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(vec![0x0a, 0x1b]));
        params
    }

    #[test]
    fn an_end_entity_made_elsewhere_is_described() {
        let mut params = params();
        params.subject_alt_names = vec![
            SanType::URI("spiffe://muster.internal/customer/7/machine/8".try_into().unwrap()),
            SanType::DnsName("8.machine.muster.example".try_into().unwrap()),
            SanType::IpAddress("2001:db8::7".parse().unwrap()),
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 5])];
        params.crl_distribution_points =
            vec![CrlDistributionPoint { uris: vec!["http://muster.example/crl/9.crl".to_owned()] }];
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();

        let found = CertificateDescription::read(made.der()).unwrap();
        assert_eq!((&*found.serial_hex, &*found.facts.serial), ("0a1b", "2587"));
        assert_eq!(found.authority, None);
        let names: Vec<_> = found.alternative_names.iter().map(|name| (name.kind, &*name.value)).collect();
        assert_eq!(
            names,
            [
                ("URI", "spiffe://muster.internal/customer/7/machine/8"),
                ("DNS", "8.machine.muster.example"),
                ("IP", "2001:db8::7"),
                ("IP", "192.0.2.7"),
            ]
        );
        assert_eq!(found.key_usages, ["digitalSignature"]);
        assert_eq!(found.extended_key_usages, ["clientAuth", "1.3.6.1.4.1.5"]);
        assert_eq!(found.crl_uris, ["http://muster.example/crl/9.crl"]);
        assert_eq!(found.public_key, "ECDSA P-256");
        assert_eq!(found.signature_algorithm, "ecdsa-with-SHA256");
        assert_eq!(found.sha256, sha256(made.der()));
        assert_eq!(found.public_key_sha256, sha256(&rcgen::PublicKeyData::subject_public_key_info(&key)));
        assert_eq!(CertificateDescription::read(b"no certificate"), None);
    }

    #[test]
    fn an_authority_says_how_deep_it_goes() {
        for (constraint, path_length) in [
            (BasicConstraints::Constrained(1), Some(1)),
            (BasicConstraints::Constrained(0), Some(0)),
            (BasicConstraints::Unconstrained, None),
        ] {
            let mut params = params();
            params.is_ca = IsCa::Ca(constraint);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let made = params.self_signed(&KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()).unwrap();
            let found = CertificateDescription::read(made.der()).unwrap();
            assert_eq!(found.authority, Some(AuthorityRole { path_length }));
            assert_eq!(found.key_usages, ["keyCertSign", "cRLSign"]);
            assert_eq!(found.extended_key_usages, [""; 0]);
            assert_eq!((&*found.public_key, &*found.signature_algorithm), ("Ed25519", "Ed25519"));
            assert!(found.subject_key_identifier.is_some_and(|identifier| identifier.len() >= 40));
        }
    }
}
