//! `muster pepper …`

mod finish;
mod rotate;
mod show;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connection::in_store_or_by_service;
use super::service::ServiceFlags;
use super::shown::text;
use super::table::{Column, Table, left, right};
use super::{Failure, print, print_json};
use crate::app::{show_peppers, take_pepper_step};
use crate::management::peppers::PepperStep;
use crate::server::api::wire::pepper::PeppersBody;

#[derive(Subcommand)]
pub enum Command {
    /// End a rotation: what has not moved to the new pepper is never accepted again
    Finish(finish::Arguments),
    /// Make a new pepper; keys and API clients move to it by themselves
    Rotate(rotate::Arguments),
    /// Show how many keys and API clients are under which pepper, and which are left
    Show(show::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Finish(arguments) => finish::run(arguments).await,
        Command::Rotate(arguments) => rotate::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
    }
}

/// What each of them takes.
#[derive(Args)]
struct Common {
    #[command(flatten)]
    service: ServiceFlags,
    /// Print the counts and names as JSON
    #[arg(long)]
    json: bool,
}

static PEPPERS: &[Column] = &[
    right("PEPPER", |pepper| text(pepper, "number")),
    right("KEYS", |pepper| text(pepper, "keyCount")),
    right("API CLIENTS", |pepper| text(pepper, "apiClientCount")),
];

static USERS: &[Column] = &[
    left("CUSTOMER", |user| text(user, "customerId")),
    left("KIND", |user| match &user["kind"] {
        Value::Null => "api-client".to_owned(),
        _ => text(user, "kind"),
    }),
    left("ID", |user| text(user, "id")),
    left("NAME", |user| text(user, "name")),
];

const PATH: &str = "/mgmtconfig/v1/admin/pepper";

impl Common {
    async fn show(&self) -> Result<Value, Failure> {
        in_store_or_by_service(
            &self.service,
            async |settings| show_peppers(settings).await.map(|report| json!(PeppersBody::new(&report))),
            async |management| management.get_of_service(PATH).await,
        )
        .await
    }

    async fn step(&self, step: PepperStep) -> Result<Value, Failure> {
        let operation = match step {
            PepperStep::Rotate => "rotate",
            PepperStep::Finish => "finish",
        };
        in_store_or_by_service(
            &self.service,
            async |settings| take_pepper_step(settings, step).await.map(|report| json!(PeppersBody::new(&report))),
            async |management| management.operate_service(&format!("{PATH}/{operation}")).await,
        )
        .await
    }

    fn print(&self, report: &Value) -> Result<(), Failure> {
        if self.json {
            return print_json(report);
        }
        let rows = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut lines = Table::new(PEPPERS).part(&rows(&report["peppers"]));
        for (which, title) in [
            ("left", "Under the one before the newest still; they move when they are used next:"),
            ("lost", "Left when a rotation was ended, accepted no more; rotate or delete these:"),
        ] {
            let users: Vec<_> = ["keys", "apiClients"].iter().flat_map(|of| rows(&report[which][of])).collect();
            if !users.is_empty() {
                lines += &format!("\n{title}\n{}", Table::new(USERS).part(&users));
            }
        }
        print(lines)
    }
}
