//! The agent, in processes of its own and as a fleet, against the real service.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::Service;
use crate::support::agent::AgentProcess;
use crate::support::service::muster;

mod boot;
mod fleet;
mod renewals;

const KIND: &str = "machine";
const FINGERPRINT: &str = "oXaN4RRiMcAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A service with a key for one machine, which stands in a file, and a state directory.
struct Site {
    service: Service,
    key: String,
}

impl Site {
    fn new(config: &str) -> Self {
        let mut service = Service::start_with(config);
        service.keep_enroll_address();
        service.create_group(KIND, "HQ");
        let key = service.create_key(KIND, "HQ", "k", &["--max-uses", "1"]);
        let site = Self { service, key };
        site.put_key(&site.key);
        site
    }

    fn put_key(&self, key: &str) {
        fs::write(self.key_file(), format!("{key}\n")).unwrap();
        fs::set_permissions(self.key_file(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn key_file(&self) -> PathBuf {
        self.service.dir().join("provision_key")
    }

    fn state(&self) -> PathBuf {
        self.service.dir().join("state")
    }

    /// Its arguments, without `--connect`.
    fn arguments(&self, command: &str) -> Vec<String> {
        let state = self.state();
        [command, "--fingerprint", FINGERPRINT, "--state-dir", state.to_str().unwrap()].map(str::to_owned).to_vec()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = muster();
        command.env_remove("CREDENTIALS_DIRECTORY").args(self.arguments("agent"));
        command.arg("--key-file").arg(self.key_file());
        if !arguments.contains(&"--connect") {
            command.args(["--connect", &self.service.enroll.to_string()]);
        }
        command.args(arguments);
        command
    }

    fn agent(&self, arguments: &[&str]) -> AgentProcess {
        AgentProcess::start(self.command(arguments))
    }

    fn uses(&self) -> u64 {
        self.service.uses(KIND, "k")
    }
}

fn record(state: &Path) -> Value {
    serde_json::from_slice(&fs::read(state.join("enrollment.json")).unwrap()).unwrap()
}
