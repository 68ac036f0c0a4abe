//! `muster admin password`

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::secret_input::NewPassword;
use crate::client::api::Caller;

#[derive(Args)]
#[command(after_help = "\
All sessions of the administrator end.

Examples:
  MUSTER_USERNAME=ann muster admin password
  muster admin password bob --password-file bob.password")]
pub struct Arguments {
    /// Whose, by id or user name [default: one's own]
    #[arg(value_name = "ID|NAME")]
    wanted: Option<String>,
    #[command(flatten)]
    password: NewPassword,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let whose = match &arguments.wanted {
        Some(wanted) => set_of_another(&arguments, wanted).await?,
        None => change_own(&arguments).await?,
    };
    eprintln!("The password of {whose} was changed; all its sessions ended.");
    Ok(())
}

async fn set_of_another(arguments: &Arguments, wanted: &str) -> anyhow::Result<String> {
    let management = arguments.connection.open().await?;
    let administrator = management.find(&[Resource::Administrator], wanted).await?;
    let password = arguments.password.read()?.context("a password is needed: --password-file F, - for stdin")?;
    management.edit(administrator.of, &administrator.id(), &json!({ "password": password.as_str() })).await?;
    Ok(administrator.name())
}

async fn change_own(arguments: &Arguments) -> anyhow::Result<String> {
    let management = arguments.connection.open_as_administrator().await?.at_home();
    let Caller::Administrator { username, password: current } = management.caller() else {
        bail!("an API client has no password: set MUSTER_USERNAME, or say whose password to set");
    };
    let administrator = management.find(&[Resource::Administrator], username).await?;
    let password = arguments.password.read()?.context("a password is needed: --password-file F, - for stdin")?;
    let change = json!({ "currentPassword": current.as_str(), "newPassword": password.as_str() });
    management.operate(&administrator, "password", &change).await?;
    Ok(username.clone())
}
