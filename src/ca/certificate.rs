//! How a certificate is written (RFC 5280 §4.1): values in, DER out. What the values are is `profile`'s
//! business.

use std::net::IpAddr;

use super::der::{self, Writer};
use super::profile::Validity;
use super::public_key::PublicKey;
use super::signer::{NoRandomness, PrivateKey};
use crate::clock::Timestamp;
use crate::domain::SerialNumber;

const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];

const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];

const DIGITAL_SIGNATURE: u8 = 0b1000_0000;
const KEY_CERT_SIGN_AND_CRL_SIGN: u8 = 0b0000_0110;

/// Everything about a certificate but who signs it.
pub(super) struct Contents<'a> {
    pub serial: SerialNumber,
    pub validity: Validity,
    /// In the order in which they are written, most general first. Not empty.
    pub subject: Vec<(Attribute, String)>,
    pub public_key: &'a PublicKey,
    pub role: Role,
    pub alternative_names: Vec<AlternativeName>,
    /// Empty: no such extension.
    pub extended_key_usages: &'static [ExtendedKeyUsage],
    pub crl_uri: Option<String>,
}

/// Attributes of a subject (X.520). All are UTF8Strings but country and serial number, which are
/// PrintableStrings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    CommonName,
    Country,
    Organization,
    OrganizationalUnit,
    SerialNumber,
}

/// Decides basic constraints and key usage, both critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// keyCertSign and cRLSign; `path_length` is below 128.
    Authority { path_length: u8 },
    /// digitalSignature.
    EndEntity,
}

/// What a SAN holds; the texts are ASCII (IA5String).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AlternativeName {
    Address(IpAddr),
    Dns(String),
    Uri(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExtendedKeyUsage {
    ClientAuth,
    ServerAuth,
}

/// Who signs.
pub(super) struct Signatory<'a> {
    /// DER of the Name, as it stands in the signatory's own certificate.
    pub name: &'a [u8],
    /// The signatory's subject key identifier.
    pub key_identifier: &'a [u8],
    pub private_key: &'a PrivateKey,
}

impl Contents<'_> {
    /// DER of the certificate.
    pub fn signed_by(&self, signatory: &Signatory<'_>) -> Result<Vec<u8>, NoRandomness> {
        let mut writer = Writer::with_capacity(1_024);
        writer.nested(der::SEQUENCE, |tbs| {
            tbs.raw(&[der::context_constructed(0), 3, der::INTEGER, 1, 2]); // version 3
            tbs.element(der::INTEGER, self.serial.as_bytes());
            tbs.raw(signatory.private_key.signature_algorithm());
            tbs.raw(signatory.name);
            tbs.nested(der::SEQUENCE, |validity| {
                write_time(validity, self.validity.not_before);
                write_time(validity, self.validity.not_after);
            });
            write_name(tbs, &self.subject);
            tbs.raw(self.public_key.der());
            tbs.nested(der::context_constructed(3), |tagged| {
                tagged.nested(der::SEQUENCE, |extensions| self.write_extensions(extensions, signatory.key_identifier));
            });
        });
        signatory.private_key.sign_in_frame(&writer.into_bytes())
    }

    /// DER of the certificate, with itself above it.
    pub fn self_signed(&self, private_key: &PrivateKey) -> Result<Vec<u8>, NoRandomness> {
        let name = Writer::collect(|writer| write_name(writer, &self.subject));
        self.signed_by(&Signatory { name: &name, key_identifier: self.public_key.key_identifier(), private_key })
    }

    fn write_extensions(&self, writer: &mut Writer, authority_key_identifier: &[u8]) {
        self.role.write(writer);
        if !self.extended_key_usages.is_empty() {
            write_extension(writer, EXTENDED_KEY_USAGE, false, |value| {
                value.nested(der::SEQUENCE, |usages| {
                    for usage in self.extended_key_usages {
                        let oid = match usage {
                            ExtendedKeyUsage::ClientAuth => CLIENT_AUTH,
                            ExtendedKeyUsage::ServerAuth => SERVER_AUTH,
                        };
                        usages.element(der::OBJECT_IDENTIFIER, oid);
                    }
                });
            });
        }
        write_extension(writer, SUBJECT_KEY_IDENTIFIER, false, |value| {
            value.element(der::OCTET_STRING, self.public_key.key_identifier());
        });
        write_authority_key_identifier(writer, authority_key_identifier);
        if !self.alternative_names.is_empty() {
            write_extension(writer, SUBJECT_ALTERNATIVE_NAME, false, |value| {
                value.nested(der::SEQUENCE, |names| self.alternative_names.iter().for_each(|name| name.write(names)));
            });
        }
        if let Some(uri) = &self.crl_uri {
            write_extension(writer, CRL_DISTRIBUTION_POINTS, false, |value| {
                value.nested(der::SEQUENCE, |points| {
                    points.nested(der::SEQUENCE, |point| {
                        point.nested(der::context_constructed(0), |name| {
                            name.nested(der::context_constructed(0), |full_name| {
                                full_name.element(der::context_primitive(6), uri.as_bytes());
                            });
                        });
                    });
                });
            });
        }
    }
}

