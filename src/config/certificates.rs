//! `[certificates]`: what the certificates of components say.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::Checker;
use crate::clock::DAY_SECONDS;
use crate::domain::SigningCertificate;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSettings {
    /// The host of `spiffe://…`. `None`: the cloud's host if it is a DNS name, else
    /// `muster.internal`.
    pub trust_domain: Option<String>,
    /// clientAuth and serverAuth for components of every kind.
    pub svid_eku: bool,
    /// What signing certificates made from now on give theirs, 1 to 3,650.
    pub lifetime_days: u32,
    /// From a CRL's making to its end: 1 to 2,160 hours.
    pub crl_lifetime: Duration,
}

impl CertificateSettings {
    pub fn lifetime_seconds(&self) -> u32 {
        self.lifetime_days * DAY_SECONDS // 3,650 days are a tenth of what fits
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shape {
    trust_domain: String,
    svid_eku: bool,
    lifetime_days: i64,
    crl_lifetime_hours: i64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            trust_domain: String::new(),
            svid_eku: false,
            lifetime_days: (SigningCertificate::LIFETIME_SECONDS_DEFAULT / DAY_SECONDS).into(),
            crl_lifetime_hours: 7 * 24,
        }
    }
}

impl Shape {
    pub fn check(&self, checker: &mut Checker<'_>) -> Option<CertificateSettings> {
        let accepted = "nothing, or 1 to 255 lower-case letters, digits, '.', '-' and '_'";
        let trust_domain = checker.parse("certificates.trust_domain", &self.trust_domain, accepted, trust_domain);
        let lifetime_days = checker.number("certificates.lifetime_days", self.lifetime_days, 1..=3_650);
        let crl_lifetime_hours = checker.number("certificates.crl_lifetime_hours", self.crl_lifetime_hours, 1..=2_160);
        Some(CertificateSettings {
            trust_domain: trust_domain?,
            svid_eku: self.svid_eku,
            lifetime_days: lifetime_days?,
            crl_lifetime: Duration::from_secs(u64::from(crl_lifetime_hours?) * HOUR_SECONDS),
        })
    }
}

const HOUR_SECONDS: u64 = 3_600;

/// SPIFFE-ID §2.1. The outer `None`: refused. The inner: not set.
fn trust_domain(text: &str) -> Option<Option<String>> {
    let accepted = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    match text {
        "" => Some(None),
        text if text.len() <= 255 && text.bytes().all(accepted) => Some(Some(text.to_owned())),
        _ => None,
    }
}
