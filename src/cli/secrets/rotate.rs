//! `muster secrets rotate`

use clap::Args;

use super::{print_report, tell_old_keys};
use crate::app::{RotationStep, prepare_master_key, rotate_master_key};
use crate::cli::Failure;
use crate::cli::service::ServiceFlags;

#[derive(Args)]
#[command(after_help = "\
Puts a new line first in master.key; a service that runs reads it within a second and seals everything by it. Broken off, it goes
on when it is called again, or when the service starts. Back up master.key right afterwards.

Where nodes share a database: rotate --prepare on one of them, copy its master.key to all others, then rotate on the same one.
All of them seal by the new key from then on.")]
pub struct Arguments {
    #[command(flatten)]
    service: ServiceFlags,
    /// Only add the new key, which opens and does not seal yet: to be copied to all nodes first
    #[arg(long)]
    prepare: bool,
    /// Print which master key sealed how much as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.service.settings()?;
    if arguments.prepare {
        let id = Box::pin(prepare_master_key(&settings)).await?;
        eprintln!("Master key {id} is the last line of master.key: it opens, and does not seal yet.");
        eprintln!("Next: copy master.key to every other node, then muster secrets rotate");
        return Ok(());
    }
    let (step, report) = Box::pin(rotate_master_key(&settings)).await?;
    let first = &report.master_keys[0].id;
    match step {
        RotationStep::Made => eprintln!("Master key {first} was made, and everything is sealed by it."),
        RotationStep::Promoted => {
            eprintln!("Everything is sealed by master key {first}, and whatever node it comes from will be.");
        }
        RotationStep::Resumed => eprintln!("Everything is sealed by master key {first} now; it had not been yet."),
    }
    eprintln!("Keep a copy of master.key: backups from now on need its first line.");
    print_report(&report, arguments.json)?;
    tell_old_keys(&report);
    Ok(())
}
