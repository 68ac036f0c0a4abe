//! `muster admin create`

use clap::Args;
use serde_json::json;

use super::role;
use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::management::{Resource, members};
use crate::cli::secret_input::NewPassword;
use crate::cli::secret_output::SecretOutput;
use crate::cli::shown::text;

#[derive(Args)]
#[command(after_help = "\
Examples:
  muster admin create --username ann --role operator --output ann.password
  muster admin create --customer 0 --username root2 --role owner --password-file -")]
pub struct Arguments {
    /// Unique over all customers
    #[arg(long)]
    username: String,
    /// What it may do; owners belong to customer 0
    #[arg(long, value_parser = role())]
    role: String,
    #[arg(long)]
    description: Option<String>,
    /// Make it disabled
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    password: NewPassword,
    #[command(flatten)]
    output: SecretOutput,
    /// Print the administrator as JSON, with a password that was made
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let password = arguments.password.read()?;
    let management = arguments.connection.open().await?;
    let order = members([
        ("username", Some(json!(arguments.username))),
        ("role", Some(json!(arguments.role))),
        ("description", arguments.description.map(|text| json!(text))),
        ("enabled", Some(json!(!arguments.disabled))),
        ("password", password.map(|password| json!(password.as_str()))),
    ]);
    let output = arguments.output.open()?;
    let made = management.create(Resource::Administrator, &order).await?;
    if arguments.json {
        return output.write(&format!("{made:#}"));
    }
    let (username, id, made_password) = (arguments.username, text(&made, "id"), text(&made, "password"));
    if made_password.is_empty() {
        eprintln!("Administrator {username} (id {id}) was made.");
        return Ok(());
    }
    output.write(&made_password)?;
    eprintln!("Administrator {username} (id {id}) was made. The password is shown this once.");
    Ok(())
}
