//! `muster component certificate`

use clap::Args;

use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::KindedSelector;
use crate::cli::{Failure, print};

#[derive(Args)]
#[command(after_help = "\
Example:
  muster component certificate --kind machine kiosk-1 | openssl x509 -noout -text")]
pub struct Arguments {
    #[command(flatten)]
    selector: KindedSelector,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let component = arguments.selector.find(&management, Resource::Component).await?;
    print(management.get_text(component.of, &format!("{}/certificate", component.id())).await?)
}
