//! The columns of each row, in the order in which both stores read them.

use super::Look;

pub(super) const CUSTOMER: &str = "id, name, enabled, created_at, modified_at, revision";
pub(super) const GROUP: &str = "id, customer_id, kind, name, description, enabled, signing_certificate_id, addresses, \
    attributes, created_at, modified_at, modified_by, revision";
pub(super) const SIGNING_CERTIFICATE: &str = "id, customer_id, name, description, certificate, chain, \
    sealed_private_key, csr, parent_id, allow_signing, lifetime_seconds, purpose, not_before, not_after, created_at, \
    modified_at, modified_by, revision, public_key_hash";
pub(super) const KEY: &str = "id, customer_id, kind, group_id, signing_certificate_id, name, description, maximum, \
    enabled, allow_re_enrollment, expires_at, addresses, version, hint, key_id, digest, pepper, sealed_string, \
    managed_by_client_id, managed_by_label, successor_id, created_at, created_by, modified_at, modified_by, revision, \
    uses, re_enrollments, last_ordinal, last_used_at, last_used_by, ui_config";
pub(super) const INDEXED_KEY: &str = "id, customer_id, group_id, signing_certificate_id, maximum, enabled, \
    allow_re_enrollment, expires_at, addresses, digest, uses, revision";
pub(super) const COMPONENT: &str = "id, customer_id, key_id, group_id, kind, name, description, ordinal, fingerprint, \
    hostname, platform, software_version, remote_address, enabled, revoked_at, deleted_at, enrolled_at, \
    current_serial, modified_at, revision, modified_by, previous_serial";
pub(super) const CERTIFICATE: &str = "serial, customer_id, component_id, signing_certificate_id, der, \
    public_key_hash, issued_at, not_before, not_after, status, status_at, key_id, reason";
pub(super) const CRL_HEAD: &str = "customer_id, signing_certificate_id, number, this_update, next_update, entries";
pub(super) const CLEAN_UP_SCHEDULE: &str = "id, customer_id, kind, enabled, delete_disabled, days, created_at, \
    modified_at, modified_by, revision";
pub(super) const ADMINISTRATOR: &str = "id, customer_id, username, description, password_hash, role, enabled, \
    last_sign_in_at, created_at, modified_at, modified_by, revision";
pub(super) const API_CLIENT: &str = "id, customer_id, name, client_id, secret_digest, pepper, secret_generation, \
    role, enabled, managing, last_used_at, created_at, modified_at, modified_by, revision";
pub(super) const SESSION: &str =
    "id, customer_id, administrator_id, created_at, expires_at, ended_at, remote_address, user_agent";
pub(super) const WEBHOOK: &str = "id, customer_id, name, url, events, sealed_secret, enabled, since, last_success_at, \
    last_failure_at, last_failure, failing_since, created_at, modified_at, modified_by, revision";
pub(super) const WEBHOOK_DELIVERY: &str = "id, customer_id, webhook_id, event, payload, created_at, state, attempts, \
    next_at, last_result";
pub(super) const AUDIT_ROW: &str = "sequence, customer_id, at, actor_type, actor_id, actor_name, action, object_type, \
    object_id, object_name, before, after, mac";

/// Where looks of this kind are counted.
pub(super) const fn look_column(look: Look) -> &'static str {
    match look {
        Look::Attention => "attention_looks",
        Look::Components => "component_looks",
    }
}
