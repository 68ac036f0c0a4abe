//! `muster key …`

mod create;
mod delete;
mod edit;
mod list;
mod show;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Failure;
use super::management::{Management, text};
use crate::domain::Kind;
use crate::id::ProvisioningKeyId;

#[derive(Subcommand)]
pub enum Command {
    /// Make a provisioning key and print its key string, alone, on stdout
    Create(create::Arguments),
    /// Delete a key; its components stay
    Delete(delete::Arguments),
    /// Change settings of a key
    Edit(edit::Arguments),
    /// List the keys; never their key strings
    List(list::Arguments),
    /// Show a key's settings and counters; never its key string
    Show(show::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create::run(arguments).await,
        Command::Delete(arguments) => delete::run(arguments).await,
        Command::Edit(arguments) => edit::run(arguments).await,
        Command::List(arguments) => list::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
    }
}

/// Which key: an id alone, or a kind and a name.
#[derive(Args)]
pub struct Selector {
    /// The key's id, or with --kind its name
    #[arg(value_name = "ID|NAME")]
    key: String,
    /// The key's kind; what is given is then its name
    #[arg(long)]
    kind: Option<Kind>,
}

/// A selector that was checked before anything is asked of the service.
enum Wanted<'a> {
    Id(&'a str),
    Name(Kind, &'a str),
}

impl Selector {
    fn wanted(&self) -> Result<Wanted<'_>, Failure> {
        match self.kind {
            Some(kind) => Ok(Wanted::Name(kind, &self.key)),
            None if self.key.parse::<ProvisioningKeyId>().is_ok() => Ok(Wanted::Id(&self.key)),
            None => Err(Failure::usage(format!("{:?} is no id; a name needs its --kind", self.key))),
        }
    }
}

impl Wanted<'_> {
    async fn find(&self, management: &Management) -> anyhow::Result<(Kind, Value)> {
        match *self {
            Self::Id(id) => management.find_key_by_id(id).await,
            Self::Name(kind, name) => Ok((kind, management.find_key_by_name(kind, name).await?)),
        }
    }
}

/// Key strings are for `create` to print once; everything else goes without.
fn without_key_string(mut key: Value) -> Value {
    if let Some(members) = key.as_object_mut() {
        members.remove("provisioningKey");
    }
    key
}

/// `3`, or `3 of 10`.
fn uses(key: &Value) -> String {
    match text(key, "maxUsage").as_str() {
        "" => text(key, "usageCount"),
        maximum => format!("{} of {maximum}", text(key, "usageCount")),
    }
}
