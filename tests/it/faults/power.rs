//! The power goes: the data directory is rebuilt as a disk may have it at any moment of a run, opened by the real store,
//! and asked whether all is there that was answered until then. `POWER_CUTS=5000` for more than the few of an everyday
//! run.
//!
//! What is on a disk without power: everything that was synced, and of everything else any part, in units of a
//! sector. Nothing more is believed of it, unless a test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster::domain::Kind;
use muster::store::{ListQuery, Store as _};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use super::{Found, Given};
use crate::support::device::{Identity, connect_showing, csr, key_pair, read_answer, renew_request};
use crate::support::disk::{Disk, Done, Event, Files, apply};
use crate::support::{Device, Random, Service};

const SECTOR_BYTES: u64 = 512;

/// A disk that has nothing to do for so long will have nothing to do.
const QUIET: Duration = Duration::from_millis(300);

/// What the key has, and how many devices want one.
const USES: usize = 24;
const DEVICES: usize = 30;

/// What a disk that lies has in its cache.
const CACHED_EVENTS: usize = 60;

/// A run that was recorded.
struct Run {
    service: Service,
    /// Before it began.
    base: Files,
    history: Vec<Event>,
    /// With how much was recorded when the answer was there.
    given: Vec<(u64, Given)>,
    /// The names of keys that an administrator was told are there, likewise.
    keys: Vec<(u64, String)>,
}

/// What a disk keeps of what was not synced.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Nothing,
    /// All, in order, up to the cut.
    Everything,
    /// All, in order; of the last write some sectors.
    Torn,
    /// Any sectors of any writes, and any changes of length.
    Scattered,
    /// The same of the last events, whatever was synced among them: the disk lied.
    Lies,
}

impl Kept {
    /// By a disk that does not lie.
    const HONESTLY: [Self; 4] = [Self::Nothing, Self::Everything, Self::Torn, Self::Scattered];
}

impl Run {
    /// Devices that race for a key, some of which come again or renew; administrators; a clean stop, which brings the
    /// log into the database; a second launch, and a kill.
    async fn make() -> Self {
        let mut service = Service::start();
        service.create_group("machine", "HQ");
        let more = ["--max-uses", &USES.to_string(), "--allow-re-enrollment"];
        let key = service.create_key("machine", "HQ", "k", &more);
        assert!(service.stop().success());
        let base = read_files(&service.data_dir());

        let disk = Arc::new(Disk::recorded_below(&mut service));
        service.launch();
        let mut run = Self { service, base, history: Vec::new(), given: Vec::new(), keys: Vec::new() };
        for part in 0..2 {
            run.enroll(&disk, &key, part).await;
            let name = format!("made-{part}");
            run.service.create_key("machine", "HQ", &name, &[]);
            run.keys.push((disk.recorded(), name));
            if part == 0 {
                assert!(run.service.stop().success());
                run.service.launch();
            }
        }
        // Nothing is under way when it is killed: then the record has all that was done.
        let mut recorded = 0;
        while recorded < disk.recorded() {
            recorded = disk.recorded();
            tokio::time::sleep(QUIET).await;
        }
        run.service.kill();
        run.history = disk.history();
        run
    }

    async fn enroll(&mut self, disk: &Arc<Disk>, key: &str, part: usize) {
        let (mut racing, mut held) = (Vec::new(), Vec::new());
        for number in 0..DEVICES / 2 {
            let (endpoint, key, disk) = (self.service.endpoint(), key.to_owned(), Arc::clone(disk));
            racing.push(tokio::spawn(async move {
                let device = Device::new(&format!("device-{part}-{number}"));
                let answer = device.enroll(&endpoint, &key).await;
                (disk.recorded(), answer, device)
            }));
        }
        for device in racing {
            let (recorded, answer, device) = device.await.expect("a device ends well");
            if answer.status == 200 {
                self.given.push((recorded, Given::by(&answer)));
                held.push((Identity::of(&answer, &device.key_pair), device));
            } else {
                assert_eq!(answer.code(), "key-exhausted", "{}", answer.body);
            }
        }
        for (number, (identity, device)) in held.into_iter().enumerate() {
            let answer = match number % 3 {
                0 => continue,
                1 => device.reinstalled().enroll(&self.service.endpoint(), key).await,
                _ => {
                    let request = renew_request(&json!({ "csr": csr(&key_pair()) }));
                    let mut stream = connect_showing(&self.service.endpoint(), &identity).await.expect("a connection");
                    stream.write_all(&request).await.expect("a request");
                    read_answer(&mut stream).await.expect("an answer")
                }
            };
            assert_eq!(answer.status, 200, "{}", answer.body);
            self.given.push((disk.recorded(), Given::by(&answer)));
        }
    }

