//! The embedded store's disk: full, over its quota, read-only, slow, silent, failing, failing at each call, lying. The
//! service says 503 as long as nothing can be kept, loses nothing, admits nobody twice, and goes on by itself.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::task::block_in_place;

use super::{Found, Given};
use crate::support::disk::{Calls, Disk, FULL, IO_ERROR, QUOTA, READ_ONLY, Trouble};
use crate::support::{Answer, Device, Endpoint, Service, eventually, patiently};

const KIND: &str = "machine";

/// Devices that come at once while there is trouble.
const DEVICES: usize = 8;

/// Between two attempts of a device that was put off.
const PAUSE: Duration = Duration::from_millis(20);

/// A service with a key.
struct Stage {
    service: Service,
    key: String,
}

/// What becomes of devices while there is trouble.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    /// 503, and `/readyz` says why.
    PutOff,
    /// 200, all the same.
    Enrolled,
    /// 503 when they have waited for as long as a device does. Administrators wait for longer.
    LetDown,
}

impl Stage {
    fn set(service: Service) -> Self {
        service.create_group(KIND, "HQ");
        let key = service.create_key(KIND, "HQ", "k", &["--allow-re-enrollment"]);
        Self { service, key }
    }

    fn below_disk() -> (Self, Disk) {
        let mut service = Service::prepare("");
        let disk = Disk::below(&mut service);
        service.launch();
        (Self::set(service), disk)
    }

    fn is_ready(&self) -> bool {
        let (status, body) = self.service.ops("/readyz");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let is_ready = body["ready"].as_bool().expect("a flag");
        assert_eq!(status, if is_ready { 200 } else { 503 }, "{body}");
        is_ready
    }

    async fn enroll(&self, device: &Device) -> Answer {
        patiently("an answer", device.enroll(&self.service.endpoint(), &self.key)).await
    }

    /// Comes back as long as it is put off.
    async fn enroll_patiently(&self, device: &Device) -> Answer {
        patiently("an enrollment", async {
            loop {
                let answer = self.enroll(device).await;
                match answer.status {
                    503 => tokio::time::sleep(PAUSE).await,
                    _ => return answer,
                }
            }
        })
        .await
    }

    /// The devices at once, each once.
    async fn enroll_all(&self, devices: &[Device]) -> Vec<Answer> {
        let attempts = devices.iter().map(|device| {
            let (endpoint, request): (Endpoint, Value) = (self.service.endpoint(), device.request(&self.key));
            tokio::spawn(async move { crate::support::device::post(&endpoint, &request).await })
        });
        let mut answers = Vec::new();
        for attempt in attempts.collect::<Vec<_>>() {
            answers.push(patiently("an answer", attempt).await.expect("a device ends well"));
        }
        answers
    }

    /// The trouble is over: everybody gets what is theirs, without a restart and after one.
    async fn assert_recovers(&mut self, devices: &[Device], before: &[Given]) {
        block_in_place(|| eventually("the service to be ready again", || self.is_ready().then_some(())));
        let mut given = before.to_vec();
        for device in devices {
            let answer = self.enroll_patiently(device).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let again = self.enroll_patiently(device).await;
            assert_eq!(again.text("outcome"), "replayed");
            assert_eq!(again.text("certificate"), answer.text("certificate"));
            given.push(Given::by(&answer));
        }
        assert_eq!(self.service.uses(KIND, "k"), devices.len() as u64);
        self.service.assert_healthy();

        self.service.kill();
        let found = Found::looked_at(&self.service.data_dir()).await;
        found.assert_sound("after all").await;
        for given in &given {
            found.assert_has(given, "after all").await;
        }
        drop(found);
        self.service.launch();
        assert_eq!(self.enroll(&devices[0]).await.text("outcome"), "replayed");
    }
}

/// The same for every trouble.
async fn is_survived(stage: &mut Stage, meanwhile: Meanwhile, begin: impl FnOnce(), end: impl FnOnce()) {
    let mut devices = vec![Device::new("known")];
    let first = stage.enroll(&devices[0]).await;
    assert_eq!(first.text("outcome"), "enrolled");
    let mut given = vec![Given::by(&first)];
    assert!(stage.is_ready());

    begin();
    let new: Vec<_> = (0..DEVICES).map(|n| Device::new(&format!("new-{n}"))).collect();
    for answer in stage.enroll_all(&new).await {
        match meanwhile {
            Meanwhile::PutOff | Meanwhile::LetDown => {
                assert_eq!((answer.status, answer.code().as_str()), (503, "store-unavailable"), "{}", answer.body);
                let retry_after = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
                assert!(retry_after.is_some(), "{}", answer.head);
            }
            Meanwhile::Enrolled => {
                assert_eq!(answer.status, 200, "{}", answer.body);
                given.push(Given::by(&answer));
            }
        }
    }
    devices.extend(new);
    let unknown = Device::new("false").enroll(&stage.service.endpoint(), "3|localhost:8443|nobody-knows-it").await;
    assert_eq!(unknown.status, 401);
    if meanwhile != Meanwhile::Enrolled {
        block_in_place(|| eventually("the service not to be ready", || (!stage.is_ready()).then_some(())));
    }
    if meanwhile == Meanwhile::PutOff {
        let changed = stage.service.cli(&["group", "create", "--kind", KIND, "--name", "Branch"]);
        assert_eq!(changed.status.code(), Some(1), "an administrator is not told that it was done");
    }
    assert_eq!(stage.service.ops("/healthz").0, 200, "a restart would not help");

    end();
    stage.assert_recovers(&devices, &given).await;
}

