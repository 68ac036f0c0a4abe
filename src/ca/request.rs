//! CSRs (PKCS#10, RFC 2986) that are made here: for CAs whose certificate an operator's CA signs.

use zeroize::Zeroizing;

use super::authority::{AuthorityError, KeyAlgorithm, new_key};
use super::certificate::{Attribute, Role, write_name};
use super::der::{self, Writer};
use super::profile::at_most_64_characters;
use super::public_key::PublicKey;
use super::signer::{NoRandomness, PrivateKey};
use crate::domain::certificate::PublicKeyHash;

/// extensionRequest (RFC 2985 §5.4.2)
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];

/// Names that an operator's CA is asked to put into the subject. Those over 64 characters are shortened as in
/// certificates; the country is two ASCII capitals.
pub struct RequestSubject<'a> {
    pub common_name: &'a str,
    pub country: Option<&'a str>,
    pub organization: Option<&'a str>,
    pub organizational_unit: Option<&'a str>,
}

/// A CSR made here. The private key is for sealing; it is wiped when this is dropped.
pub struct NewRequest {
    /// DER.
    pub csr: Vec<u8>,
    /// PKCS#8 DER.
    pub private_key: Zeroizing<Vec<u8>>,
    pub public_key_hash: PublicKeyHash,
}

/// Makes a key pair and a CSR that asks for a CA with path length 0: it is to sign components and nothing
/// else. What the operator's CA makes of that wish is checked when its certificate is uploaded.
///
/// # Errors
/// [`AuthorityError::Signing`] only.
pub fn make_request(subject: &RequestSubject<'_>, algorithm: KeyAlgorithm) -> Result<NewRequest, AuthorityError> {
    let (private_key, public_key) = new_key(algorithm)?;
    let key = PrivateKey::from_pkcs8(&private_key).expect("a key that was just made parses");
    let names = [
        (Attribute::Country, subject.country),
        (Attribute::Organization, subject.organization),
        (Attribute::OrganizationalUnit, subject.organizational_unit),
        (Attribute::CommonName, Some(subject.common_name)),
    ];
    let names: Vec<_> =
        names.into_iter().filter_map(|(attribute, value)| Some((attribute, at_most_64_characters(value?)))).collect();
    let csr = write_request(&names, &public_key, &key, Some(Role::Authority { path_length: 0 }))?;
    Ok(NewRequest { csr, private_key, public_key_hash: *public_key.hash() })
}

/// DER of a CertificationRequest. `role`: asked for in an extensionRequest; `None`: no attributes.
pub(super) fn write_request(
    names: &[(Attribute, String)],
    public_key: &PublicKey,
    private_key: &PrivateKey,
    role: Option<Role>,
) -> Result<Vec<u8>, NoRandomness> {
    let info = Writer::collect(|writer| {
        writer.nested(der::SEQUENCE, |info| {
            info.element(der::INTEGER, &[0]);
            write_name(info, names);
            info.raw(public_key.der());
            info.nested(der::context_constructed(0), |attributes| {
                let Some(role) = role else { return };
                attributes.nested(der::SEQUENCE, |attribute| {
                    attribute.element(der::OBJECT_IDENTIFIER, EXTENSION_REQUEST);
                    attribute.nested(der::SET, |values| values.nested(der::SEQUENCE, |value| role.write(value)));
                });
            });
        });
    });
    private_key.sign_in_frame(&info)
}