    /// The files as a disk may have them when the power goes right after so many events.
    fn cut(&self, cut: usize, kept: Kept, random: &mut Random) -> Files {
        let past = &self.history[..cut];
        let mut files = self.base.clone();
        if let Kept::Lies = kept {
            let (safe, cached) = past.split_at(cut.saturating_sub(CACHED_EVENTS));
            safe.iter().for_each(|event| apply(&mut files, event));
            cached.iter().flat_map(|event| sectors(event, random)).for_each(|part| apply(&mut files, &part));
            return files;
        }
        let mut synced_at = BTreeMap::new();
        for (at, event) in past.iter().enumerate() {
            if matches!(event.done, Done::Synced) {
                synced_at.insert(event.file.as_str(), at);
            }
        }
        for (at, event) in past.iter().enumerate() {
            // A file's coming and going is its directory's.
            let whose = if matches!(event.done, Done::Created | Done::Removed) { "" } else { event.file.as_str() };
            let is_synced = synced_at.get(whose).is_some_and(|synced| at < *synced);
            let is_last = at + 1 == cut;
            match kept {
                _ if is_synced => apply(&mut files, event),
                Kept::Nothing | Kept::Lies => {}
                Kept::Torn if is_last => sectors(event, random).iter().for_each(|part| apply(&mut files, part)),
                Kept::Everything | Kept::Torn => apply(&mut files, event),
                Kept::Scattered => sectors(event, random).iter().for_each(|part| apply(&mut files, part)),
            }
        }
        files
    }

    /// Where the power may go with something at stake: right after each sync, and at moments between them.
    fn moments(&self, number: usize, random: &mut Random) -> BTreeSet<usize> {
        let after_sync = |(at, event): (usize, &Event)| matches!(event.done, Done::Synced).then_some(at + 1);
        let syncs: Vec<_> = self.history.iter().enumerate().filter_map(after_sync).collect();
        let mut moments = BTreeSet::from([self.history.len()]);
        while moments.len() < number.min(self.history.len()) {
            let any = random.below(self.history.len() as u64) as usize;
            let sync = syncs[random.below(syncs.len() as u64) as usize];
            moments.insert(if random.below(2) == 0 { sync } else { any });
        }
        moments
    }

    /// The data directory after such a cut.
    fn rebuilt(&self, cut: usize, kept: Kept, random: &mut Random) -> TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, content) in self.cut(cut, kept, random) {
            fs::write(dir.path().join(name), content).expect("a file");
        }
        fs::copy(self.service.data_dir().join("master.key"), dir.path().join("master.key")).expect("a master key");
        dir
    }

    /// What the next start after such a cut finds.
    async fn assert_whole(&self, cut: usize, kept: Kept, random: &mut Random) {
        let when = format!("the power went after event {cut} of {}, kept: {kept:?}", self.history.len());
        let dir = self.rebuilt(cut, kept, random);
        let found = match Found::opened(dir.path()).await {
            Ok(found) => found,
            Err(error) => panic!("{when}: {error}"),
        };
        found.assert_sound(&when).await;
        let recorded = cut.checked_sub(1).map_or(0, |last| self.history[last].recorded);
        for (_, given) in self.given.iter().filter(|(at, _)| *at <= recorded) {
            found.assert_has(given, &when).await;
        }
        let keys = found.keys().await;
        for (_, name) in self.keys.iter().filter(|(at, _)| *at <= recorded) {
            assert!(keys.iter().any(|(known, _)| known == name), "{when}: key {name} was lost");
        }
        let (_, uses) = keys.iter().find(|(name, _)| name == "k").expect("it was there before");
        assert!(*uses <= USES as u32, "{when}: {uses} uses");
        found.store.probe().await.unwrap_or_else(|error| panic!("{when}: {error}"));
    }
}

