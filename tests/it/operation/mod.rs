//! The real service in operation: signals, configuration that changes, balancers, a log that nobody
//! reads.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

mod drain;
mod health;
mod log;
mod proxy;
mod reload;

/// How long a process may take to do what it was asked to; far above what it needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that does not outlive its test, however that ends.
struct Process(Child);

impl Process {
    /// What it prints on stdout goes nowhere.
    fn spawn(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn terminate(&self) {
        assert!(Command::new("kill").arg(self.0.id().to_string()).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks again and again what another process has done by now.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}
