//! One PostgreSQL server: its directory, its port, its process.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

use super::guard::Guard;
use super::processes::{Process, processes, signal};
use super::programs;
use crate::support::eventually;

/// The superuser, whom a server admits at its socket only.
const SUPERUSER: &str = "postgres";

/// What survives what, once it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// As in service: a commit has reached the disk.
    Disk,
    /// A commit outlives the server's processes, not the machine. Several times as fast.
    Memory,
}

/// A server on a loopback port of its own. It ends when this is dropped or this process ends, and its files go
/// with it.
pub struct Server {
    /// Ends before the folder does.
    guard: Mutex<Guard>,
    dir: tempfile::TempDir,
    port: u16,
}

impl Server {
    /// A folder and a port; [`Self::initialize`] makes a server of them.
    pub fn prepare() -> Self {
        let dir = tempfile::Builder::new().prefix("muster-postgres-").tempdir().expect("a temporary directory");
        programs::hand_over(dir.path());
        let guard = Mutex::new(Guard::spawn(dir.path()));
        Self { guard, dir, port: free_port() }
    }

    /// Makes an empty cluster. Its own collation is not that of bytes: a query that relies on the order of text
    /// must say so.
    pub fn initialize(&self, durability: Durability) {
        let data = self.data();
        programs::run(
            self.command("initdb")
                .args(["--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en", "--auth=trust"])
                .args(["--no-sync", "--no-instructions", "--username", SUPERUSER, "--pgdata"])
                .arg(&data),
        );
        self.configure(
            "listen_addresses = '127.0.0.1'\n\
             max_connections = 300\n\
             shared_buffers = '32MB'\n\
             max_wal_size = '256MB'\n\
             dynamic_shared_memory_type = mmap\n",
        );
        self.configure(&self.place());
        if durability == Durability::Memory {
            self.configure("fsync = off\nfull_page_writes = off\n");
        }
    }

    /// Makes this what another server is now, listening at its own place.
    pub fn copy(&self, other: &Self) {
        let data = self.data();
        programs::run(other.client("pg_basebackup").args(["--checkpoint=fast", "--no-sync", "--pgdata"]).arg(&data));
        self.configure(&self.place());
    }

    /// Adds lines to `postgresql.conf`; of a setting that is there twice the last counts.
    pub fn configure(&self, lines: &str) {
        let file = OpenOptions::new().append(true).open(self.data().join("postgresql.conf"));
        file.expect("initdb wrote it").write_all(lines.as_bytes()).expect("a configuration file");
    }

    /// Replaces `pg_hba.conf`: beside whom `lines` admit, the superuser is admitted at the socket.
    pub fn admit(&self, lines: &str) {
        let text = format!("local all {SUPERUSER} trust\nlocal replication {SUPERUSER} trust\n{lines}");
        fs::write(self.data().join("pg_hba.conf"), text).expect("initdb wrote it");
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    ///
    /// With the server's log when it doesn't start.
    pub fn launch(&self) {
        let answer = self.guard.lock().expect("nobody panics with it").launch();
        assert_eq!(answer, "ready", "PostgreSQL in {} does not start:\n{}", self.folder().display(), self.log());
    }

    /// `SIGKILL` to the server and all its processes at once: nothing is flushed, nothing said.
    pub fn kill(&self) {
        let file = self.data().join("postmaster.pid");
        let text = fs::read_to_string(&file).expect("it runs");
        let mut lines = text.lines();
        let server: u32 = lines.next().and_then(|pid| pid.parse().ok()).expect("its first line is a process id");
        // Stopped, it starts no more processes while the list of them is made.
        signal("STOP", &[server]);
        let listed = eventually("the server to be stopped", || {
            let listed = processes();
            listed.iter().any(|process| process.id == server && process.state == 'T').then_some(listed)
        });
        let of_server = |process: &Process| process.id == server || process.parent == server;
        let killed: Vec<u32> = listed.into_iter().filter(of_server).map(|process| process.id).collect();
        signal("KILL", &killed);
        eventually("the end of the server", || {
            let is_left = |process: &Process| killed.contains(&process.id) && process.state != 'Z';
            (!processes().iter().any(is_left)).then_some(())
        });
        // What the server itself would have put away: a few bytes of shared memory, and the files that hold its
        // places as long as anything is left of its process.
        if let Some((_, segment)) = lines.nth(5).and_then(|line| line.trim().rsplit_once(' ')) {
            programs::run(programs::command("ipcrm".as_ref(), self.folder()).args(["-m", segment]));
        }
        for file in [file, self.folder().join(format!(".s.PGSQL.{}.lock", self.port))] {
            fs::remove_file(file).expect("the server left it");
        }
    }

    /// Runs SQL as the superuser: a row per line, columns separated by `|`. Several statements are one
    /// transaction.
    ///
    /// # Panics
    ///
    /// With what the server says if it refuses.
    pub fn query(&self, database: &str, sql: &str) -> String {
        self.try_query(database, sql).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, or why not.
    pub fn try_query(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.client("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        programs::try_run(psql.args(["--dbname", database, "--command", sql]))
    }

    /// Where others connect.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// Where everything of it is.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The server's own files.
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// The lines of the configuration that are of this server alone.
    fn place(&self) -> String {
        format!("port = {}\nunix_socket_directories = '{}'\n", self.port, self.folder().display())
    }

    fn command(&self, program: &str) -> Command {
        programs::command(&programs::path(program), self.folder())
    }

    /// A program that connects to this server as the superuser.
    fn client(&self, program: &str) -> Command {
        let mut command = self.command(program);
        command.arg("--host").arg(self.folder());
        command.args(["--port", &self.port.to_string(), "--username", SUPERUSER, "--no-password"]);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of PostgreSQL on port {}\n{}", self.port, self.log());
        }
    }
}

/// A port that nobody listens on. None that outgoing connections are given, so that it is still there for a
/// server that comes back, and in this process never the same twice.
fn free_port() -> u16 {
    const PORTS: std::ops::Range<u16> = 20_000..32_000;
    static TRIED: AtomicU16 = AtomicU16::new(0);
    // Processes that run at the same time begin at different places.
    let first = process::id().wrapping_mul(31);
    let of_this_process = || {
        let next = first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed).into()) % PORTS.len() as u32;
        PORTS.start + next as u16
    };
    let free = std::iter::repeat_with(of_this_process)
        .take(PORTS.len())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.unwrap_or_else(|| panic!("no port of {PORTS:?} is free"))
}