impl Role {
    /// Basic constraints and key usage, two extensions.
    pub fn write(self, writer: &mut Writer) {
        write_extension(writer, BASIC_CONSTRAINTS, true, |value| {
            value.nested(der::SEQUENCE, |constraints| {
                if let Self::Authority { path_length } = self {
                    constraints.raw(der::BOOLEAN_TRUE);
                    constraints.element(der::INTEGER, &[path_length]);
                }
            });
        });
        write_extension(writer, KEY_USAGE, true, |value| {
            value.named_bits(match self {
                Self::Authority { .. } => KEY_CERT_SIGN_AND_CRL_SIGN,
                Self::EndEntity => DIGITAL_SIGNATURE,
            });
        });
    }
}

impl AlternativeName {
    /// GeneralName (RFC 5280 §4.2.1.6)
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Address(IpAddr::V4(address)) => writer.element(der::context_primitive(7), &address.octets()),
            Self::Address(IpAddr::V6(address)) => writer.element(der::context_primitive(7), &address.octets()),
            Self::Dns(name) => writer.element(der::context_primitive(2), name.as_bytes()),
            Self::Uri(uri) => writer.element(der::context_primitive(6), uri.as_bytes()),
        }
    }
}

/// `Name ::= SEQUENCE OF SET OF SEQUENCE { type, value }`, one attribute in each set.
pub(super) fn write_name(writer: &mut Writer, attributes: &[(Attribute, String)]) {
    writer.nested(der::SEQUENCE, |name| {
        for (attribute, value) in attributes {
            let (arc, tag) = match attribute {
                Attribute::CommonName => (3, der::UTF8_STRING),
                Attribute::Country => (6, der::PRINTABLE_STRING),
                Attribute::Organization => (10, der::UTF8_STRING),
                Attribute::OrganizationalUnit => (11, der::UTF8_STRING),
                Attribute::SerialNumber => (5, der::PRINTABLE_STRING),
            };
            name.nested(der::SET, |set| {
                set.nested(der::SEQUENCE, |pair| {
                    pair.element(der::OBJECT_IDENTIFIER, &[0x55, 0x04, arc]);
                    pair.element(tag, value.as_bytes());
                });
            });
        }
    });
}

/// Whose key signed, of certificates and of CRLs alike.
pub(super) fn write_authority_key_identifier(writer: &mut Writer, key_identifier: &[u8]) {
    write_extension(writer, AUTHORITY_KEY_IDENTIFIER, false, |value| {
        value.nested(der::SEQUENCE, |identifier| identifier.element(der::context_primitive(0), key_identifier));
    });
}

pub(super) fn write_extension(writer: &mut Writer, oid: &[u8], critical: bool, value: impl FnOnce(&mut Writer)) {
    writer.nested(der::SEQUENCE, |extension| {
        extension.element(der::OBJECT_IDENTIFIER, oid);
        if critical {
            extension.raw(der::BOOLEAN_TRUE);
        }
        extension.nested(der::OCTET_STRING, value);
    });
}

/// UTCTime for the years 1950 to 2049, GeneralizedTime for the others (RFC 5280 §4.1.2.5).
pub(super) fn write_time(writer: &mut Writer, instant: Timestamp) {
    // 20261120160600Z
    let time: Vec<u8> = instant.to_string().bytes().filter(|byte| byte.is_ascii_digit() || *byte == b'Z').collect();
    if (&b"1950"[..]..&b"2050"[..]).contains(&&time[..4]) {
        writer.element(der::UTC_TIME, &time[2..]);
    } else {
        writer.element(der::GENERALIZED_TIME, &time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_change_their_type_with_the_year_2050() {
        for (instant, expected) in [
            ("1949-12-31T23:59:59Z", "\x18\x0f19491231235959Z"),
            ("1950-01-01T00:00:00Z", "\x17\x0d500101000000Z"),
            ("2026-11-20T16:06:00Z", "\x17\x0d261120160600Z"),
            ("2049-12-31T23:59:59Z", "\x17\x0d491231235959Z"),
            ("2050-01-01T00:00:00Z", "\x18\x0f20500101000000Z"),
            ("9999-12-31T23:59:59Z", "\x18\x0f99991231235959Z"),
        ] {
            let instant = Timestamp::from_rfc3339(instant).unwrap();
            let written = Writer::collect(|writer| write_time(writer, instant));
            assert_eq!(written, expected.as_bytes(), "{instant}");
        }
    }
}
