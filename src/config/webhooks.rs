//! `[webhooks]`: where webhooks may lead, and whom they trust there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::Checker;
use crate::domain::webhook::Destinations;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    pub destinations: Destinations,
    /// PEM of the CAs above the certificates of receivers. `None`: the system's.
    pub ca_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shape {
    allow_networks: Vec<String>,
    ca_file: String,
}

impl Shape {
    pub fn check(&self, checker: &mut Checker<'_>) -> Option<WebhookSettings> {
        let allowed = checker.networks("webhooks.allow_networks", &self.allow_networks)?;
        let ca_file = (!self.ca_file.is_empty()).then(|| PathBuf::from(&self.ca_file));
        Some(WebhookSettings { destinations: Destinations { allowed }, ca_file })
    }
}
