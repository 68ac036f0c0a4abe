//! `muster customer show`

use clap::Args;

use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::shown::{instant, text, yes_no};
use crate::cli::table::{Column, details, left};
use crate::cli::{Failure, print, print_json};

#[derive(Args)]
pub struct Arguments {
    /// Its id or its name [default: the caller's own]
    #[arg(value_name = "ID|NAME")]
    wanted: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

static DETAILS: &[Column] = &[
    left("id", |customer| text(customer, "id")),
    left("name", |customer| text(customer, "name")),
    left("enabled", |customer| yes_no(customer, "enabled")),
    left("created", |customer| instant(customer, "creationTime")),
    left("modified", |customer| instant(customer, "modifiedTime")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let customer = match &arguments.wanted {
        Some(wanted) => {
            let management = arguments.connection.open_as_administrator().await?;
            management.find(&[Resource::Customer], wanted).await?.object
        }
        None => {
            let management = arguments.connection.open().await?;
            let own = management.customer()?.to_string();
            management.get(Resource::Customer, &own).await?
        }
    };
    if arguments.json { print_json(&customer) } else { print(details(&customer, DETAILS)) }
}
