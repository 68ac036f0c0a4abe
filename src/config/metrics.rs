//! `[metrics]`: metrics, health and readiness, in plain HTTP.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::check::Checker;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// `None`: no such listener.
    pub listen: Option<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shape {
    listen: String,
}

impl Default for Shape {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9090".into() }
    }
}

impl Shape {
    pub fn check(&self, checker: &mut Checker<'_>) -> Option<MetricsSettings> {
        let listen = match self.listen.as_str() {
            "" => None,
            text => Some(checker.address("metrics.listen", text)?),
        };
        Some(MetricsSettings { listen })
    }
}
