//! The real service in operation: signals, configuration that changes, balancers, a log that nobody
//! reads.

use std::process::{Child, Command, Stdio};

use crate::support::{eventually, patiently};

mod drain;
mod health;
mod log;
mod proxy;
mod reload;
mod sockets;

/// A process that does not outlive its test, however that ends.
struct Process(Child);

impl Process {
    /// What it prints on stdout goes nowhere.
    fn spawn(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).status();
        assert!(status.unwrap().success());
    }

    fn terminate(&self) {
        self.signal("TERM");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
