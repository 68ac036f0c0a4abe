//! `muster component revoke`

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::confirmation::Confirmation;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::KindedSelector;
use crate::domain::RevocationReason;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: KindedSelector,
    /// Why, as its certificates stand on the CRL
    #[arg(long, value_name = "REASON", default_value = RevocationReason::Unspecified.as_str(),
        value_parser = PossibleValuesParser::new(RevocationReason::CHOICES.map(RevocationReason::as_str)))]
    reason: String,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let component = arguments.selector.find(&management, Resource::Component).await?;
    let what = format!("{} will be revoked, which cannot be undone; its device stays out.", component.title());
    arguments.confirmation.ask(&what)?;
    management.operate(&component, "revoke", &json!({ "reason": arguments.reason })).await?;
    eprintln!("{} was revoked.", component.title());
    Ok(())
}
