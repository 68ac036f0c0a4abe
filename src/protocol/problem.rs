//! Refusals on the wire: `application/problem+json` (RFC 9457).

use serde::{Deserialize, Serialize};

/// The media type of a refusal.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// In front of the code, in `type`.
pub const TYPE_PREFIX: &str = "urn:muster:problem:";

/// A refusal of the enrollment endpoint. Members stand in this order on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `urn:muster:problem:<code>`.
    #[serde(rename = "type")]
    pub type_uri: String,
    pub title: String,
    pub status: u16,
    /// What a program branches on, e.g. `key-exhausted`.
    pub code: String,
    /// A sentence for whoever holds the device.
    pub detail: String,
    /// 12 characters that lead to the server's log line.
    pub reference: String,
    /// `2026-11-20T16:06:00Z`.
    pub server_time: String,
}
