//! Where commands take a provisioning key's string from.
//!
//! For `muster enroll` the first of these that is there: `--key-file F` (`-` = stdin), `/etc/muster/provision_key`,
//! `MUSTER_PROVISIONING_KEY`, the systemd credential `muster-provisioning-key`, and on a terminal a
//! prompt that shows nothing.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use crate::domain::KeySecret;
use crate::domain::key_string::{KEY_STRING_BYTES_MAX, KeyString};

pub const KEY_FILE_DEFAULT: &str = "/etc/muster/provision_key";
const VARIABLE: &str = "MUSTER_PROVISIONING_KEY";
const CREDENTIAL: &str = "muster-provisioning-key";
const KEY_BYTES_READ: u64 = KEY_STRING_BYTES_MAX as u64;
/// Of a file with many key strings: some 500,000 of ours.
const LIST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A key string and the file it stood in, if it was a file of its own.
pub struct FoundKey {
    pub key: KeySecret,
    pub file: Option<PathBuf>,
}

/// Looks in the order above. Warns on stderr when others can read the file.
pub fn find(key_file: Option<&Path>) -> anyhow::Result<FoundKey> {
    match look(key_file)? {
        Some(found) => Ok(found),
        None if io::stdin().is_terminal() => prompt(),
        None => {
            bail!("no provisioning key: give --key-file F (- = stdin), {VARIABLE}, or put it into {KEY_FILE_DEFAULT}")
        }
    }
}

/// The same where nobody can be asked. An empty file or credential is none: a unit file names it before it is there.
pub fn find_unattended(key_file: Option<&Path>) -> anyhow::Result<FoundKey> {
    match look(key_file)?.filter(|found| !found.key.expose().trim().is_empty()) {
        Some(found) => Ok(found),
        None => bail!("no provisioning key: give --key-file F, {VARIABLE}, or put it into {KEY_FILE_DEFAULT}"),
    }
}

fn look(key_file: Option<&Path>) -> anyhow::Result<Option<FoundKey>> {
    match key_file {
        Some(path) => return named(path).map(Some),
        None if Path::new(KEY_FILE_DEFAULT).exists() => return from_file(Path::new(KEY_FILE_DEFAULT)).map(Some),
        None => {}
    }
    if let Ok(text) = std::env::var(VARIABLE) {
        return Ok(Some(loose(Zeroizing::new(text))));
    }
    let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(None) };
    let path = Path::new(&directory).join(CREDENTIAL);
    if path.exists() { read_file(&path, KEY_BYTES_READ).map(|text| Some(loose(text))) } else { Ok(None) }
}

/// A key string that is handed to the service: `--key-file F` (`-` = stdin), `MUSTER_PROVISIONING_KEY`, a
/// prompt on a terminal, else stdin. What lies on this machine for `muster enroll` is left alone.
pub fn hand_over(key_file: Option<&Path>) -> anyhow::Result<KeySecret> {
    let found = match (key_file, std::env::var(VARIABLE)) {
        (Some(path), _) => named(path)?,
        (None, Ok(text)) => loose(Zeroizing::new(text)),
        (None, Err(_)) if io::stdin().is_terminal() => prompt()?,
        (None, Err(_)) => named(Path::new("-"))?,
    };
    Ok(found.key)
}

/// Key strings of several devices' sites: of files with one per line (`-` = stdin), else the one that
/// [`find`] finds.
pub fn find_all(key_files: &[PathBuf]) -> anyhow::Result<Vec<KeySecret>> {
    if key_files.is_empty() {
        return Ok(vec![find(None)?.key]);
    }
    let mut keys = Vec::new();
    for path in key_files {
        let text = if path == Path::new("-") {
            read_bounded(io::stdin().lock(), LIST_BYTES_MAX).context("stdin")?
        } else {
            refuse_key_as_name(path)?;
            let text = read_file(path, LIST_BYTES_MAX)?;
            warn_if_exposed(path);
            text
        };
        if text.len() as u64 > LIST_BYTES_MAX {
            bail!("{} is longer than {LIST_BYTES_MAX} bytes", path.display());
        }
        let before = keys.len();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        keys.extend(lines.map(|line| KeySecret::from_text(Zeroizing::new(line.to_owned()))));
        if keys.len() == before {
            bail!("{} holds no provisioning key", path.display());
        }
    }
    Ok(keys)
}

fn named(path: &Path) -> anyhow::Result<FoundKey> {
    if path == Path::new("-") {
        return Ok(loose(read_bounded(io::stdin().lock(), KEY_BYTES_READ).context("stdin")?));
    }
    refuse_key_as_name(path)?;
    from_file(path)
}

fn refuse_key_as_name(path: &Path) -> anyhow::Result<()> {
    if path.to_str().is_some_and(|text| KeyString::parse(text).is_some()) {
        bail!("--key-file takes the name of a file, or - for stdin; arguments are seen by every user of this machine");
    }
    Ok(())
}

fn prompt() -> anyhow::Result<FoundKey> {
    let text = rpassword::prompt_password("Provisioning key (not shown): ").context("the prompt")?;
    Ok(loose(Zeroizing::new(text)))
}

fn loose(text: Zeroizing<String>) -> FoundKey {
    FoundKey { key: KeySecret::from_text(text), file: None }
}

fn from_file(path: &Path) -> anyhow::Result<FoundKey> {
    let text = read_file(path, KEY_BYTES_READ)?;
    warn_if_exposed(path);
    Ok(FoundKey { key: KeySecret::from_text(text), file: Some(path.to_owned()) })
}

fn warn_if_exposed(path: &Path) {
    if let Ok(metadata) = path.metadata()
        && metadata.permissions().mode() & 0o044 != 0
    {
        eprintln!("warning: {} can be read by others; chmod 600 it", path.display());
    }
}

fn read_file(path: &Path, bytes_max: u64) -> anyhow::Result<Zeroizing<String>> {
    File::open(path).and_then(|file| read_bounded(file, bytes_max)).with_context(|| path.display().to_string())
}

/// Reads no more than one byte above the bound: a key string of that length is refused as damaged. What
/// is no UTF-8 reads as an empty text, which is damaged too.
fn read_bounded(source: impl Read, bytes_max: u64) -> io::Result<Zeroizing<String>> {
    let mut bytes = Vec::with_capacity(KEY_STRING_BYTES_MAX + 1);
    source.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(Zeroizing::new(String::from_utf8(bytes).unwrap_or_default()))
}
