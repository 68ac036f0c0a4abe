//! Where the master key is: three places, looked at in this order.
//!
//! 1. the file that `MUSTER_MASTER_KEY_FILE` names,
//! 2. the systemd credential `muster-master-key`, unless it is empty,
//! 3. `master.key` in the data directory, which is made when the store is empty.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::{MasterKeyPlaces, Settings};
use crate::files::{is_at, replace_durably, write_durably};
use crate::secret::master::{MasterKeyError, MasterKeys};

const VARIABLE: &str = MasterKeyPlaces::VARIABLE;
const CREDENTIAL: &str = MasterKeyPlaces::CREDENTIAL;
const FILE: &str = "master.key";

/// Stands above a key that is to seal once all nodes have it.
const PREPARED: &str = "# prepared: to be copied to all nodes, then muster secrets rotate";

/// The id of a master key made here.
const FIRST_ID: &str = "1";

/// No master key, or one that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyFileError {
    #[error(
        "the store is sealed and its master key is not here: set {VARIABLE}, give the systemd credential \
         {CREDENTIAL}, or put {FILE} into {data_dir}, back where it was or copied from another node of the service",
        data_dir = .data_dir.display()
    )]
    Missing { data_dir: PathBuf },
    #[error("cannot read the master key {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Malformed { path: PathBuf, source: MasterKeyError },
    #[error(
        "the master key {path} comes from elsewhere: put a new first line `<id> <64 hex digits>` into its source (openssl rand \
         -hex 32 makes the digits), keep the other lines, and restart; what they sealed is sealed anew by itself"
    )]
    Foreign { path: PathBuf },
    #[error("cannot write the master key {path}: {source}")]
    Unwritable { path: PathBuf, source: io::Error },
}

/// Reads the master keys of a store that exists.
///
/// # Errors
/// [`MasterKeyFileError`]; the file's content shows in none of them.
pub fn load(settings: &Settings) -> Result<MasterKeys, MasterKeyFileError> {
    match locate(settings) {
        Some(path) => read(&path),
        None => Err(MasterKeyFileError::Missing { data_dir: settings.data_dir.clone() }),
    }
}

/// Reads the master keys for an empty store, making `master.key` when there is none anywhere: its path is given,
/// too. The file and its directory are synced before this returns.
///
/// # Errors
/// [`MasterKeyFileError`].
pub fn load_or_make(settings: &Settings) -> Result<(MasterKeys, Option<PathBuf>), MasterKeyFileError> {
    if let Some(path) = locate(settings) {
        return Ok((read(&path)?, None));
    }
    let path = settings.data_dir.join(FILE);
    let text = MasterKeys::generate_text(FIRST_ID);
    // Renamed into place: a crash leaves no half of a key, which the next start could not read.
    write_durably(&path, text.as_bytes(), 0o600)
        .map_err(|source| MasterKeyFileError::Unwritable { path: path.clone(), source })?;
    Ok((read(&path)?, Some(path)))
}

/// Puts a new key before all others, if the first one is `expected`: it is to seal. `false`: another has been put there.
/// `used`: ids of keys that have sealed, of which the new one gets none.
///
/// # Errors
/// [`MasterKeyFileError`]; the file is as it was.
pub fn put_new_first(settings: &Settings, expected: &str, used: &[String]) -> Result<bool, MasterKeyFileError> {
    rewrite(settings, |text| {
        if text.lines().find_map(id_of) != Some(expected) {
            return (None, false);
        }
        let line = MasterKeys::generate_text(&next_id(text, used));
        (Some(Zeroizing::new(format!("{}{}", *line, text))), true)
    })
}

/// Puts a new key behind all others: it opens, and seals once it was [promoted](promote). If there is such a key, that is it.
/// Answers its id. `used` as above; a mark that still stands above one of them is an older file's.
///
/// # Errors
/// As above.
pub fn append_new(settings: &Settings, used: &[String]) -> Result<String, MasterKeyFileError> {
    rewrite(settings, |text| {
        if let Some(id) = prepared(text, used) {
            return (None, id.to_owned());
        }
        let marks_off = |line: &&str| line.trim() != PREPARED;
        let text = Zeroizing::new(text.lines().filter(marks_off).flat_map(|line| [line, "\n"]).collect::<String>());
        let id = next_id(&text, used);
        let line = MasterKeys::generate_text(&id);
        (Some(Zeroizing::new(format!("{}{PREPARED}\n{}", *text, *line))), id)
    })
}

