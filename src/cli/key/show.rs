//! `muster key show`

use clap::Args;

use super::uses_of;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::KindedSelector;
use crate::cli::shown::{allowed_from, instant, instant_or_never, text, yes_no};
use crate::cli::table::{Column, details, left};
use crate::cli::{Failure, print, print_json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: KindedSelector,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let key = arguments.selector.find(&management, Resource::Key).await?.shown();
    if arguments.json { print_json(&key) } else { print(details(&key, DETAILS)) }
}

static DETAILS: &[Column] = &[
    left("id", |key| text(key, "id")),
    left("name", |key| text(key, "name")),
    left("kind", |key| text(key, "kind")),
    left("key", |key| text(key, "keyHint")),
    left("key id", |key| text(key, "keyId")),
    left("group", |key| text(key, "zcomponentName")),
    left("signing certificate", |key| text(key, "enrollmentCertName")),
    left("state", |key| text(key, "state")),
    left("uses", uses_of),
    left("enabled", |key| yes_no(key, "enabled")),
    left("allow re-enrollment", |key| yes_no(key, "allowReEnrollment")),
    left("re-enrollments", |key| text(key, "reEnrollments")),
    left("view or export", |key| yes_no(key, "exportable")),
    left("expires", |key| instant_or_never(key, "expirationInEpochSec")),
    left("allow from", allowed_from),
    left("description", |key| text(key, "description")),
    left("managed by", |key| text(key, "managedBy")),
    left("successor", |key| text(key, "successorId")),
    left("created", |key| instant(key, "creationTime")),
    left("modified", |key| instant(key, "modifiedTime")),
    left("last used", |key| instant_or_never(key, "lastUsedTime")),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Kind;

    #[test]
    fn a_key_is_shown_without_its_string() {
        let key = Resource::Key(Kind::Machine).shown(json!({
            "id": "7", "name": "k1", "keyHint": "3|localhost|abcdefg...", "provisioningKey": "canary",
            "usageCount": "3", "maxUsage": "10", "enabled": true, "creationTime": "1790000000", "ipAcl": ["192.0.2.0/24"],
        }));
        assert_eq!(key["kind"], "machine");
        let shown = details(&key, DETAILS);
        assert!(!shown.contains("canary") && !key.to_string().contains("canary"), "{shown}");
        for line in [
            "uses                 3 of 10\n",
            "expires              never\n",
            "created              2026-09-21T14:13:20Z\n",
        ] {
            assert!(shown.contains(line), "{line:?} in {shown}");
        }
    }
}
