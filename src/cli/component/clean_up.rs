//! `muster component clean-up`

use clap::Args;
use serde_json::{Value, json};

use crate::cli::connection::Connection;
use crate::cli::management::{Resource, members};
use crate::cli::selector::kind;
use crate::cli::shown::{flag, text};
use crate::cli::{Failure, print, print_json};
use crate::domain::Kind;

#[derive(Args)]
#[command(after_help = "\
Examples:
  muster component clean-up --kind machine                what is set
  muster component clean-up --kind machine --after 30     delete 30 days after the certificate's end
  muster component clean-up --kind machine --off")]
pub struct Arguments {
    /// Each kind has a setting of its own
    #[arg(long, value_parser = kind())]
    kind: Kind,
    /// Days between the end of the certificate and the deletion
    #[arg(long, value_name = "DAYS", value_parser = ["5", "7", "14", "30", "60", "90"])]
    after: Option<String>,
    /// Delete nothing
    #[arg(long, conflicts_with = "after")]
    off: bool,
    /// Delete disabled components too
    #[arg(long, conflicts_with_all = ["spare_disabled", "off"])]
    include_disabled: bool,
    /// Leave disabled components alone
    #[arg(long, conflicts_with = "off")]
    spare_disabled: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { after, off, include_disabled, spare_disabled, .. } = arguments;
    let of = Resource::CleanUpSchedule(arguments.kind);
    let management = arguments.connection.open().await?;
    let mut schedule = management.get_only(of).await?;
    if after.is_some() || off || include_disabled || spare_disabled {
        let changes = members([
            ("enabled", (after.is_some() || off).then(|| json!(!off))),
            ("deleteDisabled", (include_disabled || spare_disabled).then(|| json!(include_disabled))),
            ("frequencyInterval", after.map(|days| json!(days))),
        ]);
        match &schedule {
            Some(schedule) => management.edit(of, &text(schedule, "id"), &changes).await?,
            None if off => {} // nothing was ever set
            None if changes["frequencyInterval"].is_null() => return Err(Failure::usage("say --after how many days")),
            None => {
                let mut made = json!({ "deleteDisabled": false, "frequency": "days" });
                for (name, value) in changes.as_object().into_iter().flatten() {
                    made[name] = value.clone();
                }
                management.create(of, &made).await?;
            }
        }
        schedule = management.get_only(of).await?;
    }
    if arguments.json {
        return print_json(&schedule);
    }
    print(sentence(arguments.kind, schedule.as_ref()) + "\n")
}

fn sentence(kind: Kind, schedule: Option<&Value>) -> String {
    match schedule.filter(|schedule| flag(schedule, "enabled")) {
        None => format!("{kind}: components are not cleaned up."),
        Some(schedule) => {
            let disabled =
                if flag(schedule, "deleteDisabled") { "disabled ones too" } else { "disabled ones are left" };
            let days = text(schedule, "frequencyInterval");
            format!("{kind}: components are deleted {days} days after their certificate ended unrenewed; {disabled}.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_in_a_sentence() {
        let schedule = |enabled: bool| json!({ "enabled": enabled, "deleteDisabled": true, "frequencyInterval": "7" });
        assert_eq!(sentence(Kind::Machine, None), "machine: components are not cleaned up.");
        assert_eq!(sentence(Kind::Machine, Some(&schedule(false))), "machine: components are not cleaned up.");
        assert_eq!(
            sentence(Kind::Machine, Some(&schedule(true))),
            "machine: components are deleted 7 days after their certificate ended unrenewed; disabled ones too.",
        );
    }
}
