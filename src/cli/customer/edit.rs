//! `muster customer edit`

use clap::Args;
use serde_json::json;

use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::Selector;
use crate::cli::{Failure, print_json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: Selector,
    /// New name
    #[arg(long)]
    name: String,
    /// Print the customer as JSON afterwards
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open_as_administrator().await?;
    let customer = arguments.selector.find(&management, Resource::Customer).await?;
    management.edit(customer.of, &customer.id(), &json!({ "name": arguments.name })).await?;
    if arguments.json {
        return print_json(&management.get(customer.of, &customer.id()).await?);
    }
    eprintln!("{} was changed.", customer.title());
    Ok(())
}
