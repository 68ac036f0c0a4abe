//! Killed in the midst of it, each of these commands leaves what was, or what was to be.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{back_up, done, elsewhere, file_of, names_in, restore, with_data_dir};
use crate::support::{Random, Service};

/// Kills per command; `KILLS=…` for more.
fn kills() -> u32 {
    std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// Runs a command and kills it at a moment of the time that it takes. Whether it was killed.
fn kill(mut command: Command, random: &mut Random, takes: Duration) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let moment = takes.mul_f64(random.below(1_000) as f64 / 1_000.0);
    let begun = Instant::now();
    while begun.elapsed() < moment && child.try_wait().expect("it can be asked").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let is_over = child.try_wait().expect("it can be asked").is_some();
    let _ = child.kill();
    child.wait().expect("it ends");
    !is_over
}

fn timed(command: Command) -> Duration {
    let begun = Instant::now();
    done(command);
    begun.elapsed()
}

#[test]
fn a_backup_that_is_killed_leaves_the_one_before() {
    let mut random = Random::seeded();
    let service = Service::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("b");
    let command = || with_data_dir(&["backup", "--output", file.to_str().unwrap()], &service.data_dir());
    let takes = timed(command());
    for round in 0..kills() {
        service.create_group("machine", &format!("G{round}"));
        kill(command(), &mut random, takes);
        // Whichever it is, it is whole.
        let other = elsewhere(&service, "");
        done(restore(&file, &other.data_dir()));
        other.assert_healthy();
    }
    back_up(&service, &file);
    assert_eq!(names_in(directory.path()), ["b"], "nothing is left of those that were killed");
}

#[test]
fn a_restore_that_is_killed_leaves_no_store_or_a_whole_one() {
    let mut random = Random::seeded();
    let service = Service::start();
    service.create_group("machine", "HQ");
    let directory = tempfile::tempdir().unwrap();
    let backup = file_of(&back_up(&service, &directory.path().join("b")));
    let first = elsewhere(&service, "");
    let takes = timed(restore(&backup, &first.data_dir()));
    for _ in 0..kills() {
        let other = elsewhere(&service, "");
        let is_there = |data_dir: &Path| data_dir.join("muster.db").exists();
        while !is_there(&other.data_dir()) && kill(restore(&backup, &other.data_dir()), &mut random, takes * 2) {}
        if !is_there(&other.data_dir()) {
            done(restore(&backup, &other.data_dir()));
        }
        other.assert_healthy();
        let kept = ["lock", "master.key", "muster.db", "muster.db-shm", "muster.db-wal", "restore.partial"];
        let names = names_in(&other.data_dir());
        assert!(names.iter().all(|name| kept.contains(&name.as_str())), "{names:?}");
    }
}
