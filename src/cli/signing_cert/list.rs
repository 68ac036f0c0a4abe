//! `muster signing-cert list`

use clap::Args;

use super::state;
use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::listing::Selection;
use crate::cli::management::Resource;
use crate::cli::shown::{instant, text};
use crate::cli::table::{Column, left};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    connection: Connection,
}

static COLUMNS: &[Column] = &[
    left("ID", |certificate| text(certificate, "id")),
    left("NAME", |certificate| text(certificate, "name")),
    left("ISSUED BY", |certificate| text(certificate, "issuedBy")),
    left("UNTIL", |certificate| instant(certificate, "validToInEpochSec")),
    left("STATE", state),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    arguments.selection.print(&management, &[Resource::SigningCertificate], COLUMNS).await
}
