//! No descriptors left: whoever gets a connection gets an answer, the others are not served for a while, and nothing
//! is lost or taken twice.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::io::AsyncWriteExt as _;
use tokio::task::block_in_place;

use crate::support::device::{connect, http_request, read_answer, try_post};
use crate::support::storm::footprint;
use crate::support::{Device, Service, eventually, patiently};

/// A device that has no connection by then is not served.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the process is left beside those that it has.
const LEFT: usize = 24;

/// Connections that say nothing, to each listener.
const SILENT: usize = 40;

const DEVICES: usize = 20;

fn limit(service: &Service, descriptors: Option<usize>) {
    let pid = Pid::from_raw(service.pid().cast_signed()).expect("a process");
    // The soft limit alone: the service may not raise it while it runs, and the test may.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = descriptors.map_or(maximum, |descriptors| Some(descriptors as u64));
    prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum }).expect("its limit");
}

fn silent(address: SocketAddr) -> impl Iterator<Item = TcpStream> {
    (0..SILENT).filter_map(move |_| TcpStream::connect(address).ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_descriptors_loses_nothing_and_goes_on_when_there_are_some() {
    let mut service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &["--max-uses", &DEVICES.to_string()]);
    let devices: Vec<_> = (0..DEVICES).map(|n| Device::new(&format!("device-{n}"))).collect();
    let (descriptors, _) = footprint(service.pid());

    limit(&service, Some(descriptors + LEFT));
    let held: Vec<_> = [service.enroll, service.admin, service.metrics].into_iter().flat_map(silent).collect();
    block_in_place(|| {
        eventually("the descriptors to run out", || {
            (footprint(service.pid()).0 >= descriptors + LEFT || service.log().contains("cannot be accepted"))
                .then_some(())
        });
    });
    // Most get no connection within the time that a device would wait; those that do are answered.
    let endpoint = service.endpoint();
    let mut answered = 0;
    for device in &devices[..4] {
        let request = device.request(&key);
        if let Ok(Some(answer)) = tokio::time::timeout(PATIENCE, try_post(&endpoint, &request)).await {
            assert!([200, 503].contains(&answer.status), "{}", answer.body);
            answered += u32::from(answer.status == 200);
        }
    }
    assert!(answered < 4 || service.log().contains("cannot be accepted"), "there were descriptors enough");

    drop(held);
    limit(&service, None);
    for device in &devices {
        let answer = device.enroll(&endpoint, &key).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(device.enroll(&endpoint, &key).await.text("outcome"), "replayed");
    }
    assert_eq!(Device::new("late").enroll(&endpoint, &key).await.code(), "key-exhausted");
    block_in_place(|| {
        eventually("the descriptors to be closed", || (footprint(service.pid()).0 <= descriptors + 8).then_some(()));
    });
    assert_eq!(service.ops("/readyz").0, 200);
    assert_eq!(service.uses("machine", "k"), DEVICES as u64);
    service.assert_healthy();

    service.kill();
    service.launch();
    assert_eq!(devices[0].enroll(&service.endpoint(), &key).await.text("outcome"), "replayed");
}

/// The store opens connections to its file now and then; here it cannot. It says 503, and keeps what it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_can_open_no_file_is_survived() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &[]);
    let device = Device::new("device");
    assert_eq!(device.enroll(&service.endpoint(), &key).await.status, 200);
    // A connection that is there before there is no room for another.
    let mut stream = connect(&service.endpoint()).await.expect("a connection");
    limit(&service, Some(1));
    let second = Device::new("second");
    let request = http_request(second.request(&key).to_string().as_bytes());
    stream.write_all(&request).await.expect("a request");
    let answer = patiently("an answer", read_answer(&mut stream)).await.expect("a whole answer");
    assert!([200, 503].contains(&answer.status), "{}", answer.body);

    limit(&service, None);
    for device in [&second, &device] {
        let answer = device.enroll(&service.endpoint(), &key).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(service.uses("machine", "k"), 2);
    service.assert_healthy();
}

/// A table that grows in the midst of a storm stops all threads each time it doubles.
#[test]
fn the_table_of_descriptors_has_its_size_from_the_start() {
    let service = Service::start_with("[enroll]\nconnections_max = 3000\n");
    let status = fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("the process runs");
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).expect("the field is there");
    assert!(size.trim().parse::<u64>().expect("a number") >= 3_000, "{size}");
}
