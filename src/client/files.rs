//! Directories and files that survive a power cut: what is written is synced, and so is the directory
//! that holds the new name.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Makes the directory (mode 0700), and those above it, if they are not there; each new name is durable
/// in the directory that holds it, or what is answered for could be gone with its directory.
///
/// # Errors
/// The file system's.
pub fn make_directory(path: &Path) -> io::Result<()> {
    let holders = holders_of_new(path);
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    holders.iter().try_for_each(|holder| File::open(holder)?.sync_all())
}

/// The directories that get a new entry when `path` is made, the innermost first; empty if it is there.
fn holders_of_new(path: &Path) -> Vec<PathBuf> {
    let is_new = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let holder_of = |path: &Path| match path.parent() {
        // A relative path's first name stands in the working directory.
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.to_owned(),
    };
    path.ancestors().take_while(is_new).map(holder_of).collect()
}

/// Replaces a file so that after a crash there is the old content or the new: temporary file beside
/// it with the mode given, sync, rename, sync of the directory.
///
/// # Errors
/// When any of that fails; the old content then stands.
pub fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = directory.join(format!(".{}.new", name.to_string_lossy()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_that_gets_a_new_name_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        let (above, data_dir) = (dir.path().join("above"), dir.path().join("above/data"));
        assert_eq!(holders_of_new(&data_dir), [above.clone(), dir.path().to_owned()]);
        make_directory(&data_dir).unwrap();
        assert!(data_dir.is_dir());
        assert!(holders_of_new(&data_dir).is_empty(), "nothing is new the second time");
        make_directory(&data_dir).unwrap();
        assert_eq!(holders_of_new(&above.join("other")), [above]);
        assert_eq!(holders_of_new(Path::new("not-there/data")), [Path::new("not-there"), Path::new(".")]);
    }
}
