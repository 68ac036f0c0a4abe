//! What cannot be undone is asked for twice.

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;

use super::Failure;

/// Whether to ask.
#[derive(Args)]
pub struct Confirmation {
    /// Do it without asking
    #[arg(long, short)]
    yes: bool,
}

impl Confirmation {
    /// Goes on after `--yes`, or a yes on the terminal. `what` is a sentence that says what will be
    /// affected.
    ///
    /// # Errors
    /// Wrong usage where nobody can be asked; "no" ends the command as failed.
    pub fn ask(&self, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Failure::usage(format!("{what} Nobody can be asked here: add --yes.")));
        }
        eprint!("{what} Go on? [y/N] ");
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        eprintln!("Nothing was changed.");
        Err(Failure::told(1))
    }
}
