//! What people are shown of a certificate, read from its DER.

use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::clock::Timestamp;

/// Shown, never decided by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject's common name; empty if it has none.
    pub common_name: String,
    /// As `CN=Connector, O=Default`.
    pub subject: String,
    pub issuer: String,
    /// Decimal.
    pub serial: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Whether cRLSign is among its key usages.
    pub signs_crls: bool,
}

impl CertificateFacts {
    /// `None` when it is no DER certificate: the store keeps only what `ca` made or checked, so
    /// that is a damaged row.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let common_name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        Some(Self {
            common_name: common_name.unwrap_or_default().to_owned(),
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial: certificate.tbs_certificate.serial.to_string(),
            not_before: certificate.validity().not_before.to_datetime().into(),
            not_after: certificate.validity().not_after.to_datetime().into(),
            signs_crls: certificate.key_usage().ok().flatten().is_some_and(|found| found.value.crl_sign()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_a_certificate_made_elsewhere() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Connector");
        params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
        params.serial_number = Some(rcgen::SerialNumber::from(vec![1, 0]));
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2001, 2, 3), rcgen::date_time_ymd(2101, 2, 3));
        let made = params.self_signed(&key).unwrap();

        let facts = CertificateFacts::read(made.der()).unwrap();
        assert_eq!((&*facts.common_name, &*facts.serial), ("Connector", "256"));
        assert_eq!((&*facts.subject, &*facts.issuer), ("CN=Connector", "CN=Connector"));
        let day = |text| Timestamp::from_rfc3339(text).unwrap();
        assert_eq!(facts.not_before, day("2001-02-03T00:00:00Z"));
        assert_eq!(facts.not_after, day("2101-02-03T00:00:00Z"));
        assert!(facts.signs_crls);
        assert_eq!(CertificateFacts::read(b"no certificate"), None);
    }
}
