//! The error envelope.

use serde::Serialize;

use crate::server::api::schema::{Member, Shape};

pub static ERROR: Shape = Shape::new(
    "Error",
    &[
        Member::text("id", "What a program branches on"),
        Member::text("reason", "For people"),
        Member::texts("params", "What is at fault: members, or ids").optional(),
        Member::text("error", "As RFC 6749 §5.2 wants it").optional(),
        Member::text("error_description", "As RFC 6749 §5.2 wants it").optional(),
    ],
);

/// `{"id","reason","params"?}`; the OAuth 2 members only where RFC 6749 §5.2 wants them.
#[derive(Serialize)]
pub struct ErrorBody {
    /// What a program branches on.
    id: &'static str,
    reason: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_description: Option<&'static str>,
}

impl ErrorBody {
    pub fn new(id: &'static str, reason: String, params: Vec<String>) -> Self {
        Self { id, reason, params, error: None, error_description: None }
    }

    pub fn oauth(error: &'static str, detail: &'static str) -> Self {
        let id = if error == "invalid_client" { "access.denied" } else { "invalid.resource.argument" };
        let reason = detail.to_owned();
        Self { id, reason, params: Vec::new(), error: Some(error), error_description: Some(detail) }
    }
}
