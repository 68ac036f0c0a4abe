//! The recorded figures, and the comparison with what was counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::steps;

/// How much wider the tolerance is where the figures were not recorded.
pub const ELSEWHERE: u64 = 5;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/recorded.toml");
const RECORD: &str = "cargo bench --profile instructions --bench instructions -- --record";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Compilers, C library and processor, see [`tools`].
    tools: String,
    /// Instructions for one operation.
    steps: BTreeMap<String, u64>,
}

/// Whether all steps are within their tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Changed,
    Unchanged,
}

impl Recorded {
    pub fn read() -> Self {
        toml::from_str(&fs::read_to_string(FILE).expect("the recorded figures are there")).expect("they can be read")
    }

    pub fn write(found: &BTreeMap<String, u64>) {
        let mut text = format!(
            "# Instructions for one operation, without ring's; see main.rs beside this file.\n\
             # Written by {RECORD}\ntools = {:?}\n\n[steps]\n",
            tools()
        );
        for (name, count) in found {
            text.push_str(&format!("{name} = {count}\n"));
        }
        print!("{text}");
        fs::write(Path::new(FILE), text).expect("the file can be written");
    }

    /// Prints each step beside its recorded figure.
    pub fn compare(&self, found: &BTreeMap<String, u64>) -> Verdict {
        let tools = tools();
        let is_elsewhere = tools != self.tools;
        let mut verdict = Verdict::Unchanged;
        println!("{:<22} {:>10} {:>10} {:>8}  tolerance", "step", "recorded", "found", "change");
        for (name, count) in found {
            let tolerance = steps::tolerance_percent(name) * if is_elsewhere { ELSEWHERE } else { 1 };
            let Some(recorded) = self.steps.get(name) else {
                println!("{name:<22} {:>10} {count:>10}           NOT RECORDED", "");
                verdict = Verdict::Changed;
                continue;
            };
            let change = (*count as f64 / *recorded as f64 - 1.0) * 100.0;
            let is_off = change.abs() > tolerance as f64;
            let remark = match (is_off, change > 0.0) {
                (false, _) => "",
                (true, true) => "  MORE",
                (true, false) => "  LESS",
            };
            println!("{name:<22} {recorded:>10} {count:>10} {change:>+7.1}%  {tolerance}%{remark}");
            if is_off {
                verdict = Verdict::Changed;
            }
        }
        for name in self.steps.keys().filter(|name| !found.contains_key(*name)) {
            println!("{name:<22} is recorded and was not counted");
            verdict = Verdict::Changed;
        }
        if is_elsewhere {
            println!(
                "recorded with: {}\nthis is:       {tools}\nso tolerances are {ELSEWHERE} times as wide.",
                self.tools
            );
        }
        if verdict == Verdict::Changed {
            println!(
                "Instructions changed by more than the tolerance. What grew without meaning to is to be mended; what is\n\
                 meant, and what became less, is recorded with\n    {RECORD}"
            );
        }
        verdict
    }
}

/// What the figures depend on beside the source.
fn tools() -> String {
    let says = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).lines().next().unwrap_or("?").to_owned()
    };
    let (compilers, libc) = ([says("rustc", "--version"), says("cc", "--version")], says("ldd", "--version"));
    format!("{}, {libc}, {}", compilers.join(", "), processor())
}

#[cfg(target_arch = "x86_64")]
fn processor() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx2") { "x86_64 with AVX2" } else { "x86_64 without AVX2" }
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> &'static str {
    std::env::consts::ARCH
}