impl Found {
    /// Names and uses.
    async fn keys(&self) -> Vec<(String, u32)> {
        let mut keys = Vec::new();
        for customer in self.store.scan_customers().await.expect("the store") {
            let page = self.store.list_keys(customer.id, Kind::Machine, &ListQuery::first(100)).await;
            keys.extend(page.expect("the store").rows.into_iter().map(|key| (key.name.to_string(), key.usage.uses)));
        }
        keys
    }
}

/// Some of what an event did: of a write any sectors, of anything else all or nothing.
fn sectors(event: &Event, random: &mut Random) -> Vec<Event> {
    let Done::Written { offset, data } = &event.done else {
        return if random.below(2) == 0 { vec![event.clone()] } else { Vec::new() };
    };
    let mut parts = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let place = offset + at as u64;
        let end = data.len().min(at + (SECTOR_BYTES - place % SECTOR_BYTES) as usize);
        if random.below(2) == 0 {
            let done = Done::Written { offset: place, data: data[at..end].to_vec() };
            parts.push(Event { done, ..event.clone() });
        }
        at = end;
    }
    parts
}

/// What becomes of a store on a disk that lied and did not keep the order.
#[derive(Debug, Default)]
struct Told {
    /// All that is there agrees; the last of it may be lost.
    whole: usize,
    by_the_check: usize,
    by_the_start: usize,
}

/// It may be damaged. Then the start says so, or `muster doctor` does; and what passes for whole admits nobody twice.
async fn tell_what_lies_come_to(run: &Run, cuts: usize, random: &mut Random) -> Told {
    let mut told = Told::default();
    for cut in run.moments(cuts, random) {
        let dir = run.rebuilt(cut, Kept::Lies, random);
        let Ok(found) = Found::opened(dir.path()).await else {
            told.by_the_start += 1;
            continue;
        };
        match found.store.check_integrity(&found.audit_key).await {
            Ok(findings) if findings.is_empty() => {
                let keys = found.keys().await;
                assert!(keys.iter().all(|(name, uses)| name != "k" || *uses <= USES as u32), "{keys:?}");
                told.whole += 1;
            }
            Ok(_) | Err(_) => told.by_the_check += 1,
        }
    }
    told
}

fn read_files(data_dir: &Path) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(data_dir).expect("the data directory") {
        let entry = entry.expect("a file");
        let name = entry.file_name().into_string().expect("UTF-8");
        if name.starts_with("muster.db") && !name.ends_with("-shm") {
            files.insert(name, fs::read(entry.path()).expect("a file"));
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_disk_keeps_when_the_power_goes_all_that_was_answered_is_there() {
    let cuts = std::env::var("POWER_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(80);
    let mut random = Random::seeded();
    let run = Run::make().await;
    // What the record says is what the process left.
    let mut whole = run.base.clone();
    run.history.iter().for_each(|event| apply(&mut whole, event));
    assert!(whole == read_files(&run.service.data_dir()), "the record has not everything");
    let is_checkpoint = |event: &Event| event.file == "muster.db" && matches!(event.done, Done::Synced);
    assert!(run.history.iter().any(is_checkpoint), "the log was not brought into the database");

    let moments = run.moments(cuts / Kept::HONESTLY.len(), &mut random);
    for cut in &moments {
        for kept in Kept::HONESTLY {
            run.assert_whole(*cut, kept, &mut random).await;
        }
    }
    let told = tell_what_lies_come_to(&run, cuts / 8, &mut random).await;
    assert!(told.whole > 0, "{told:?}");
    eprintln!("{} cuts of a run of {} events", moments.len() * Kept::HONESTLY.len(), run.history.len());
    eprintln!("on a disk that lied: {told:?}");
}
