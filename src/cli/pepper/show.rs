//! `muster pepper show`

use clap::Args;
use serde_json::json;

use super::{Common, PATH};
use crate::app::show_peppers;
use crate::cli::Failure;
use crate::cli::connection::{Connection, names_service};
use crate::server::api::wire::pepper::PeppersBody;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub async fn run(Arguments { common }: Arguments) -> Result<(), Failure> {
    let settings = common.service.settings()?;
    let report = if names_service() {
        let management = Connection::of(settings.data_dir).open_as_administrator().await?;
        management.get_of_service(PATH).await?
    } else {
        json!(PeppersBody::new(&Box::pin(show_peppers(&settings)).await?))
    };
    common.print(&report)
}
