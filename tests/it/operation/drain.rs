//! SIGTERM: what was accepted is finished, then the process ends well.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::io::AsyncWriteExt as _;
use tokio::task::block_in_place;

use super::{Process, eventually, patiently};
use crate::support::device::{connect, http_request, read_answer};
use crate::support::{Device, Endpoint, Service};

fn service() -> (Service, String) {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &[]);
    (service, key)
}

/// One device after the other, until the service accepts no more. Fingerprint and serial number of each.
async fn enroll_until_closed(
    task: usize,
    endpoint: Endpoint,
    key: String,
    answered: Arc<AtomicUsize>,
) -> BTreeMap<String, String> {
    let mut enrolled = BTreeMap::new();
    for n in 0.. {
        let device = Device::new(&format!("drain-{task}-{n}"));
        let request = http_request(device.request(&key).to_string().as_bytes());
        let Some(mut stream) = connect(&endpoint).await else { break };
        // The handshake was finished, so the connection was accepted: from here on there is an answer.
        stream.write_all(&request).await.expect("the request is taken");
        let answer = patiently("an answer", read_answer(&mut stream)).await.expect("a whole answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
        enrolled.insert(device.fingerprint.clone(), answer.text("serialNumber"));
        answered.fetch_add(1, Ordering::SeqCst);
    }
    enrolled
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_accepted_request_is_answered_and_kept() {
    let (mut service, key) = service();
    let answered = Arc::new(AtomicUsize::new(0));
    let devices: Vec<_> = (0..12)
        .map(|task| {
            let (endpoint, key, answered) = (service.endpoint(), key.clone(), Arc::clone(&answered));
            tokio::spawn(enroll_until_closed(task, endpoint, key, answered))
        })
        .collect();
    block_in_place(|| eventually("a few enrollments", || (answered.load(Ordering::SeqCst) >= 60).then_some(())));
    let started = Instant::now();
    let status = block_in_place(|| service.stop());
    assert_eq!(status.code(), Some(0));
    assert!(started.elapsed().as_secs() < 30, "within drain_timeout");

    let mut enrolled = BTreeMap::new();
    for task in devices {
        enrolled.extend(task.await.expect("every request was answered whole"));
    }
    assert!(!service.dir().join("ready.json").exists() && !service.data_dir().join("serve.json").exists());
    let log = std::fs::metadata(service.data_dir().join("muster.db-wal")).map_or(0, |file| file.len());
    assert_eq!(log, 0, "the write-ahead log was brought into the store");

    service.launch();
    assert_eq!(service.uses("machine", "k"), enrolled.len() as u64, "counted are those that were answered, no more");
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_half_sent_is_finished() {
    let (mut service, key) = service();
    let device = Device::new("slow");
    let request = http_request(device.request(&key).to_string().as_bytes());
    let (first, rest) = request.split_at(request.len() / 2);
    let mut stream = connect(&service.endpoint()).await.expect("a connection");
    stream.write_all(first).await.unwrap();
    stream.flush().await.unwrap();
    block_in_place(|| {
        service.signal("TERM");
        let address = service.enroll;
        eventually("the port to close", || TcpStream::connect(address).is_err().then_some(()));
    });
    stream.write_all(rest).await.unwrap();
    let answer = patiently("an answer", read_answer(&mut stream)).await.expect("a whole answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    drop(stream);
    assert_eq!(block_in_place(|| service.wait()).code(), Some(0));
    service.launch();
    assert_eq!(device.enroll(&service.endpoint(), &key).await.text("outcome"), "replayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_holds_the_end_up_for_the_drain_timeout_only() {
    let mut service = Service::start_with("drain_timeout = 1\n");
    let silent = connect(&service.endpoint()).await.expect("a connection");
    let not_even_a_hello = TcpStream::connect(service.enroll).unwrap();
    let started = Instant::now();
    assert_eq!(block_in_place(|| service.stop()).code(), Some(0));
    assert!(started.elapsed().as_secs() < 9, "before the deadlines of silence itself");
    drop((silent, not_even_a_hello));
}

#[test]
fn the_ready_file_appears_when_all_accept_and_goes_with_the_service() {
    let mut service = Service::prepare("");
    let ready = service.dir().join("ready.json");
    std::fs::write(&ready, "of a run that was killed").unwrap();
    let mut process = Process::spawn(service.command().stderr(Stdio::null()));
    let value: serde_json::Value = eventually("the ready file", || {
        // Whatever is read is whole: the stale text, nothing, or the addresses.
        let text = std::fs::read_to_string(&ready).ok().filter(|text| !text.starts_with("of a run"))?;
        Some(serde_json::from_str(&text).expect("the file appears whole"))
    });
    for listener in ["enroll", "admin", "metrics"] {
        let address: SocketAddr = value[listener].as_str().unwrap().parse().unwrap();
        TcpStream::connect(address).unwrap_or_else(|error| panic!("{listener}: {error}"));
    }
    assert_eq!(value["pid"], process.0.id());
    process.terminate();
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    assert!(!ready.exists());

    // What SIGKILL leaves is overwritten by the next run.
    service.launch();
    service.kill();
    assert!(ready.exists() && service.data_dir().join("serve.json").exists());
    service.launch();
    service.create_group("machine", "HQ");
}
