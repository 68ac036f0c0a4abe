//! What the operating system knows: who runs on which core, and how much of it was used.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Of every server, whichever is measured.
pub const SERVER_CORE: usize = 0;
/// Of the devices.
pub const CLIENT_CORE: usize = 1;

/// A command whose process is bound to the core before its program begins, so that the program finds a machine
/// of one core. Best effort: without `taskset` or the core the figures are only less steady.
pub fn on_core(core: usize, program: &Path) -> Command {
    let bind = |program: &OsStr| {
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]).arg(program);
        command
    };
    if bind(OsStr::new("true")).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        bind(program.as_os_str())
    } else {
        eprintln!("{} cannot be bound to core {core}", program.display());
        Command::new(program)
    }
}

/// Binds this process with all its threads, as far as possible.
pub fn stay_on_core(core: usize) {
    let bound = Command::new("taskset")
        .args(["-a", "-c", "-p", &core.to_string(), &std::process::id().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !bound.is_ok_and(|status| status.success()) {
        eprintln!("this process cannot be bound to core {core}");
    }
}

/// utime + stime of a process, ended threads included, in seconds. In steps of 10 ms.
pub fn cpu_seconds(pid: u32) -> f64 {
    let text = fs::read_to_string(proc(pid).join("stat")).expect("the process runs");
    let after_name = text.rsplit(')').next().expect("the name ends");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    ticks(fields[11]) + ticks(fields[12])
}

/// What the threads of a process have used, by their names, in seconds. From `schedstat`, which counts nanoseconds;
/// threads that have ended are not in it.
pub fn thread_cpu_seconds(pid: u32) -> BTreeMap<String, f64> {
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(proc(pid).join("task")).expect("the process runs") {
        let task = task.expect("the process runs").path();
        // A thread may end between the two.
        let read = |name: &str| fs::read_to_string(task.join(name)).ok();
        let (Some(name), Some(schedstat)) = (read("comm"), read("schedstat")) else { continue };
        *threads.entry(name.trim().to_owned()).or_default() += nanoseconds(&schedstat);
    }
    threads
}

/// What the calling thread has used, in seconds; exact after a wait.
pub fn own_thread_cpu_seconds() -> f64 {
    nanoseconds(&fs::read_to_string("/proc/thread-self/schedstat").expect("the thread runs"))
}

/// What everything on a core has used since the start of the machine, in seconds, what a hypervisor took included.
pub fn core_busy_seconds(core: usize) -> f64 {
    const IDLE: [usize; 2] = [3, 4];
    let text = fs::read_to_string("/proc/stat").expect("the system tells");
    let name = format!("cpu{core} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_default();
    // The guests' time, in the ninth and tenth place, is in the first two already.
    let fields = line.split_whitespace().take(8).enumerate();
    fields.filter(|(place, _)| !IDLE.contains(place)).map(|(_, field)| ticks(field)).sum()
}

fn proc(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

fn ticks(field: &str) -> f64 {
    field.parse::<f64>().expect("a number") / 100.0
}

/// The first field of a `schedstat`, in seconds.
fn nanoseconds(schedstat: &str) -> f64 {
    schedstat.split_whitespace().next().and_then(|field| field.parse::<f64>().ok()).expect("a number") / 1e9
}
