//! A disk in trouble: what a service writes to its database passes through `disk.c`, which fails it, holds it up or
//! keeps a record of it, as the test says.
//!
//! Between the program and the kernel, because nothing inside the program could show what the program does when the
//! kernel refuses; SQLite, its files and its locks are the real ones.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::Service;

/// What a file system says: `EIO`, `ENOSPC`, `EROFS`, `EDQUOT`.
pub const IO_ERROR: u64 = 5;
pub const FULL: u64 = 28;
pub const READ_ONLY: u64 = 30;
pub const QUOTA: u64 = 122;

/// Calls that trouble can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    Write = 1,
    Sync = 2,
    /// These and truncations.
    All = 7,
}

/// What becomes of such a call.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// Nothing is done, and this error told.
    Fail(u64),
    /// It is done after so many milliseconds, or when the trouble ends.
    Hold(u64),
    /// Nothing is done, and success told.
    Lie,
    /// Of a write, the first half is done and told.
    CutShort,
}

/// The disk below one service's data directory, from its next launch on.
pub struct Disk {
    control: File,
    log: Option<PathBuf>,
}

impl Disk {
    /// A good one, until it is told otherwise.
    pub fn below(service: &mut Service) -> Self {
        Self::new(service, None)
    }

    /// One that keeps a record of all that was done, too.
    pub fn recorded_below(service: &mut Service) -> Self {
        let log = service.dir().join("disk.log");
        Self::new(service, Some(log))
    }

    fn new(service: &mut Service, log: Option<PathBuf>) -> Self {
        let page = service.dir().join("disk.control");
        let control = File::options().write(true).read(true).create(true).truncate(true).open(&page);
        let disk = Self { control: control.expect("a file"), log };
        disk.heal();
        let directory = fs::canonicalize(service.dir()).expect("a directory").join("data");
        service.set_environment("LD_PRELOAD", library());
        service.set_environment("DISK_DIRECTORY", &directory);
        service.set_environment("DISK_CONTROL", &page);
        if let Some(log) = &disk.log {
            service.set_environment("DISK_LOG", log);
        }
        disk
    }

    /// From now on, these calls.
    pub fn trouble(&self, calls: Calls, trouble: Trouble) {
        self.trouble_at(calls, trouble, 0, 0);
    }

    /// Of these calls the first `skipped` go well, the next `affected` do not (0: all), then they do again.
    pub fn trouble_at(&self, calls: Calls, trouble: Trouble, skipped: u64, affected: u64) {
        let (action, error, milliseconds) = match trouble {
            Trouble::Fail(error) => (1, error, 0),
            Trouble::Hold(milliseconds) => (2, 0, milliseconds),
            Trouble::Lie => (3, 0, 0),
            Trouble::CutShort => (4, 0, 0),
        };
        self.set([calls as u64, action, error, skipped, affected, milliseconds, 0, 0]);
    }

    pub fn heal(&self) {
        // What was dealt out stays to be asked for; without an action nothing is.
        let dealt = self.dealt();
        self.set([0, 0, 0, 0, 0, 0, 0, dealt]);
    }

    /// Calls that trouble came to since it was ordered.
    pub fn dealt(&self) -> u64 {
        let mut dealt = [0; 8];
        match self.control.read_exact_at(&mut dealt, 56) {
            Ok(()) => u64::from_ne_bytes(dealt),
            Err(_) => 0, // not written yet
        }
    }

    fn set(&self, control: [u64; 8]) {
        let bytes: Vec<u8> = control.into_iter().flat_map(u64::to_ne_bytes).collect();
        self.control.write_all_at(&bytes, 0).expect("a page of memory");
    }

    /// How much is recorded by now. What was synced before this was asked is before it.
    pub fn recorded(&self) -> u64 {
        fs::metadata(self.log_file()).map_or(0, |log| log.len())
    }

    pub fn history(&self) -> Vec<Event> {
        events(&fs::read(self.log_file()).expect("a record"))
    }

    fn log_file(&self) -> &Path {
        self.log.as_deref().expect("it was told to keep a record")
    }
}

/// One thing that was done to the files of the database.
#[derive(Clone, Debug)]
pub struct Event {
    pub file: String,
    pub done: Done,
    /// As [`Disk::recorded`] counts, right after it.
    pub recorded: u64,
}

#[derive(Clone, Debug)]
pub enum Done {
    /// The file was not there before.
    Created,
    Removed,
    /// Of the directory, whose name is empty: its files are there, or gone, for good.
    Synced,
    Truncated(u64),
    Written {
        offset: u64,
        data: Vec<u8>,
    },
}

fn events(log: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut at = 0;
    while at + 32 <= log.len() {
        let number = |place: usize| {
            let bytes = log[at + 8 * place..][..8].try_into().expect("eight bytes");
            u64::from_ne_bytes(bytes)
        };
        let (record, name_bytes, offset, bytes) = (number(0), number(1) as usize, number(2), number(3));
        let data_bytes = if record == 1 { bytes as usize } else { 0 };
        let name = at + 32;
        let data = name + name_bytes;
        if data + data_bytes > log.len() {
            break; // killed while it was told
        }
        let done = match record {
            1 => Done::Written { offset, data: log[data..data + data_bytes].to_vec() },
            2 => Done::Synced,
            3 => Done::Truncated(bytes),
            4 => Done::Created,
            5 => Done::Removed,
            other => panic!("record {other} at {at}"),
        };
        at = data + data_bytes;
        let file = String::from_utf8(log[name..data].to_vec()).expect("UTF-8");
        events.push(Event { file, done, recorded: at as u64 });
    }
    events
}

/// The files of a database, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Does to `files` what was done.
pub fn apply(files: &mut Files, event: &Event) {
    let Event { file, done, .. } = event;
    match done {
        Done::Created => _ = files.insert(file.clone(), Vec::new()),
        Done::Removed => _ = files.remove(file),
        Done::Synced => {}
        Done::Truncated(bytes) => {
            if let Some(content) = files.get_mut(file) {
                content.resize(*bytes as usize, 0);
            }
        }
        Done::Written { offset, data } => {
            // A file whose creation did not last has no place for what was written into it.
            if let Some(content) = files.get_mut(file) {
                let end = *offset as usize + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset as usize..end].copy_from_slice(data);
            }
        }
    }
}

/// `disk.c`, compiled once for all tests of this run.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/disk.c");
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let library = directory.path().join("disk.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library).args([source, "-ldl"]);
        let output = compiler.output().expect("cc runs; tests/run installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // In one place whoever compiles it: a process that has it open keeps what it has.
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disk.so");
        fs::rename(&library, &place).expect("a library");
        place
    })
}
