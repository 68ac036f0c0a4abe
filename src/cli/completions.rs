//! `muster completions`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Failure, print};

#[derive(Args)]
#[command(after_help = "\
Examples:
  muster completions bash > /etc/bash_completion.d/muster
  muster completions zsh > \"${fpath[1]}/_muster\"
  muster completions fish > ~/.config/fish/completions/muster.fish")]
pub struct Arguments {
    /// The shell that reads it
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "muster", &mut script);
    print(String::from_utf8(script)?)
}
