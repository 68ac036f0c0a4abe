//! PostgreSQL's own programs, and as whom they run.

use std::env;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Where Debian and Ubuntu put them, a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The first with ICU as the locale of a whole cluster.
const VERSION_MIN: u32 = 15;

/// The path of `program` of the newest version.
pub fn path(program: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        newest(Path::new(VERSIONS)).or_else(on_the_path).unwrap_or_else(|| {
            panic!(
                "these tests need a PostgreSQL server (version {VERSION_MIN} or newer) in {VERSIONS} or in PATH, \
                 e.g. `apt install postgresql`; tests/run installs it"
            )
        })
    });
    folder.join(program)
}

/// A command that runs as [`account`] says, in `folder`, without what the environment might say.
pub fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if let Some((user, group)) = account() {
        command.uid(user).gid(group);
    }
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command, which must succeed, and answers what it printed, without the last line's end.
pub fn run(command: &mut Command) -> String {
    try_run(command).unwrap_or_else(|error| panic!("{error}"))
}

/// The same, or why not.
pub fn try_run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?} does not start: {error}"))?;
    let Output { status, stdout, stderr } = output;
    if !status.success() {
        return Err(format!("{command:?}: {status}\n{}", String::from_utf8_lossy(&stderr)));
    }
    Ok(String::from_utf8(stdout).expect("UTF-8").trim_end().to_owned())
}

/// Gives a file or folder to the account that servers run as.
pub fn hand_over(path: &Path) {
    if let Some((user, group)) = account() {
        chown(path, Some(user), Some(group)).expect("root gives files away");
    }
}

/// User and group of a server. PostgreSQL refuses to run as root: then it is the user `postgres`, whom its
/// packages create; else `None`, whoever runs the tests.
fn account() -> Option<(u32, u32)> {
    static ACCOUNT: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    let id = |arguments: &[&str]| -> u32 { run(Command::new("id").args(arguments)).parse().expect("a number") };
    *ACCOUNT.get_or_init(|| (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"]))))
}

fn newest(versions: &Path) -> Option<PathBuf> {
    let found = fs::read_dir(versions).ok()?.filter_map(|entry| {
        let version: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let folder = versions.join(version.to_string()).join("bin");
        (version >= VERSION_MIN && folder.join("initdb").is_file()).then_some((version, folder))
    });
    found.max().map(|(_, folder)| folder)
}

fn on_the_path() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find(|folder| folder.join("initdb").is_file())
}
