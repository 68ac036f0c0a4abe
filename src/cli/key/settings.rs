//! The settings that a new key is given, wherever its string comes from.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::expiry::Expiry;
use crate::cli::management::{Management, Resource, members};
use crate::cli::selector::kind;
use crate::clock::{Clock as _, SystemClock};
use crate::domain::Kind;

#[derive(Args)]
pub struct Settings {
    /// What its components are
    #[arg(long, value_parser = kind())]
    pub kind: Kind,
    /// Group that components join, its id or name
    #[arg(long, value_name = "ID|NAME")]
    group: String,
    /// Also the beginning of its components' names
    #[arg(long)]
    pub name: String,
    /// Most deployments over its lifetime; required for app connectors and service edges, else none = no limit
    #[arg(long, value_name = "N")]
    max_uses: Option<u32>,
    /// Let known hardware enroll again: whoever holds the key and knows a fingerprint can become that component
    #[arg(long)]
    allow_re_enrollment: bool,
    /// From when on it is refused: 30d, 12h, or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
    /// Network from which devices may enroll, in CIDR form; may be repeated
    #[arg(long, value_name = "CIDR")]
    allow_from: Vec<String>,
    /// Signing certificate, its id or name [default: the group's]
    #[arg(long, value_name = "ID|NAME")]
    signing_cert: Option<String>,
    #[arg(long)]
    description: Option<String>,
    /// Make it disabled
    #[arg(long)]
    disabled: bool,
}

impl Settings {
    /// The body of a request that makes such a key.
    pub async fn to_json(&self, management: &Management) -> anyhow::Result<Value> {
        let group = management.find(&[Resource::Group(self.kind)], &self.group).await?;
        let signing_certificate = match &self.signing_cert {
            Some(wanted) => Some(management.find(&[Resource::SigningCertificate], wanted).await?.id()),
            None => None,
        };
        let ends_at = self.expires.map(|expires| expires.instant(SystemClock.now()).unix_seconds());
        Ok(members([
            ("name", Some(json!(self.name))),
            ("zcomponentId", Some(json!(group.id()))),
            ("enabled", Some(json!(!self.disabled))),
            ("allowReEnrollment", Some(json!(self.allow_re_enrollment))),
            ("maxUsage", self.max_uses.map(|maximum| json!(maximum.to_string()))),
            ("expirationInEpochSec", ends_at.map(|seconds| json!(seconds.to_string()))),
            ("ipAcl", (!self.allow_from.is_empty()).then(|| json!(self.allow_from))),
            ("enrollmentCertId", signing_certificate.map(|id| json!(id))),
            ("description", self.description.as_ref().map(|text| json!(text))),
        ]))
    }
}
