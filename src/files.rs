//! Directories and files that survive a power cut: what is written is synced, and so is the directory
//! that holds the new name.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

/// Makes the directory (mode 0700), and those above it, if they are not there; each new name is durable
/// in the directory that holds it, or what is answered for could be gone with its directory.
///
/// # Errors
/// The file system's.
pub fn make_directory(path: &Path) -> io::Result<()> {
    let new = new_directories(path);
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    new.into_iter().try_for_each(sync_directory_of)
}

/// What is not there of a path, the innermost first; empty if it is there.
fn new_directories(path: &Path) -> Vec<&Path> {
    path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect()
}

/// Replaces a file so that after a crash there is the old content or the new: temporary file beside
/// it with the mode given, sync, rename, sync of the directory. Of several at the same time each writes its own, one after
/// the other. Blocks.
///
/// # Errors
/// When any of that fails; the old content then stands.
pub fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_beside(path, bytes, |file| file.set_permissions(Permissions::from_mode(mode)))
}

/// [`write_durably`] in the place of a file, whose owner, group and mode stay: the new one has them before its first byte.
///
/// # Errors
/// As above; also when it may not be given to that owner.
pub fn replace_durably(path: &Path, bytes: &[u8], replaced: &Metadata) -> io::Result<()> {
    write_beside(path, bytes, |file| {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (replaced.uid(), replaced.gid()) {
            fchown(file, Some(replaced.uid()), Some(replaced.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(replaced.mode() & 0o7777))
    })
}

fn write_beside(path: &Path, bytes: &[u8], prepare: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = directory_of(path).join(format!(".{}.new", name.to_string_lossy()));
    let mut file = open_alone(&temporary)?;
    let written = prepare(&file).and_then(|()| file.write_all(bytes)).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // On a full disk half a file would keep others from their place.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    rename_durably(&temporary, path)
}

/// An empty file that nobody else writes to before it is renamed, removed or dropped. One that was left is taken over.
fn open_alone(path: &Path) -> io::Result<File> {
    loop {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match open_left(path)? {
                Some(file) => file,
                None => continue,
            },
            made => made?,
        };
        match file.lock() {
            // Without locks there is one process at a time only where others see to it.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
            _ => {}
        }
        // Whoever had it before may have renamed it meanwhile.
        if is_at(&file, path)? {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

/// What stands at `path`. `None`: nothing any more; what cannot be written to was removed.
fn open_left(path: &Path) -> io::Result<Option<File>> {
    let is_file = fs::symlink_metadata(path).map(|metadata| metadata.is_file());
    let opened = is_file.and_then(|is_file| match is_file {
        true => OpenOptions::new().write(true).open(path),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    });
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(None),
        },
        opened => opened.map(Some),
    }
}

/// Whether `path` leads to this very file, and by no symbolic link at its end.
///
/// # Errors
/// The file system's; a name that is gone is `false`.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    let open = file.metadata()?;
    Ok((there.dev(), there.ino()) == (open.dev(), open.ino()))
}

/// Gives a file the name of another in the same directory, which it replaces.
///
/// # Errors
/// The file system's; either name is then what it was or what it was to be.
pub fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_directory_of(to)
}

/// Makes durable which names there are beside `path`, and its own.
///
/// # Errors
/// The file system's, unless it is one that cannot do this for directories.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    match File::open(directory_of(path))?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

fn directory_of(path: &Path) -> &Path {
    // A relative path's first name stands in the working directory.
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_that_gets_a_new_name_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        let (above, data_dir) = (dir.path().join("above"), dir.path().join("above/data"));
        let holders =
            |path: &Path| new_directories(path).into_iter().map(directory_of).map(Path::to_owned).collect::<Vec<_>>();
        assert_eq!(holders(&data_dir), [above.clone(), dir.path().to_owned()]);
        make_directory(&data_dir).unwrap();
        assert!(data_dir.is_dir());
        assert!(new_directories(&data_dir).is_empty(), "nothing is new the second time");
        make_directory(&data_dir).unwrap();
        assert_eq!(holders(&above.join("other")), [above]);
        assert_eq!(holders(Path::new("not-there/data")), [Path::new("not-there"), Path::new(".")]);
    }

    #[test]
    fn writers_at_the_same_time_each_write_all_of_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let (all_done, texts) = (std::sync::atomic::AtomicBool::new(false), ["a".repeat(50_000), "b".repeat(100_000)]);
        write_durably(&path, texts[0].as_bytes(), 0o600).unwrap();
        std::thread::scope(|scope| {
            let writers = texts.each_ref().map(|text| {
                let path = &path;
                scope.spawn(move || (0..50).try_for_each(|_| write_durably(path, text.as_bytes(), 0o600)))
            });
            let reader = scope.spawn(|| {
                while !all_done.load(std::sync::atomic::Ordering::SeqCst) {
                    let found = fs::read_to_string(&path).unwrap();
                    assert!(texts.contains(&found), "{} bytes", found.len());
                }
            });
            let written = writers.map(|writer| writer.join().unwrap());
            all_done.store(true, std::sync::atomic::Ordering::SeqCst);
            reader.join().unwrap();
            written.into_iter().for_each(Result::unwrap);
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_replaces_a_file_has_its_mode_and_what_was_left_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_durably(&path, b"old", 0o640).unwrap();
        let (left, elsewhere) = (dir.path().join(".file.new"), dir.path().join("elsewhere"));
        fs::write(&left, "left by one that was killed").unwrap();
        replace_durably(&path, b"new", &fs::metadata(&path).unwrap()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        fs::write(&elsewhere, "another's").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &left).unwrap();
        write_durably(&path, b"newer", 0o600).unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), fs::read(&elsewhere).unwrap()),
            (b"newer".to_vec(), b"another's".to_vec())
        );
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    }
}
