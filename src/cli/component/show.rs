//! `muster component show`

use clap::Args;
use serde_json::Value;

use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::KindedSelector;
use crate::cli::shown::{instant, instant_or_never, text, yes_no};
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

static DETAILS: &[Column] = &[
    left("id", |component| text(component, "id")),
    left("name", |component| text(component, "name")),
    left("kind", |component| text(component, "kind")),
    left("state", |component| text(component, "state")),
    left("enabled", |component| yes_no(component, "enabled")),
    left("group", group_name),
    left("key", |component| text(component, "provisioningKeyName")),
    left("description", |component| text(component, "description")),
    left("hostname", |component| text(component, "hostname")),
    left("platform", |component| text(component, "platform")),
    left("software version", |component| text(component, "currentVersion")),
    left("address", |component| text(component, "remoteAddress")),
    left("fingerprint", |component| text(component, "fingerprint")),
    left("signing certificate", |component| text(&component["enrollmentCert"], "name")),
    left("certificate", |component| text(component, "certificateSerialNumber")),
    left("certificate until", |component| instant(component, "certificateNotAfter")),
    left("enrolled", |component| instant(component, "enrollmentTime")),
    left("renewed", |component| instant_or_never(component, "lastRenewalTime")),
    left("modified", |component| instant(component, "modifiedTime")),
];

/// Each kind calls the member after itself.
pub fn group_name(component: &Value) -> String {
    let members = ["appConnectorGroupName", "serviceEdgeGroupName", "networkConnectorGroupName", "machineGroupName"];
    members.map(|member| text(component, member)).concat()
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let component = arguments.selector.find(&management, Resource::Component).await?.shown();
    if arguments.json { print_json(&component) } else { print(details(&component, DETAILS)) }
}
