//! Where each sealed value stands: its purpose, table and record, as [`Place`] wants them.
//!
//! The rooms that seal and the rooms that open must name the same place, or the value does not
//! open. So the names are here, once.

use crate::id::{CustomerId, Id as _};
use crate::secret::master::Place;
use crate::secret::pepper::PepperNumber;

/// A record's id as the text that a [`Place`] borrows. Keep it alive for the length of the call.
pub struct RecordPlace {
    purpose: &'static str,
    customer: CustomerId,
    table: &'static str,
    record: String,
}

impl RecordPlace {
    pub fn as_place(&self) -> Place<'_> {
        Place { purpose: self.purpose, customer: self.customer.raw(), table: self.table, record: &self.record }
    }

    /// What the secret is called among its kind, for secrets that stand in the table of secrets.
    pub fn record(&self) -> &str {
        &self.record
    }

    pub fn purpose(&self) -> &'static str {
        self.purpose
    }
}

/// PKCS#8 DER of a signing certificate's private key.
pub fn signing_key(customer: CustomerId, id: crate::id::SigningCertificateId) -> RecordPlace {
    RecordPlace { purpose: "signing-key", customer, table: "signing_certificates", record: id.to_string() }
}

/// UTF-8 of a key string that may be viewed or exported.
pub fn key_string(customer: CustomerId, id: crate::id::ProvisioningKeyId) -> RecordPlace {
    RecordPlace { purpose: "key-string", customer, table: "provisioning_keys", record: id.to_string() }
}

/// The bytes that a webhook's deliveries are signed with.
pub fn webhook_secret(customer: CustomerId, id: crate::id::WebhookId) -> RecordPlace {
    RecordPlace { purpose: "webhook-secret", customer, table: "webhooks", record: id.to_string() }
}

/// What a request came to, behind 32 bytes of the request's hash. `id` is the answer's.
pub fn answer(customer: CustomerId, id: &[u8; 32]) -> RecordPlace {
    let record = id.iter().map(|byte| format!("{byte:02x}")).collect();
    RecordPlace { purpose: "answer", customer, table: "answers", record }
}

/// 32 bytes.
pub fn pepper(number: PepperNumber) -> RecordPlace {
    secret(PEPPER, number.0.to_string())
}

/// 32 bytes: signs access tokens.
pub fn token_key() -> RecordPlace {
    secret(TOKEN_KEY, CURRENT.to_owned())
}

/// 32 bytes: chains the audit log.
pub fn audit_key() -> RecordPlace {
    secret(AUDIT_KEY, CURRENT.to_owned())
}

/// DER of the CA above the TLS certificates of this service's own listeners. No secret, yet it
/// stands beside its key, and sealing it means that nobody can exchange one without the other.
pub fn endpoint_anchor_certificate() -> RecordPlace {
    secret(ENDPOINT_ANCHOR, "certificate".to_owned())
}

/// PKCS#8 DER of that CA's private key.
pub fn endpoint_anchor_key() -> RecordPlace {
    secret(ENDPOINT_ANCHOR, "key".to_owned())
}

/// DER of that CA's certificate by the one before it, while it is rolled.
pub fn endpoint_anchor_cross() -> RecordPlace {
    secret(ENDPOINT_ANCHOR, "cross".to_owned())
}

/// DER of the one before it, while it is rolled. Its private key is gone.
pub fn previous_endpoint_anchor() -> RecordPlace {
    secret(ENDPOINT_ANCHOR, "previous".to_owned())
}

/// The purpose of all that belongs to the endpoint's anchor, so that one read sees one stage of its life.
pub const ENDPOINT_ANCHOR: &str = "endpoint-anchor";

/// The purpose of all peppers; their names are their numbers.
pub const PEPPER: &str = "pepper";

/// The purposes of all that stands in the table of secrets.
pub const SECRETS: [&str; 4] = [AUDIT_KEY, ENDPOINT_ANCHOR, PEPPER, TOKEN_KEY];

const AUDIT_KEY: &str = "audit-key";
const TOKEN_KEY: &str = "token-key";

const CURRENT: &str = "current";

/// Of a secret by its purpose, one of [`SECRETS`], and its name.
pub fn secret_named(purpose: &'static str, name: &str) -> RecordPlace {
    secret(purpose, name.to_owned())
}

fn secret(purpose: &'static str, record: String) -> RecordPlace {
    RecordPlace { purpose, customer: CustomerId::SERVICE, table: "secrets", record }
}
