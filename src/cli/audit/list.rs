//! `muster audit list`

use clap::Args;
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::listing::Form;
use crate::cli::management::Resource;
use crate::cli::shown::{instant, text};
use crate::cli::table::{Column, left, right};
use crate::client::api::{parameter, search};
use crate::clock::Timestamp;

#[derive(Args)]
#[command(after_help = "\
Examples:
  muster audit list --since 2026-11-01T00:00:00Z --action delete
  muster audit list --search \"objectName STARTSWITH hq\" --limit 20")]
pub struct Arguments {
    /// Only what was done so, e.g. create, delete, export
    #[arg(long)]
    action: Option<String>,
    /// Only by this administrator or API client
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only about this kind of object, e.g. provisioning-key
    #[arg(long, value_name = "TYPE")]
    object_type: Option<String>,
    /// Only about the object with this id
    #[arg(long, value_name = "ID")]
    object_id: Option<String>,
    /// Only what matches, e.g. "objectName CONTAINS hq"; may be repeated
    #[arg(long, value_name = "EXPRESSION")]
    search: Vec<String>,
    /// From this instant on, e.g. 2026-11-20T16:06:00Z
    #[arg(long, value_name = "WHEN", value_parser = Timestamp::from_rfc3339)]
    since: Option<Timestamp>,
    /// Before this instant
    #[arg(long, value_name = "WHEN", value_parser = Timestamp::from_rfc3339)]
    until: Option<Timestamp>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    connection: Connection,
}

static COLUMNS: &[Column] = &[
    right("NUMBER", |event| text(event, "sequence")),
    left("TIME", |event| instant(event, "time")),
    left("ACTOR", |event| text(event, "actorName")),
    left("ACTION", |event| text(event, "action")),
    left("OBJECT", object),
];

/// `group HQ (7)`
fn object(event: &Value) -> String {
    let (object_type, name, id) = (text(event, "objectType"), text(event, "objectName"), text(event, "objectId"));
    let id = if id.is_empty() { id } else { format!("({id})") };
    [object_type, name, id].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let mut query: Vec<_> = arguments.search.iter().map(|expression| search(expression)).collect();
    for (member, wanted) in [
        ("action", &arguments.action),
        ("actorName", &arguments.actor),
        ("objectType", &arguments.object_type),
        ("objectId", &arguments.object_id),
    ] {
        query.extend(wanted.iter().map(|wanted| search(&format!("{member} EQ {wanted}"))));
    }
    for (name, instant) in [("from", arguments.since), ("to", arguments.until)] {
        query.extend(instant.map(|instant| parameter(name, &instant.to_string())));
    }
    arguments.form.print(management.pages(Resource::AuditEvent, &query.join("&"))?, COLUMNS).await
}