/// Such a failure of such calls, until it ends.
async fn a_failure_is_survived(calls: Calls, error: u64) {
    let (mut stage, disk) = Stage::below_disk();
    is_survived(&mut stage, Meanwhile::PutOff, || disk.trouble(calls, Trouble::Fail(error)), || disk.heal()).await;
    assert!(disk.dealt() > 0, "nothing was in trouble");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_find_no_space_are_survived() {
    a_failure_is_survived(Calls::Write, FULL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_over_the_quota_are_survived() {
    a_failure_is_survived(Calls::All, QUOTA).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_became_read_only_is_survived() {
    a_failure_is_survived(Calls::All, READ_ONLY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_syncs_are_survived() {
    a_failure_is_survived(Calls::Sync, IO_ERROR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_are_cut_short_are_completed() {
    let (mut stage, disk) = Stage::below_disk();
    is_survived(&mut stage, Meanwhile::Enrolled, || disk.trouble(Calls::Write, Trouble::CutShort), || disk.heal())
        .await;
    assert!(disk.dealt() > 0, "nothing was in trouble");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_is_survived() {
    let (mut stage, disk) = Stage::below_disk();
    is_survived(&mut stage, Meanwhile::Enrolled, || disk.trouble(Calls::Sync, Trouble::Hold(300)), || disk.heal())
        .await;
    assert!(disk.dealt() > 0, "nothing was in trouble");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_says_nothing_is_survived() {
    let (mut stage, disk) = Stage::below_disk();
    let begin = || disk.trouble(Calls::Sync, Trouble::Hold(600_000));
    is_survived(&mut stage, Meanwhile::LetDown, begin, || disk.heal()).await;
    assert!(disk.dealt() > 0, "nothing was in trouble");
}

/// What a lying disk has is lost with the machine, which is what `power.rs` is about; not with the process.
#[tokio::test(flavor = "multi_thread")]
async fn syncs_that_are_lies_lose_nothing_with_the_process() {
    let (mut stage, disk) = Stage::below_disk();
    is_survived(&mut stage, Meanwhile::Enrolled, || disk.trouble(Calls::Sync, Trouble::Lie), || {}).await;
    assert!(disk.dealt() > 0, "nothing was in trouble");
}

/// For each call that an enrollment makes: that one fails, and as many after it. One device after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_each_call_of_an_enrollment_is_survived() {
    let (mut stage, disk) = Stage::below_disk();
    let mut devices = Vec::new();
    let mut given = Vec::new();
    for calls in [Calls::Sync, Calls::Write] {
        for affected in [1, 3] {
            for skipped in 0.. {
                let device = Device::new(&format!("{calls:?}-{affected}-{skipped}"));
                disk.trouble_at(calls, Trouble::Fail(IO_ERROR), skipped, affected);
                let answer = stage.enroll(&device).await;
                let dealt = disk.dealt();
                disk.heal();
                match answer.status {
                    200 => given.push(Given::by(&answer)),
                    status => {
                        let said = (status, answer.code());
                        assert_eq!(said, (503, "store-unavailable".to_owned()), "{}", device.fingerprint);
                    }
                }
                let again = stage.enroll_patiently(&device).await;
                assert_eq!(again.status, 200, "{}", again.body);
                given.push(Given::by(&again));
                devices.push(device);
                // Beyond the last call of an enrollment, or in what the store does by itself afterwards.
                if dealt == 0 || skipped >= 60 {
                    assert!(skipped > 0, "an enrollment without {calls:?}");
                    break;
                }
            }
        }
    }
    stage.assert_recovers(&devices, &given).await;
}

/// A small file system of its own in the place of the data directory. Needs root, as CI has it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn in_place_of(data_dir: &Path) -> Self {
        fs::create_dir(data_dir).expect("a directory");
        mount(&["-t", "tmpfs", "-o", "size=6m,mode=700", "muster-test"], data_dir);
        Self(data_dir.to_owned())
    }

    /// Takes all that is left; until the file is removed.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = File::create(&ballast).expect("a file");
        while file.write_all(&[0; 512]).is_ok() {}
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], place: &Path) {
    let output = Command::new("mount").args(arguments).arg(place).output().expect("mount runs");
    assert!(output.status.success(), "mount, as root: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_without_space_is_survived() {
    let mut service = Service::prepare("");
    let disk = SmallDisk::in_place_of(&service.data_dir());
    service.launch();
    let mut stage = Stage::set(service);
    let ballast = disk.0.join("ballast");
    is_survived(&mut stage, Meanwhile::PutOff, || _ = disk.fill(), || fs::remove_file(&ballast).expect("a file")).await;
    stage.service.kill();
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_read_only_file_system_says_why_and_a_later_one_finds_everything() {
    let mut service = Service::prepare("");
    let disk = SmallDisk::in_place_of(&service.data_dir());
    service.launch();
    let mut stage = Stage::set(service);
    let device = Device::new("device");
    let answer = stage.enroll(&device).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    stage.service.kill();

    mount(&["-o", "remount,ro"], &disk.0);
    let refused = stage.service.command().output().expect("the binary runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.to_lowercase().contains("read-only"), "{said}");

    mount(&["-o", "remount,rw"], &disk.0);
    stage.service.launch();
    stage.assert_recovers(&[device], &[Given::by(&answer)]).await;
    stage.service.kill();
    drop(disk);
}
