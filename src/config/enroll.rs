//! `[enroll]`: the listener that devices call.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::TlsFiles;
use super::check::Checker;
use crate::domain::Cloud;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollSettings {
    pub listen: SocketAddr,
    /// `None`: the certificate made at first start and renewed by `serve`.
    pub tls: Option<TlsFiles>,
    /// Connections open at once; further ones are closed. One source gets three quarters at most.
    pub connections_max: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// For the header of a request, and as idle time between two.
    pub header_timeout: Duration,
    /// For the body of a request.
    pub body_timeout: Duration,
    /// Enrollments at work at once, of one key three quarters at most; what comes on top is answered `overloaded`.
    pub in_flight_max: usize,
    /// Anonymous refusals per second and source prefix before `rate-limited`. `None`: no limit.
    pub failures_per_second: Option<NonZeroU32>,
    /// How many may come at once.
    pub failures_burst: u32,
    /// How long after its end a certificate still renews.
    pub renew_grace: Duration,
    /// Balancers whose PROXY protocol v2 header is believed, and required.
    pub trusted_proxies: Vec<IpNet>,
    /// `scheme://host[:port]` without a slash at the end, in front of `/crl/…` in certificates.
    pub public_url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shape {
    listen: String,
    tls_certificate: String,
    tls_key: String,
    connections_max: i64,
    handshake_timeout: i64,
    header_timeout: i64,
    body_timeout: i64,
    in_flight_max: i64,
    failures_per_second: i64,
    failures_burst: i64,
    renew_grace: i64,
    trusted_proxies: Vec<String>,
    public_url: String,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8443".into(),
            tls_certificate: String::new(),
            tls_key: String::new(),
            connections_max: 10_000,
            handshake_timeout: 10,
            header_timeout: 10,
            body_timeout: 10,
            in_flight_max: 1_024,
            failures_per_second: 20,
            failures_burst: 200,
            renew_grace: 0,
            trusted_proxies: Vec::new(),
            public_url: String::new(),
        }
    }
}

impl Shape {
    pub fn check(&self, checker: &mut Checker<'_>) -> Option<EnrollSettings> {
        let listen = checker.address("enroll.listen", &self.listen);
        let tls = checker.tls_files("enroll", &self.tls_certificate, &self.tls_key);
        let connections_max = checker.size("enroll.connections_max", self.connections_max, 1..=1_000_000);
        let handshake_timeout = checker.seconds("enroll.handshake_timeout", self.handshake_timeout, 1..=300);
        let header_timeout = checker.seconds("enroll.header_timeout", self.header_timeout, 1..=300);
        let body_timeout = checker.seconds("enroll.body_timeout", self.body_timeout, 1..=300);
        let in_flight_max = checker.size("enroll.in_flight_max", self.in_flight_max, 1..=100_000);
        let failures_per_second = checker.number("enroll.failures_per_second", self.failures_per_second, 0..=1_000_000);
        let failures_burst = checker.number("enroll.failures_burst", self.failures_burst, 1..=1_000_000);
        let renew_grace = checker.seconds("enroll.renew_grace", self.renew_grace, 0..=31_536_000);
        let trusted_proxies = checker.networks("enroll.trusted_proxies", &self.trusted_proxies);
        let accepted = "nothing, or http:// or https:// with a host and optionally a port";
        let public_url = checker.parse("enroll.public_url", &self.public_url, accepted, public_url);
        Some(EnrollSettings {
            listen: listen?,
            tls: tls?,
            connections_max: connections_max?,
            handshake_timeout: handshake_timeout?,
            header_timeout: header_timeout?,
            body_timeout: body_timeout?,
            in_flight_max: in_flight_max?,
            failures_per_second: failures_per_second.map(NonZeroU32::new)?,
            failures_burst: failures_burst?,
            renew_grace: renew_grace?,
            trusted_proxies: trusted_proxies?,
            public_url: public_url?,
        })
    }
}

/// The outer `None`: refused. The inner: not set.
fn public_url(text: &str) -> Option<Option<String>> {
    if text.is_empty() {
        return Some(None);
    }
    let url = text.strip_suffix('/').unwrap_or(text);
    let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    authority.parse::<Cloud>().ok()?;
    Some(Some(url.to_owned()))
}
