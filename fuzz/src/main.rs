//! The fuzz targets of Muster, all in one binary: the crate is built and linked once. See docs/fuzzing.md.
//!
//! `MUSTER_FUZZ_TARGET` says which of [`targets::TARGETS`] is run; everything else is libFuzzer's own command line.
//! Without it the targets are listed, one a line: name, tab, most bytes of an input. With
//! `MUSTER_FUZZ_SEEDS=FOLDER` the inputs to begin with that are made by code are written below it.

#![no_main]

mod allocation;
mod authority;
mod der;
mod door;
mod targets;
mod world;

use std::sync::OnceLock;

use targets::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: begin(),
    |bytes: &[u8]| {
        let target = CHOSEN.get().expect("chosen in the beginning");
        (target.run)(bytes);
    }
);

fn begin() {
    let variable = |name| std::env::var(name).ok();
    if let Some(folder) = variable("MUSTER_FUZZ_SEEDS") {
        TARGETS.iter().for_each(|target| write_seeds(target, folder.as_ref()));
        std::process::exit(0);
    }
    let Some(name) = variable("MUSTER_FUZZ_TARGET") else {
        TARGETS.iter().for_each(|target| println!("{}\t{}", target.name, target.bytes_max));
        std::process::exit(0);
    };
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        eprintln!("{name:?} is no target; without MUSTER_FUZZ_TARGET they are listed");
        std::process::exit(2);
    };
    CHOSEN.set(target).unwrap_or_else(|_| unreachable!("libFuzzer begins once"));
}

fn write_seeds(target: &Target, folder: &std::path::Path) {
    let folder = folder.join(target.name);
    std::fs::create_dir_all(&folder).expect("a folder for seeds");
    for (number, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(folder.join(format!("made-{number:02}")), seed).expect("a seed");
    }
}
