//! Processes of the machine, for those that are not our children.

use std::process::{Command, Stdio};

use super::programs;

/// One that `ps` lists.
pub struct Process {
    pub id: u32,
    pub parent: u32,
    /// `T`: stopped. `Z`: ended, and its parent has not asked how.
    pub state: char,
}

/// All there are.
pub fn processes() -> Vec<Process> {
    let listed = programs::run(Command::new("ps").args(["-A", "-o", "pid=", "-o", "ppid=", "-o", "stat="]));
    let process = |line: &str| {
        let mut words = line.split_whitespace();
        let (id, parent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Process { id, parent, state: words.next()?.chars().next()? })
    };
    listed.lines().map(|line| process(line).unwrap_or_else(|| panic!("ps printed {line:?}"))).collect()
}

/// Sends a signal, as `KILL`, to those of them that are still there.
pub fn signal(name: &str, processes: &[u32]) {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{name}")).args(processes.iter().map(u32::to_string));
    // One that has ended in the meantime makes it fail.
    let _ = kill.stderr(Stdio::null()).status().expect("kill runs");
}
