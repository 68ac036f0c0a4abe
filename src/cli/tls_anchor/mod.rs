//! `muster tls-anchor …`

mod finish;
mod roll;
mod show;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connection::in_store_or_by_service;
use super::service::ServiceFlags;
use super::shown::{instant, text};
use super::table::{Column, details, left};
use super::{Failure, print, print_json};
use crate::app::{roll_tls_anchor, show_tls_anchor};
use crate::management::tls_anchor::RollStep;
use crate::server::api::wire::tls_anchor::TlsAnchorBody;

#[derive(Subcommand)]
pub enum Command {
    /// Let go of the old anchor: devices that know only that one are locked out
    Finish(finish::Arguments),
    /// Make a new anchor that the old one vouches for; both are shown until finish
    Roll(roll::Arguments),
    /// Show the anchor, and the one before it while it is rolled
    Show(show::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Finish(arguments) => finish::run(arguments).await,
        Command::Roll(arguments) => roll::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
    }
}

/// What each of them takes.
#[derive(Args)]
struct Common {
    #[command(flatten)]
    service: ServiceFlags,
    /// Print the anchor as JSON
    #[arg(long)]
    json: bool,
}

static DETAILS: &[Column] = &[
    left("name", |anchor| text(anchor, "cName")),
    left("from", |anchor| instant(anchor, "validFromInEpochSec")),
    left("until", |anchor| instant(anchor, "validToInEpochSec")),
    left("public key SHA-256", |anchor| text(anchor, "publicKeySha256")),
];

const PATH: &str = "/mgmtconfig/v1/admin/tlsTrustAnchor";

impl Common {
    async fn show(&self) -> Result<Value, Failure> {
        in_store_or_by_service(
            &self.service,
            async |settings| show_tls_anchor(settings).await.map(|anchor| json!(TlsAnchorBody::new(&anchor))),
            async |management| management.get_of_service(PATH).await,
        )
        .await
    }

    async fn step(&self, step: RollStep) -> Result<Value, Failure> {
        let operation = match step {
            RollStep::Roll => "roll",
            RollStep::Finish => "finish",
        };
        in_store_or_by_service(
            &self.service,
            async |settings| roll_tls_anchor(settings, step).await.map(|anchor| json!(TlsAnchorBody::new(&anchor))),
            async |management| management.operate_service(&format!("{PATH}/{operation}")).await,
        )
        .await
    }

    fn print(&self, anchor: &Value) -> Result<(), Failure> {
        if self.json {
            return print_json(anchor);
        }
        let mut lines = details(&anchor["current"], DETAILS);
        if anchor["previous"].is_object() {
            lines += "\nThe one before it, shown as well:\n";
            lines += &details(&anchor["previous"], DETAILS);
        }
        print(lines)
    }
}
