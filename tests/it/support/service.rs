//! The binary, serving from a temporary data directory.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::device::Endpoint;

/// How long a start may take before the test fails; a start takes well under a second.
const START_MAX: Duration = Duration::from_secs(60);

/// `muster serve` on free ports. Killed when dropped.
pub struct Service {
    child: Option<Child>,
    dir: tempfile::TempDir,
    config: PathBuf,
    /// What a launch finds in its environment beside the test's own.
    environment: Vec<(&'static str, OsString)>,
    /// Where the next launch listens for devices.
    enroll_listen: SocketAddr,
    pub enroll: SocketAddr,
    pub admin: SocketAddr,
    pub metrics: SocketAddr,
}

impl Service {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// With these lines in its configuration file.
    pub fn start_with(config: &str) -> Self {
        let mut service = Self::prepare(config);
        service.launch();
        service
    }

    /// The directory with its configuration file; nothing runs before [`Self::launch`].
    pub fn prepare(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("config.toml");
        fs::write(&file, config).expect("a configuration file");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            child: None,
            dir,
            config: file,
            environment: Vec::new(),
            enroll_listen: nowhere,
            enroll: nowhere,
            admin: nowhere,
            metrics: nowhere,
        }
    }

    /// From now on every launch listens for devices where this one does.
    pub fn keep_enroll_address(&mut self) {
        self.enroll_listen = self.enroll;
    }

    /// From the next launch on.
    pub fn set_environment(&mut self, name: &'static str, value: &(impl AsRef<OsStr> + ?Sized)) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.as_ref().to_owned()));
    }

    /// Writes the configuration file anew. Read at the next launch, or on `SIGHUP`.
    pub fn configure(&self, config: &str) {
        fs::write(&self.config, config).expect("a configuration file");
    }

