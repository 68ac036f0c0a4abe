//! A CA whose key everyone may know, the same in every run, so that inputs which were found stay what they are.

use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use ring::signature::Ed25519KeyPair;

use crate::der;

/// AlgorithmIdentifier of Ed25519 (RFC 8410 §3).
const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

/// The common name of the leaf: a component's id.
pub const COMPONENT: u64 = 72_057_594_037_927_999;

/// The serial number of the leaf.
pub const SERIAL: [u8; 16] = [7; 16];

/// Ed25519 throughout: its signatures need no randomness.
pub struct Authority {
    /// DER; self-signed.
    pub root: Vec<u8>,
    /// PKCS#8 DER.
    pub root_key: Vec<u8>,
    /// DER of a component's certificate, signed by the root.
    pub leaf: Vec<u8>,
    /// PKCS#8 DER.
    pub leaf_key: Vec<u8>,
    signer: Ed25519KeyPair,
    /// SubjectPublicKeyInfo of the leaf's key.
    leaf_public_key: Vec<u8>,
    leaf_signer: Ed25519KeyPair,
}

/// The one.
pub fn get() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(Authority::make)
}

impl Authority {
    fn make() -> Self {
        let (root_key, signer) = key(1);
        let (leaf_key, leaf_signer) = key(2);
        let pair =
            |der: &[u8]| KeyPair::from_pkcs8_der_and_sign_algo(&der.into(), &rcgen::PKCS_ED25519).expect("a key");
        let mut params = params("Root");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        let root_pair = pair(&root_key);
        let root = params.self_signed(&root_pair).expect("a root").der().to_vec();
        let issuer = Issuer::new(params, root_pair);
        let mut params = self::params(&COMPONENT.to_string());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf_pair = pair(&leaf_key);
        let leaf = params.signed_by(&leaf_pair, &issuer).expect("a leaf").der().to_vec();
        let leaf_public_key = rcgen::PublicKeyData::subject_public_key_info(&leaf_pair);
        Self { root, root_key, leaf, leaf_key, signer, leaf_public_key, leaf_signer }
    }

    /// A certificate of this TBSCertificate, whatever it is, with a signature of the root's key.
    pub fn certificate_of(&self, signed: &[u8]) -> Vec<u8> {
        framed(&self.signer, signed)
    }

    /// A CSR for the leaf's key, with a good signature, whose subject (what stands in its SEQUENCE) and
    /// attributes (what stands in their `[0]`; `None`: left out) are a stranger's bytes.
    pub fn request_of(&self, subject: &[u8], attributes: Option<&[u8]>) -> Vec<u8> {
        let attributes = attributes.map_or(vec![], |attributes| der::element(0xa0, attributes));
        let subject = der::element(der::SEQUENCE, subject);
        framed(&self.leaf_signer, &der::sequence(&[&[2, 1, 0], &subject, &self.leaf_public_key, &attributes]))
    }

    /// SubjectPublicKeyInfo, DER, of what [`Self::request_of`] asks for.
    pub fn leaf_public_key(&self) -> &[u8] {
        &self.leaf_public_key
    }
}

fn framed(signer: &Ed25519KeyPair, signed: &[u8]) -> Vec<u8> {
    der::sequence(&[signed, ED25519, &der::bit_string(signer.sign(signed).as_ref())])
}

/// PKCS#8 and signer of the key that this number is the seed of.
fn key(seed: u8) -> (Vec<u8>, Ed25519KeyPair) {
    let pkcs8 = der::sequence(&[&[2, 1, 0], ED25519, &der::element(4, &der::element(4, &[seed; 32]))]);
    let signer = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).expect("a key");
    (pkcs8, signer)
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(SERIAL.to_vec()));
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2049, 12, 31));
    params
}
