//! Webhooks on this node: whom they trust, and when it is looked and delivered.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::AppError;
use crate::client::tls::Trust;
use crate::webhooks::Webhooks;

/// How often it is looked what is due.
const DELIVERIES_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked what happened to components.
const COMPONENTS_EVERY: Duration = Duration::from_secs(5);

/// How often it is looked what needs attention.
const ATTENTION_EVERY: Duration = Duration::from_secs(60);

/// Who vouches for receivers: the CAs of a file, else the system's.
///
/// # Errors
/// When the file cannot be read, or holds no certificate.
pub(super) fn trust(ca_file: Option<&Path>) -> Result<Trust, AppError> {
    let Some(path) = ca_file else { return Ok(Trust::System) };
    let pem =
        std::fs::read_to_string(path).map_err(|source| AppError::UnreadableFile { path: path.to_owned(), source })?;
    Trust::from_pem(&pem).map_err(|source| AppError::WebhookTrust { path: path.to_owned(), source })
}

/// Until it is dropped, with what is under way then.
pub(super) async fn deliver(webhooks: Arc<Webhooks>) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::time::sleep(DELIVERIES_EVERY).await;
        if let Err(error) = webhooks.deliver_due(&mut under_way).await {
            tracing::warn!(%error, "It cannot be looked for the moment what is due to webhooks.");
        }
        while under_way.try_join_next().is_some() {}
    }
}

pub(super) async fn look_at_components(webhooks: Arc<Webhooks>) {
    loop {
        tokio::time::sleep(COMPONENTS_EVERY).await;
        if let Err(error) = webhooks.look_at_components().await {
            tracing::warn!(%error, "It cannot be looked for the moment what webhooks are to be told of components.");
        }
    }
}

pub(super) async fn look_at_attention(webhooks: Arc<Webhooks>) {
    loop {
        if let Err(error) = webhooks.look_at_attention().await {
            tracing::warn!(%error, "It cannot be looked for the moment what webhooks are to be told of.");
        }
        tokio::time::sleep(ATTENTION_EVERY).await;
    }
}
