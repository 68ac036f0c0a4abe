//! A CSR as EST clients send it, and what the device is called by it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ca::claimed_serial_number;
use crate::domain::Fingerprint;
use crate::server::enroll::decode::Malformed;

/// The body as the text that the use case takes: base64 in one line or many, as RFC 7030 §4.2.1 has it, PEM as well, or
/// DER as it is (RFC 8951 §3.1 leaves the encoding to the client), which is never UTF-8: its second byte is a length above
/// 127.
pub fn text(body: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(body).map_or_else(|_| STANDARD.encode(body).into(), Cow::Borrowed)
}

/// The serialNumber in the CSR's subject if it has one, else the user of the credentials: as it is if it can be a
/// fingerprint, else base64 of its SHA-256. To be asked for a verified key only.
///
/// # Errors
/// What decides is empty.
pub fn fingerprint(csr: &str, user: &[u8]) -> Result<Fingerprint, Malformed> {
    let claimed = claimed_serial_number(csr);
    let name = claimed.as_deref().unwrap_or(user);
    if name.is_empty() {
        return Err(Malformed::FingerprintMissing);
    }
    let as_it_is = std::str::from_utf8(name).ok().and_then(|name| Fingerprint::new(name).ok());
    Ok(as_it_is.unwrap_or_else(|| Fingerprint::hashed(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P-256, with this subject; as openssl makes it.
    fn csr(subject: &[(rcgen::DnType, &str)]) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            parameters.distinguished_name.push(kind.clone(), *value);
        }
        let key_pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        parameters.serialize_request(&key_pair).unwrap().der().to_vec()
    }

    fn serial_number() -> rcgen::DnType {
        rcgen::DnType::CustomDnType(vec![2, 5, 4, 5])
    }

    fn hashed(name: &[u8]) -> String {
        Fingerprint::hashed(name).to_string()
    }

    fn found(body: &[u8], user: &[u8]) -> Result<String, Malformed> {
        fingerprint(&text(body), user).map(|fingerprint| fingerprint.to_string())
    }

    #[test]
    fn every_form_of_a_body_is_read() {
        let der = csr(&[(serial_number(), "SN-0123456789abcdef")]);
        let line = STANDARD.encode(&der);
        let wrapped = line.as_bytes().chunks(64).map(|part| [part, b"\r\n"].concat()).collect::<Vec<_>>().concat();
        let pem = crate::ca::request_pem(&der);
        for body in [&der[..], line.as_bytes(), format!("{line}\n").as_bytes(), &wrapped, pem.as_bytes()] {
            assert_eq!(found(body, b""), Ok("SN-0123456789abcdef".to_owned()), "{body:?}");
        }
    }

    #[test]
    fn the_serial_number_decides_and_the_user_where_there_is_none() {
        let (with, without) =
            (csr(&[(serial_number(), "SN-0123456789abcdef")]), csr(&[(rcgen::DnType::CommonName, "x")]));
        assert_eq!(found(&with, b"user-0123456789ab").as_deref(), Ok("SN-0123456789abcdef"));
        assert_eq!(found(&without, b"user-0123456789ab").as_deref(), Ok("user-0123456789ab"));
        assert_eq!(found(b"no CSR", b"user-0123456789ab").as_deref(), Ok("user-0123456789ab"), "refused later");
    }

    #[test]
    fn what_cannot_be_a_fingerprint_is_hashed() {
        let body = |serial: &str| csr(&[(serial_number(), serial)]);
        for serial in ["SN 7", "a", "B\u{fc}ro-0123456789abcdef", &"x".repeat(65)] {
            assert_eq!(found(&body(serial), b""), Ok(hashed(serial.as_bytes())), "{serial}");
        }
        for user in [&b"u"[..], b"dev 1", b"\xff\xfe", &[b'u'; 65]] {
            assert_eq!(found(&body_without(), user), Ok(hashed(user)), "{user:?}");
        }
        for user in [[b'u'; 16].to_vec(), [b'u'; 64].to_vec()] {
            assert_eq!(found(&body_without(), &user), Ok(String::from_utf8(user).unwrap()));
        }
    }

    fn body_without() -> Vec<u8> {
        csr(&[])
    }

    #[test]
    fn a_device_without_a_name_is_refused() {
        assert_eq!(found(&body_without(), b""), Err(Malformed::FingerprintMissing));
        let empty = csr(&[(serial_number(), "")]);
        assert_eq!(found(&empty, b"user-0123456789ab"), Err(Malformed::FingerprintMissing), "it has one");
    }
}
