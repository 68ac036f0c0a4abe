//! This program under `valgrind --tool=callgrind`, and what its dumps say.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The function whose calls are counted, each into a dump of its own: see [`span`].
const SPAN: &str = "instructions::callgrind::span";

/// Runs `operation` so often. Callgrind counts from its beginning to its end.
#[inline(never)]
pub fn span(times: u32, operation: &mut dyn FnMut()) {
    for _ in 0..times {
        operation();
    }
}

/// Which instructions count.
#[derive(Clone, Copy)]
pub enum Counted {
    /// In whatever thread, those of the function of this name and of all that it calls, `ring` or not.
    CallsOf(&'static str),
    /// Of the thread that calls [`span`], without those of `ring`.
    Thread,
}

/// Runs this program with `argument`; it calls [`span`] for each step and prints its name and the number to
/// divide by. The means, by name.
pub fn count_steps(argument: &str, counted: Counted) -> Vec<(String, u64)> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let out = dir.path().join("out");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--vgdb=no", "--tool=callgrind"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.display()));
    valgrind.arg(format!("--zero-before={SPAN}")).arg(format!("--dump-after={SPAN}"));
    // A dump is of one thread then, and its name ends in that thread's number; the first runs the steps.
    let thread = if matches!(counted, Counted::Thread) { "-01" } else { "" };
    if !thread.is_empty() {
        valgrind.arg("--separate-threads=yes");
    }
    valgrind.arg(std::env::current_exe().expect("this program")).arg(argument);
    let ran = valgrind.stderr(Stdio::inherit()).output().expect("valgrind runs; tests/run installs it");
    assert!(ran.status.success(), "the steps end well: {}", ran.status);
    let steps = String::from_utf8(ran.stdout).expect("UTF-8");
    let means = steps.lines().zip(1..).map(|(line, number)| {
        let (name, divisor) = line.split_once(' ').expect("a name and a number");
        let dump = Dump::read(&dir.path().join(format!("out.{number}{thread}")));
        let total = match counted {
            Counted::CallsOf(function) => dump.calls_of(function),
            Counted::Thread => dump.own_of_ours,
        };
        (name.to_owned(), total / divisor.parse::<u64>().expect("a number"))
    });
    means.collect()
}

/// What a dump says.
struct Dump {
    /// Instructions outside `ring`.
    own_of_ours: u64,
    /// What calls of each function took, all that it called included; calls by itself left out.
    inclusive: HashMap<String, u64>,
}

impl Dump {
    /// # Panics
    /// When the dump's lines do not add up to its own total: then its format is another.
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (mut files, mut functions) = (Names::default(), Names::default());
        let (mut file, mut function, mut called) = (String::new(), String::new(), String::new());
        let (mut ours, mut rings, mut total, mut is_call) = (0, 0, None, false);
        let mut inclusive = HashMap::new();
        for line in text.lines() {
            if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                let cost = line.split(' ').nth(1).map_or(0, |cost| cost.parse::<u64>().expect("a cost"));
                if !std::mem::take(&mut is_call) {
                    *(if is_of_ring(&file, &function) { &mut rings } else { &mut ours }) += cost;
                } else if called != function {
                    *inclusive.entry(called.clone()).or_default() += cost;
                }
                continue;
            }
            match line.split_once(['=', ':']) {
                Some(("fl" | "fi" | "fe", name)) => file = files.look_up(name),
                Some(("fn", name)) => function = functions.look_up(name),
                Some(("cfi" | "cfl", name)) => drop(files.look_up(name)),
                Some(("cfn", name)) => called = functions.look_up(name),
                Some(("calls", _)) => is_call = true,
                Some(("totals", cost)) => total = cost.trim().parse().ok(),
                _ => {}
            }
        }
        assert_eq!(Some(ours + rings), total, "the lines of {} add up", path.display());
        Self { own_of_ours: ours, inclusive }
    }

    /// # Panics
    /// When it was not called: it has another name now, or was inlined.
    fn calls_of(&self, function: &str) -> u64 {
        *self.inclusive.get(function).unwrap_or_else(|| panic!("{function} was not called: what does its work now?"))
    }
}

/// Names are written once, as `(7) name`, and as `(7)` from then on.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn look_up(&mut self, text: &str) -> String {
        match text.split_once(' ') {
            Some((number, name)) => {
                self.0.insert(number.to_owned(), name.to_owned());
                name.to_owned()
            }
            None => self.0.get(text).cloned().unwrap_or_default(),
        }
    }
}

fn is_of_ring(file: &str, function: &str) -> bool {
    file.contains("/ring-0.") || ["ring::", "<ring::", "ring_core_"].iter().any(|start| function.starts_with(start))
}
