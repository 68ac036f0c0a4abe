//! `muster agent` in a process of its own, and what it says.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Killed when dropped.
pub struct AgentProcess {
    child: Child,
    lines: Receiver<String>,
    /// For a test that fails.
    said: Vec<String>,
}

impl AgentProcess {
    /// Runs this command, whose last part is the agent's.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the agent starts");
        let stderr = child.stderr.take().expect("it is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines, said: Vec::new() }
    }

    /// Waits for a line with this text, and gives it.
    pub fn says(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("the agent did not say {text:?}, but:\n{}", self.said.join("\n"))
                }
            }
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).expect("a process")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// `SIGKILL`.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// `SIGTERM`; it must end by itself.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().expect("it ends")
    }

    /// Waits for its end, with all that it said.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("it ends");
        self.said.extend(self.lines.iter());
        (status, self.said.join("\n"))
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The serial number of the certificate in a state directory; it must have its key beside it. Nobody may hold it.
pub fn serial_number(state: &Path) -> String {
    let state = muster::client::state::StateDir::open(state).expect("a state directory");
    state.certificate().expect("files").expect("a certificate and its key").serial_number
}