/// Puts the key first that was appended. `false`: there is none. `used` as above.
///
/// # Errors
/// As above.
pub fn promote(settings: &Settings, used: &[String]) -> Result<bool, MasterKeyFileError> {
    rewrite(settings, |text| {
        let Some(id) = prepared(text, used) else { return (None, false) };
        let lines = text.lines().filter(|line| line.trim() != PREPARED);
        let (is_it, others): (Vec<_>, Vec<_>) = lines.partition(|line| id_of(line) == Some(id));
        let lines = is_it.into_iter().chain(others).flat_map(|line| [line, "\n"]);
        (Some(Zeroizing::new(lines.collect())), true)
    })
}

/// Replaces the file's text, if `edit` has another; what it answers besides is answered. From the reading on nobody else
/// can do so: a line that another adds meanwhile would be lost, and two keys could get one id. Mode and owner stay.
fn rewrite<T>(
    settings: &Settings,
    edit: impl FnOnce(&str) -> (Option<Zeroizing<String>>, T),
) -> Result<T, MasterKeyFileError> {
    let located = located(settings)?;
    if settings.master_key.file.is_none() && settings.master_key.credential.as_ref() == Some(&located) {
        return Err(MasterKeyFileError::Foreign { path: located });
    }
    let unreadable = |source| MasterKeyFileError::Unreadable { path: located.clone(), source };
    // A link stays one.
    let path = fs::canonicalize(&located).map_err(unreadable)?;
    let unwritable = |source| MasterKeyFileError::Unwritable { path: path.clone(), source };
    let mut file = open_locked(&path).map_err(unwritable)?;
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(unreadable)?;
    let (edited, answer) = edit(&text);
    let Some(text) = edited else { return Ok(answer) };
    MasterKeys::parse(&text).map_err(|source| MasterKeyFileError::Malformed { path: path.clone(), source })?;
    let replaced = file.metadata().map_err(unwritable)?;
    replace_durably(&path, text.as_bytes(), &replaced).map_err(unwritable)?;
    Ok(answer)
}

/// The file at `path`, which nobody else has this way before it is dropped. Waits for its turn.
fn open_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = File::open(path)?;
        file.lock()?;
        // Whoever had it before may have put another in its place.
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
}

/// The id behind the mark. An old key that is kept below the first has none, so that it never seals again.
fn prepared<'a>(text: &'a str, used: &[String]) -> Option<&'a str> {
    let marked = text.lines().skip_while(|line| line.trim() != PREPARED).find_map(id_of);
    marked.filter(|id| !used.iter().any(|used| used == id))
}

/// One more than the highest that is a number; whoever writes the file may have words.
fn next_id(text: &str, used: &[String]) -> String {
    let ids = text.lines().filter_map(id_of).chain(used.iter().map(String::as_str));
    let numbers = ids.filter_map(|id| id.parse::<u64>().ok());
    numbers.max().unwrap_or(0).saturating_add(1).to_string()
}

fn id_of(line: &str) -> Option<&str> {
    let line = line.trim();
    line.split_whitespace().next().filter(|_| !line.starts_with('#'))
}

fn located(settings: &Settings) -> Result<PathBuf, MasterKeyFileError> {
    locate(settings).ok_or_else(|| MasterKeyFileError::Missing { data_dir: settings.data_dir.clone() })
}

fn text_of(path: &Path) -> Result<Zeroizing<String>, MasterKeyFileError> {
    let text = fs::read_to_string(path).map(Zeroizing::new);
    text.map_err(|source| MasterKeyFileError::Unreadable { path: path.to_owned(), source })
}

