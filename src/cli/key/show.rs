//! `muster key show`

use clap::Args;
use serde_json::Value;

use super::{Selector, uses, without_key_string};
use crate::cli::management::{Connection, flag, text, with_kind};
use crate::cli::table::Table;
use crate::cli::{Failure, print, print_json};
use crate::clock::Timestamp;
use crate::domain::Kind;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    selector: Selector,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let wanted = arguments.selector.wanted()?;
    let management = arguments.connection.open().await?;
    let (kind, key) = wanted.find(&management).await?;
    let key = with_kind(kind, without_key_string(key));
    if arguments.json {
        return print_json(&key);
    }
    print(table_of(kind, &key))
}

fn table_of(kind: Kind, key: &Value) -> Table {
    let yes_no = |member: &str| if flag(key, member) { "yes" } else { "no" }.to_owned();
    let instant = |member: &str| match text(key, member).parse() {
        Ok(seconds) => Timestamp::from_unix_seconds(seconds).to_string(),
        Err(_) => "never".to_owned(),
    };
    let addresses: Vec<_> = key["ipAcl"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut table = Table::new(["SETTING", "VALUE"]);
    for (name, value) in [
        ("id", text(key, "id")),
        ("name", text(key, "name")),
        ("kind", kind.to_string()),
        ("key", text(key, "keyHint")),
        ("key id", text(key, "keyId")),
        ("group", text(key, "zcomponentName")),
        ("signing certificate", text(key, "enrollmentCertName")),
        ("state", text(key, "state")),
        ("uses", uses(key)),
        ("enabled", yes_no("enabled")),
        ("allow re-enrollment", yes_no("allowReEnrollment")),
        ("re-enrollments", text(key, "reEnrollments")),
        ("view or export", yes_no("exportable")),
        ("expires", instant("expirationInEpochSec")),
        ("allow from", if addresses.is_empty() { "everywhere".to_owned() } else { addresses.join(", ") }),
        ("description", text(key, "description")),
        ("created", instant("creationTime")),
        ("modified", instant("modifiedTime")),
        ("last used", instant("lastUsedTime")),
    ] {
        table.row([name.to_owned(), value]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_shown_without_its_string() {
        let key = json!({
            "id": "7", "name": "k1", "keyHint": "3|localhost|abcdefg...", "provisioningKey": "canary",
            "usageCount": "3", "maxUsage": "10", "enabled": true, "creationTime": "1790000000", "ipAcl": ["192.0.2.0/24"],
        });
        let shown = table_of(Kind::Machine, &without_key_string(key)).to_string();
        assert!(!shown.contains("canary"), "{shown}");
        for line in [
            "uses                 3 of 10\n",
            "expires              never\n",
            "created              2026-09-21T14:13:20Z\n",
        ] {
            assert!(shown.contains(line), "{line:?} in {shown}");
        }
    }
}
