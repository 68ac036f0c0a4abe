//! Who sees to it that a server ends with the tests.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::programs;

/// Outlives this process by as long as it takes to stop the server: whatever becomes of this process, the pipe
/// on stdin ends with it. Each line on stdin starts the server and is answered with `ready` or `failed`.
/// `$1`: the path of `pg_ctl`. `$2`: the server's folder.
const SCRIPT: &str = r#"
while read -r _; do
    if "$1" start --silent --wait --timeout=60 --pgdata="$2/data" --log="$2/log" </dev/null
    then echo ready
    else echo failed
    fi
done
"$1" stop --silent --mode=immediate --pgdata="$2/data"
rm -rf "$2" || { sleep 1; rm -rf "$2"; } # after an initdb that still wrote
"#;

/// A process that starts the server in a folder, and stops it and removes the folder when this is dropped or this
/// process ends.
pub struct Guard {
    process: Child,
    asked: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
}

impl Guard {
    pub fn spawn(folder: &Path) -> Self {
        let log = folder.join("log");
        let complaints = OpenOptions::new().append(true).create(true).open(&log).expect("a log file");
        programs::hand_over(&log);
        let mut process = programs::command("sh".as_ref(), folder)
            .args(["-c", SCRIPT, "guard"])
            .arg(programs::path("pg_ctl"))
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            // Ctrl-C is for the tests, whose end it sees.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let asked = process.stdin.take();
        let said = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, asked, said }
    }

    /// `ready`, `failed`, or nothing if it is gone.
    pub fn launch(&mut self) -> String {
        writeln!(self.asked.as_ref().expect("it is open until dropped"), "launch").expect("the guard listens");
        let mut answer = String::new();
        self.said.read_line(&mut answer).expect("the guard answers");
        answer.trim_end().to_owned()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.asked = None;
        let _ = self.process.wait();
    }
}
