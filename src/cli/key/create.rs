//! `muster key create`

use clap::Args;
use serde_json::json;

use crate::cli::expiry::Expiry;
use crate::cli::management::{Connection, text, with_kind};
use crate::cli::{Failure, print, print_json};
use crate::clock::{Clock as _, SystemClock};
use crate::domain::Kind;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// app-connector, service-edge, network-connector or machine
    #[arg(long)]
    kind: Kind,
    /// Group that components join; its name or id
    #[arg(long, value_name = "NAME")]
    group: String,
    #[arg(long)]
    name: String,
    /// Most deployments over its lifetime; required for app connectors and service edges, else none = no limit
    #[arg(long, value_name = "N")]
    max_uses: Option<u32>,
    /// Let known hardware enroll again: whoever holds the key and knows a fingerprint can become that component
    #[arg(long)]
    allow_re_enrollment: bool,
    /// Keep no copy: the key string is shown now and never again
    #[arg(long)]
    no_view: bool,
    /// From when on it is refused: 30d, 12h, or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
    /// Network from which devices may enroll, in CIDR form; may be repeated
    #[arg(long, value_name = "CIDR")]
    allow_from: Vec<String>,
    /// 3: tells devices whom to trust and whether it was copied whole; 1: short
    #[arg(long, value_name = "1|3", value_parser = ["1", "3"])]
    key_version: Option<String>,
    /// Signing certificate, its name or id [default: the group's]
    #[arg(long, value_name = "NAME")]
    signing_cert: Option<String>,
    #[arg(long)]
    description: Option<String>,
    /// Make it disabled
    #[arg(long)]
    disabled: bool,
    /// Print the key as JSON, key string included
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let kind = arguments.kind;
    let management = arguments.connection.open().await?;
    let group = management.find_group(kind, &arguments.group).await?;
    let mut key = json!({
        "name": arguments.name,
        "zcomponentId": group["id"],
        "enabled": !arguments.disabled,
        "exportable": !arguments.no_view,
        "allowReEnrollment": arguments.allow_re_enrollment,
    });
    if let Some(maximum) = arguments.max_uses {
        key["maxUsage"] = json!(maximum.to_string());
    }
    if let Some(expires) = arguments.expires {
        key["expirationInEpochSec"] = json!(expires.instant(SystemClock.now()).unix_seconds().to_string());
    }
    if !arguments.allow_from.is_empty() {
        key["ipAcl"] = json!(arguments.allow_from);
    }
    if let Some(version) = arguments.key_version {
        key["keyVersion"] = json!(version);
    }
    if let Some(wanted) = &arguments.signing_cert {
        key["enrollmentCertId"] = management.find_signing_certificate(wanted).await?["id"].clone();
    }
    if let Some(description) = arguments.description {
        key["description"] = json!(description);
    }
    let made = management.create_key(kind, &key).await?;
    if arguments.json {
        return print_json(&with_kind(kind, made));
    }
    print(text(&made, "provisioningKey") + "\n")?;
    eprintln!(
        "Key {} (id {}) was made. It is a secret: whoever holds it can create a component here. Keep it in a \
         credential vault.",
        arguments.name,
        text(&made, "id"),
    );
    Ok(())
}
