//! Secrets that people and programs hand in: never as arguments, which every user of a machine sees.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use zeroize::Zeroizing;

/// Larger files hold something else.
const BYTES_MAX: u64 = 1024 * 1024;

/// Where a new password is taken from.
#[derive(Args)]
pub struct NewPassword {
    /// File that holds the new password, - for stdin [default: a prompt on a terminal]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl NewPassword {
    /// `None`: nobody said one, the service is to make it.
    pub fn read(&self) -> anyhow::Result<Option<Zeroizing<String>>> {
        match &self.password_file {
            Some(path) => read_secret_file(path).map(Some),
            None if io::stdin().is_terminal() => prompt(),
            None => Ok(None),
        }
    }
}

fn prompt() -> anyhow::Result<Option<Zeroizing<String>>> {
    let ask = |text: &str| rpassword::prompt_password(text).map(Zeroizing::new).context("the prompt");
    let first = ask("New password (not shown; empty: one is made): ")?;
    if first.is_empty() {
        return Ok(None);
    }
    if ask("The same again: ")? != first {
        bail!("the two passwords are not the same");
    }
    Ok(Some(first))
}

/// A file's text without the line end that editors put behind it; `-` is stdin.
pub fn read_secret_file(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        io::stdin().lock().take(BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
    };
    read.with_context(|| path.display().to_string())?;
    let whole = text.strip_suffix('\n').map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
    text.truncate(whole);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_no_part_of_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        for (text, secret) in [("a b ", "a b "), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", ""), ("\n", "")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_secret_file(&path).unwrap().as_str(), secret, "{text:?}");
        }
        let error = read_secret_file(&directory.path().join("none")).unwrap_err();
        assert!(error.to_string().ends_with("none"), "{error}");
    }
}
