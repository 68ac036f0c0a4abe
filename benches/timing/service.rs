//! The real binary on a data directory of its own.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::device::{Connection, client_config};

const START_MAX: Duration = Duration::from_secs(60);

/// `muster serve` on free ports. Killed when dropped.
pub struct Service {
    dir: tempfile::TempDir,
    child: Child,
    enroll: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Service {
    /// With these lines in its configuration file.
    pub fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("config.toml"), config).expect("a configuration file");
        let (data, ready) = (dir.path().join("data"), dir.path().join("ready.json"));
        let child = Command::new(env!("CARGO_BIN_EXE_muster"))
            .args(["serve", "--cloud", "localhost:8443", "--enroll-listen", "127.0.0.1:0"])
            .args(["--admin-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--config"])
            .arg(dir.path().join("config.toml"))
            .arg("--data-dir")
            .arg(&data)
            .arg("--ready-file")
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("log")).expect("a log file"))
            .spawn()
            .expect("the service starts");
        let started = Instant::now();
        let addresses: serde_json::Value = loop {
            if let Ok(text) = fs::read(&ready) {
                break serde_json::from_slice(&text).expect("the ready file is JSON");
            }
            assert!(started.elapsed() < START_MAX, "the service did not become ready");
            std::thread::sleep(Duration::from_millis(20));
        };
        let enroll = addresses["enroll"].as_str().expect("an address").parse().expect("an address");
        let anchors = CertificateDer::pem_file_iter(data.join("tls-trust-anchor.pem")).expect("the anchor");
        let config = client_config(anchors.map(|anchor| anchor.expect("PEM")));
        Self { dir, child, enroll, config }
    }

    /// What the command line prints, without the line's end. The service must run.
    pub fn muster(&self, arguments: &[&str]) -> String {
        let mut muster = Command::new(env!("CARGO_BIN_EXE_muster"));
        let output = muster.args(arguments).arg("--data-dir").arg(self.dir.path().join("data")).output();
        let output = output.expect("the command line runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    /// A new connection to the enrollment listener, with its handshake behind it.
    pub fn connect(&self) -> Connection {
        Connection::open(self.enroll, &self.config)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
