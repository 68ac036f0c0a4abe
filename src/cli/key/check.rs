//! `muster key check`

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::shown::{flag, text};
use crate::cli::{Failure, key_source, print, print_json};
use crate::domain::Kind;

#[derive(Args)]
#[command(after_help = "Exit code 0 if a new device would be enrolled with it now, 1 if not.")]
pub struct Arguments {
    /// File that holds the key string, - for stdin [default: MUSTER_PROVISIONING_KEY, a prompt, stdin]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let string = key_source::hand_over(arguments.key_file.as_deref())?;
    let management = arguments.connection.open().await?;
    // Any kind's list answers for all of them.
    let question = json!({ "provisioningKey": string.expose() });
    let answer = management.ask(Resource::Key(Kind::AppConnector), "check", &question).await?;
    if arguments.json {
        print_json(&answer)?;
    } else {
        print(verdict(&answer) + "\n")?;
    }
    if flag(&answer, "wouldEnroll") { Ok(()) } else { Err(Failure::told(1)) }
}

fn verdict(answer: &Value) -> String {
    match text(answer, "result").as_str() {
        "damaged" => return "This key string is damaged: copy it again.".to_owned(),
        "unknown" => return "This key string is unknown here.".to_owned(),
        _ => {}
    }
    let (id, name) = (text(answer, "id"), text(answer, "name"));
    let key = if name.is_empty() { format!("key {id}") } else { format!("key {name} (id {id})") };
    let limits = if flag(answer, "addressesRestricted") { ", from the addresses that are allowed" } else { "" };
    if flag(answer, "wouldEnroll") {
        format!("This is {key}. A new device would be enrolled{limits}.")
    } else {
        format!("This is {key}. A new device would be refused: {}.", text(answer, "code"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_in_a_sentence() {
        for (answer, expected) in [
            (json!({ "result": "damaged", "wouldEnroll": false }), "This key string is damaged: copy it again."),
            (json!({ "result": "unknown", "wouldEnroll": false }), "This key string is unknown here."),
            (
                json!({ "result": "known", "id": "7", "name": "k1", "wouldEnroll": true }),
                "This is key k1 (id 7). A new device would be enrolled.",
            ),
            (
                json!({ "result": "known", "id": "7", "wouldEnroll": true, "addressesRestricted": true }),
                "This is key 7. A new device would be enrolled, from the addresses that are allowed.",
            ),
            (
                json!({ "result": "known", "id": "7", "name": "k1", "wouldEnroll": false, "code": "key-exhausted" }),
                "This is key k1 (id 7). A new device would be refused: key-exhausted.",
            ),
        ] {
            assert_eq!(verdict(&answer), expected);
        }
    }
}
