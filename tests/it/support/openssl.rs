//! The openssl command: what operators make their certificates with, and the strictest verifier that they
//! have at hand.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder of this test alone, and openssl run in it.
pub struct Openssl {
    folder: tempfile::TempDir,
}

impl Openssl {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// `words`: the arguments, split at spaces; `@name` is a file of the folder.
    pub fn output(&self, words: &str) -> Output {
        let argument = |word: &str| match word.strip_prefix('@') {
            Some(name) => self.path(name).into_os_string(),
            None => word.into(),
        };
        Command::new("openssl").args(words.split(' ').map(argument)).output().unwrap_or_else(|error| {
            panic!("these tests need the `openssl` command (version 3) in PATH, e.g. `apt install openssl`: {error}")
        })
    }

    /// What it says on stdout.
    pub fn run(&self, words: &str) -> String {
        let output = self.output(words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {words}: {stderr}{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Verifies `leaf.pem` by `root.pem` alone, over `chain.pem` if it is not empty.
    pub fn verify_strictly(&self, options: &str) {
        let chain = if self.read("chain.pem").is_empty() { "" } else { " -untrusted @chain.pem" };
        let options = if options.is_empty() { String::new() } else { format!(" {options}") };
        self.run(&format!("verify -x509_strict -check_ss_sig -CAfile @root.pem{chain}{options} @leaf.pem"));
    }
}
