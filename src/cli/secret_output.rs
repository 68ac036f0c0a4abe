//! Secrets that were just made: alone on stdout, or in a file of their own.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::{Failure, print};

/// Where a secret goes.
#[derive(Args)]
pub struct SecretOutput {
    /// Write the result to this new file (mode 0600) instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A place that was found fit to take a secret before it was made.
pub enum Sink {
    File {
        path: PathBuf,
        file: File,
        /// Else the file goes with the sink.
        is_written: bool,
    },
    Stdout,
}

impl SecretOutput {
    /// Before the secret is asked for: it may be shown once only, and then needs its place.
    ///
    /// # Errors
    /// The file is there already, or cannot be made.
    pub fn open(&self) -> anyhow::Result<Sink> {
        let Some(path) = &self.output else { return Ok(Sink::Stdout) };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.with_context(|| path.display().to_string())?;
        Ok(Sink::File { path: path.clone(), file, is_written: false })
    }
}

impl Sink {
    /// Writes it with a line end, as files have it.
    pub fn write(mut self, secret: &str) -> Result<(), Failure> {
        self.append(&format!("{secret}\n"))?;
        self.finish()
    }

    /// Writes a part.
    pub fn append(&mut self, text: &str) -> Result<(), Failure> {
        match self {
            Self::Stdout => print(text),
            Self::File { path, file, is_written } => {
                *is_written = true; // even a part may be all that there is
                file.write_all(text.as_bytes()).with_context(|| path.display().to_string())?;
                Ok(())
            }
        }
    }

    /// After the last part.
    pub fn finish(mut self) -> Result<(), Failure> {
        if let Self::File { path, file, is_written } = &mut self {
            *is_written = true;
            file.sync_all().with_context(|| path.display().to_string())?;
            eprintln!("Written to {}.", path.display());
        }
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Self::File { path, is_written: false, .. } = self {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_new_and_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let output = SecretOutput { output: Some(path.clone()) };
        drop(output.open().unwrap());
        assert!(!path.exists(), "nothing was made, nothing is left");
        output.open().unwrap().write("s").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "s\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(output.open().is_err(), "it is not overwritten");
        assert_eq!(fs::read_to_string(&path).unwrap(), "s\n");
    }
}
