//! `muster key uses`

use clap::Args;

use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::listing::Form;
use crate::cli::management::Resource;
use crate::cli::selector::KindedSelector;
use crate::cli::shown::{instant, text};
use crate::cli::table::{Column, left};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: KindedSelector,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    connection: Connection,
}

static COLUMNS: &[Column] = &[
    left("TIME", |entry| instant(entry, "time")),
    left("TYPE", |entry| text(entry, "type")),
    left("COMPONENT", |entry| text(entry, "componentId")),
    left("NAME", |entry| text(entry, "componentName")),
    left("ADDRESS", |entry| text(entry, "remoteAddress")),
    left("CERTIFICATE", |entry| text(entry, "certificateSerialNumber")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let key = arguments.selector.find(&management, Resource::Key).await?;
    arguments.form.print(management.pages_below(&key, "uses")?, COLUMNS).await
}
