//! `muster man`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_mangen::Man;

use super::{Cli, Failure, print};

#[derive(Args)]
#[command(after_help = "\
Examples:
  muster man key create | man -l -
  muster man --dir /usr/local/share/man/man1")]
pub struct Arguments {
    /// The command whose page is printed, e.g. key create [default: the program's own]
    #[arg(conflicts_with = "dir")]
    command: Vec<String>,
    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    // Built, so that each command knows its full name.
    let mut program = Cli::command();
    program.build();
    if let Some(directory) = &arguments.dir {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        return write_pages(&program, directory);
    }
    let mut command = &program;
    for name in &arguments.command {
        let unknown = || Failure::usage(format!("there is no command {:?}", arguments.command.join(" ")));
        command = command.find_subcommand(name).ok_or_else(unknown)?;
    }
    print(String::from_utf8(page(command)?)?)
}

fn write_pages(command: &clap::Command, directory: &std::path::Path) -> Result<(), Failure> {
    let path = directory.join(format!("{}.1", page_name(command)));
    std::fs::write(&path, page(command)?).with_context(|| path.display().to_string())?;
    command.get_subcommands().try_for_each(|command| write_pages(command, directory))
}

fn page(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let title = page_name(command);
    Man::new(command.clone()).title(title).section("1").render(&mut page)?;
    Ok(page)
}

/// `muster-key-create`
fn page_name(command: &clap::Command) -> String {
    command.get_bin_name().unwrap_or_else(|| command.get_name()).replace(' ', "-")
}
