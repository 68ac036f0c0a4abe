//! `[admin]`: the listener for the management API and the portal.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::TlsFiles;
use super::check::Checker;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    pub listen: SocketAddr,
    /// `None`: the certificate made at first start and renewed by `serve`.
    pub tls: Option<TlsFiles>,
    /// Connections open at once; further ones are closed. One source gets three quarters at most.
    pub connections_max: usize,
    /// Balancers whose PROXY protocol v2 header is believed, and required.
    pub trusted_proxies: Vec<IpNet>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shape {
    listen: String,
    tls_certificate: String,
    tls_key: String,
    connections_max: i64,
    trusted_proxies: Vec<String>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8444".into(),
            tls_certificate: String::new(),
            tls_key: String::new(),
            connections_max: 1_000,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Shape {
    pub fn check(&self, checker: &mut Checker<'_>) -> Option<AdminSettings> {
        let listen = checker.address("admin.listen", &self.listen);
        let tls = checker.tls_files("admin", &self.tls_certificate, &self.tls_key);
        let connections_max = checker.size("admin.connections_max", self.connections_max, 1..=1_000_000);
        let trusted_proxies = checker.networks("admin.trusted_proxies", &self.trusted_proxies);
        Some(AdminSettings {
            listen: listen?,
            tls: tls?,
            connections_max: connections_max?,
            trusted_proxies: trusted_proxies?,
        })
    }
}
