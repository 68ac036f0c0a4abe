//! `muster tls-anchor show`

use clap::Args;
use serde_json::json;

use super::{Common, PATH};
use crate::app::show_tls_anchor;
use crate::cli::Failure;
use crate::cli::connection::{Connection, names_service};
use crate::server::api::wire::tls_anchor::TlsAnchorBody;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub async fn run(Arguments { common }: Arguments) -> Result<(), Failure> {
    let settings = common.service.settings()?;
    let anchor = if names_service() {
        let management = Connection::of(settings.data_dir).open_as_administrator().await?;
        management.get_of_service(PATH).await?
    } else {
        json!(TlsAnchorBody::new(&Box::pin(show_tls_anchor(&settings)).await?))
    };
    common.print(&anchor)
}
