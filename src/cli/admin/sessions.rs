//! `muster admin sessions`

use clap::Args;

use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::listing::Form;
use crate::cli::management::Resource;
use crate::cli::selector::Selector;
use crate::cli::shown::{instant, text};
use crate::cli::table::{Column, left};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: Selector,
    /// End this session instead
    #[arg(long, value_name = "ID")]
    end: Option<String>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    connection: Connection,
}

static COLUMNS: &[Column] = &[
    left("ID", |session| text(session, "id")),
    left("SINCE", |session| instant(session, "creationTime")),
    left("UNTIL", |session| instant(session, "expirationTime")),
    left("FROM", |session| text(session, "remoteAddress")),
    left("WITH", |session| text(session, "userAgent")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let administrator = arguments.selector.find(&management, Resource::Administrator).await?;
    let Some(session) = &arguments.end else {
        return arguments.form.print(management.pages_below(&administrator, "sessions")?, COLUMNS).await;
    };
    if session.is_empty() || !session.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Failure::usage(format!("{session:?} is no session's id")));
    }
    management.delete_below(&administrator, &format!("sessions/{session}")).await?;
    eprintln!("The session of {} was ended.", administrator.name());
    Ok(())
}