    /// Starts the process on the data directory as it is.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let ready = self.dir.path().join("ready.json");
        let _ = fs::remove_file(&ready);
        let spawn = || {
            let log = fs::OpenOptions::new().append(true).create(true).open(self.log_file()).expect("a log file");
            self.command().stdout(Stdio::null()).stderr(log).spawn().expect("the binary starts")
        };
        let mut child = spawn();
        let started = Instant::now();
        let addresses: Value = loop {
            if let Ok(text) = fs::read(&ready) {
                break serde_json::from_slice(&text).expect("the ready file is JSON");
            }
            if let Some(status) = child.try_wait().expect("the process can be asked") {
                let log = self.log();
                // A port that is kept may be some connection's for the moment.
                let is_taken =
                    log.trim_end().lines().next_back().is_some_and(|line| line.contains("Address already in use"));
                let is_kept = self.enroll_listen.port() != 0;
                assert!(
                    is_kept && is_taken && started.elapsed() < START_MAX,
                    "the service ended at its start with {status}:\n{log}"
                );
                std::thread::sleep(Duration::from_millis(200));
                child = spawn();
            }
            assert!(started.elapsed() < START_MAX, "the service did not become ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(addresses["pid"].as_u64(), Some(u64::from(child.id())));
        let address = |name: &str| addresses[name].as_str().expect("an address").parse().expect("an address");
        (self.enroll, self.admin, self.metrics) = (address("enroll"), address("admin"), address("metrics"));
        self.child = Some(child);
    }

    /// The command that serves; for tests that want to see it fail.
    pub fn command(&self) -> Command {
        let mut command = muster();
        command
            .args(["serve", "--cloud", "localhost:8443", "--enroll-listen", &self.enroll_listen.to_string()])
            .args(["--admin-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .arg("--config")
            .arg(&self.config)
            .arg("--data-dir")
            .arg(self.data_dir())
            .arg("--ready-file")
            .arg(self.dir.path().join("ready.json"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// `SIGKILL`: nothing is flushed, nothing said.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// `SIGTERM`, and waits. The exit status is the service's.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for an end that was asked for.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.take().expect("it runs").wait().expect("it ends")
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Everything logged so far. Lines are written some milliseconds apart from what they tell, so this waits until
    /// no more come.
    pub fn log(&self) -> String {
        let mut log = String::new();
        loop {
            let before = log.len();
            log = fs::read_to_string(self.log_file()).unwrap_or_default();
            if log.len() == before {
                return log;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// PEM of what the service's own TLS certificates hang from.
    pub fn trust_anchor_pem(&self) -> String {
        fs::read_to_string(self.data_dir().join("tls-trust-anchor.pem")).expect("the anchor is written at first start")
    }

    /// The API client of the first start: `clientId`, `clientSecret`, `customerId`.
    pub fn api_client(&self) -> Value {
        let file = fs::read(self.data_dir().join("api-client.json")).expect("the client's file");
        serde_json::from_slice(&file).expect("JSON")
    }

    /// Name and password of the owner whom the first start made.
    pub fn owner(&self) -> (String, String) {
        let file = fs::read(self.data_dir().join("first-start.json")).expect("the owner's file");
        let file: Value = serde_json::from_slice(&file).expect("JSON");
        let member = |name: &str| file["administrator"][name].as_str().expect("a string").to_owned();
        (member("username"), member("password"))
    }

    /// Where devices enroll. Changes with every launch.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { address: self.enroll, anchor_pem: self.trust_anchor_pem() }
    }

    /// Runs the command line against this service.
    pub fn cli(&self, args: &[&str]) -> Output {
        muster().args(args).arg("--data-dir").arg(self.data_dir()).output().expect("the binary runs")
    }

    /// What the command printed; it must succeed.
    pub fn cli_ok(&self, args: &[&str]) -> String {
        let output = self.cli(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    pub fn create_group(&self, kind: &str, name: &str) {
        self.cli_ok(&["group", "create", "--kind", kind, "--name", name]);
    }

    /// A key string. `more` are further arguments of `key create`.
    pub fn create_key(&self, kind: &str, group: &str, name: &str, more: &[&str]) -> String {
        let args = ["key", "create", "--kind", kind, "--group", group, "--name", name];
        self.cli_ok(&[&args[..], more].concat())
    }

    /// The key as the management API gives it.
    pub fn key(&self, kind: &str, name: &str) -> Value {
        let text = self.cli_ok(&["key", "show", "--json", "--kind", kind, name]);
        serde_json::from_str(&text).expect("JSON")
    }

    /// `usageCount` of a key.
    pub fn uses(&self, kind: &str, name: &str) -> u64 {
        self.key(kind, name)["usageCount"].as_str().expect("a counter is a string").parse().expect("a number")
    }

    /// From now on the service's certificates live so short; days are the least that the API takes.
    pub fn shorten_certificates(&mut self, seconds: u32) {
        assert!(self.stop().success());
        let store = rusqlite::Connection::open(self.data_dir().join("muster.db")).expect("the store");
        store.execute("UPDATE signing_certificates SET lifetime_seconds = ?1", [seconds]).expect("an update");
        drop(store);
        self.launch();
    }

    /// `muster doctor` finds nothing, but for what a test's database leaves undone to be quick.
    pub fn assert_healthy(&self) {
        let config = self.config.to_str().expect("UTF-8"); // says where the store is
        let output = self.cli(&["doctor", "--json", "--config", config]);
        let findings: Result<Vec<String>, _> = serde_json::from_slice(&output.stdout);
        let mut findings = findings.unwrap_or_else(|_| panic!("doctor: {}", String::from_utf8_lossy(&output.stderr)));
        findings.retain(|finding| {
            let of_database = finding.strip_prefix("database: ").unwrap_or_default();
            !["fsync", "full_page_writes"].iter().any(|setting| of_database.starts_with(setting))
        });
        assert!(findings.is_empty(), "doctor: {findings:?}");
    }

    /// A plain GET on the metrics listener: status and body.
    pub fn ops(&self, path: &str) -> (u16, String) {
        use std::io::Read as _;
        let mut stream = std::net::TcpStream::connect(self.metrics).expect("the metrics listener accepts");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: ops\r\nconnection: close\r\n\r\n").expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// The value of one sample of `/metrics`, e.g. `muster_index_keys`; where it has labels, the sum over them.
    pub fn metric(&self, sample: &str) -> f64 {
        let (_, text) = self.ops("/metrics");
        let of_sample = |line: &&str| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with([' ', '{']));
        text.lines().filter(of_sample).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the service\n{}", self.log());
        }
    }
}

/// The binary under test, without what the environment might say.
pub fn muster() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MUSTER_") {
            command.env_remove(name);
        }
    }
    command
}