/// Where the master key is, or is to be; `None`: nowhere.
pub(super) fn locate(settings: &Settings) -> Option<PathBuf> {
    let MasterKeyPlaces { file, credential } = &settings.master_key;
    if file.is_some() {
        return file.clone(); // whether it is there or not
    }
    let credential = credential.clone().filter(|path| !is_empty(path));
    [credential, Some(settings.data_dir.join(FILE))].into_iter().flatten().find(|path| path.exists())
}

/// A unit hands over a line break where the file of the credential is missing (`SetCredential=`).
fn is_empty(credential: &Path) -> bool {
    fs::metadata(credential).is_ok_and(|metadata| metadata.len() <= 1)
}

fn read(path: &Path) -> Result<MasterKeys, MasterKeyFileError> {
    let unreadable = |source| MasterKeyFileError::Unreadable { path: path.to_owned(), source };
    let text = text_of(path)?;
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & 0o007 != 0 {
        tracing::warn!(path = %path.display(), "the master key can be read by everyone on this machine: chmod 600");
    }
    MasterKeys::parse(&text).map_err(|source| MasterKeyFileError::Malformed { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    fn line(id: &str) -> String {
        MasterKeys::generate_text(id).to_string()
    }

    #[test]
    fn only_a_marked_key_is_prepared() {
        let text = format!("# of our vault\n{}{}", line("2"), line("1"));
        assert_eq!(prepared(&text, &[]), None, "an old one never seals again");
        let marked = format!("{text}{PREPARED}\n\n{}", line("3"));
        assert_eq!(prepared(&marked, &[]), Some("3"));
        assert_eq!(prepared(&marked, &["3".to_owned()]), None, "it seals already: the file is an older one");
        assert_eq!(MasterKeys::parse(&marked).unwrap().ids(), ["2", "1", "3"]);
    }

    #[test]
    fn a_new_id_is_above_all_that_are_numbers() {
        assert_eq!(next_id(&(line("7") + "# 12 \n" + &line("blue")), &[]), "8");
        assert_eq!(next_id(&line("blue"), &["blue".to_owned(), "4".to_owned()]), "5", "one that is gone from the file");
        assert_eq!(next_id(&line("blue"), &[]), "1");
    }

    /// Settings whose master key is a file of its own with this text.
    fn with_file(text: &str) -> (tempfile::TempDir, Settings, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        fs::write(&path, text).unwrap();
        let mut settings = Inputs::default().load().unwrap().settings;
        settings.master_key.file = Some(path.clone());
        (dir, settings, path)
    }

    #[test]
    fn of_many_that_prepare_and_promote_at_once_no_line_is_lost_and_no_id_is_there_twice() {
        let first = line("1");
        let (dir, settings, path) = with_file(&first);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let prepared: u64 = append_new(&settings, &[]).unwrap().parse().unwrap();
                        let found = read(&path).unwrap().ids();
                        assert!(found.contains(&prepared.to_string()), "{prepared} is missing in {found:?}");
                        promote(&settings, &[]).unwrap();
                    }
                });
            }
        });
        let ids = read(&path).unwrap().ids();
        let numbers: Vec<u64> = ids.iter().rev().map(|id| id.parse().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "each made one above all others");
        assert!(numbers.len() > 10 && fs::read_to_string(&path).unwrap().ends_with(&first));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn of_two_that_rotate_at_once_one_makes_a_key() {
        let (_dir, settings, path) = with_file(&line("1"));
        let made: Vec<_> = std::thread::scope(|scope| {
            let rotating = [(); 4].map(|()| scope.spawn(|| put_new_first(&settings, "1", &[]).unwrap()));
            rotating.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|made| **made).count(), 1);
        assert_eq!(read(&path).unwrap().ids(), ["2", "1"]);
    }

    #[test]
    fn a_link_and_the_mode_of_the_file_stay() {
        let (dir, mut settings, path) = with_file(&line("1"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("keys", &link).unwrap();
        settings.master_key.file = Some(link.clone());
        assert!(put_new_first(&settings, "1", &[]).unwrap());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(read(&path).unwrap().ids(), ["2", "1"]);
    }
}
