//! `muster key refusals`

use clap::Args;

use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::listing::Form;
use crate::cli::management::Resource;
use crate::cli::selector::KindedSelector;
use crate::cli::shown::{instant, text};
use crate::cli::table::{Column, left, right};

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
    left("MINUTE", |refusal| instant(refusal, "minute")),
    left("CODE", |refusal| text(refusal, "code")),
    left("FROM", |refusal| text(refusal, "source")),
    right("COUNT", |refusal| text(refusal, "count")),
    left("LAST REFERENCE", |refusal| text(refusal, "lastReference")),
    left("LAST REASON", |refusal| text(refusal, "lastReason")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let key = arguments.selector.find(&management, Resource::Key).await?;
    arguments.form.print(management.pages_below(&key, "refusals")?, COLUMNS).await
}
