//! A new pepper under devices that come all the time, restarts and kills; and the end of the one before.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::{JoinHandle, block_in_place};

use super::{back_up, done, elsewhere, file_of, refused, restore, stderr, with_data_dir};
use crate::support::device::try_post;
use crate::support::postgres::Cluster;
use crate::support::{Device, Endpoint, Random, Service, eventually};

const KIND: &str = "machine";

/// Of a key that devices were given by another service.
const FOREIGN: &str = "2|api.private.example.com|Zm9yZWlnbi1mb3JlaWduLWZvcmVpZ24tZm9yZWlnbg-1234567890123456789";

/// How many are at work on each key at a time.
const DEVICES: usize = 3;

fn pepper(service: &Service, words: &[&str]) -> Command {
    let mut command = with_data_dir(&[&["pepper"], words].concat(), &service.data_dir());
    command.arg("--config").arg(service.dir().join("config.toml"));
    command
}

fn reported(command: Command) -> Value {
    serde_json::from_slice(&done(command).stdout).expect("JSON")
}

/// Numbers of the peppers, newest first, each with its keys and API clients.
fn shown(service: &Service) -> Vec<[u64; 3]> {
    let report = reported(pepper(service, &["show", "--json"]));
    let number = |value: &Value| value.as_str().unwrap().parse().unwrap();
    let counts = |pepper: &Value| ["number", "keyCount", "apiClientCount"].map(|member| number(&pepper[member]));
    report["peppers"].as_array().unwrap().iter().map(counts).collect()
}

fn names(report: &Value, which: &str) -> Vec<String> {
    let keys = report[which]["keys"].as_array().unwrap().iter();
    keys.map(|key| key["name"].as_str().unwrap().to_owned()).collect()
}

fn import(service: &Service, name: &str, string: &str) {
    let import = ["key", "import", "--kind", KIND, "--group", "HQ", "--name", name, "--key-file", "-"];
    let mut command = with_data_dir(&import, &service.data_dir());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(string.as_bytes()).expect("it reads the key");
    assert!(child.wait().expect("it ends").success(), "import of {name}");
}

/// A key that is kept, one that is not, and one from elsewhere.
fn keys(service: &Service) -> [String; 3] {
    service.create_group(KIND, "HQ");
    let kept = service.create_key(KIND, "HQ", "kept", &[]);
    let secret = service.create_key(KIND, "HQ", "secret", &["--no-view"]);
    import(service, "foreign", FOREIGN);
    [kept, secret, FOREIGN.to_owned()]
}

/// Status and code, or none: as devices do, it comes again when there was no answer, or no time for it.
async fn told(device: &Device, endpoint: &Endpoint, key: &str) -> (u16, String) {
    loop {
        match try_post(endpoint, &device.request(key)).await {
            Some(answer) if answer.status == 200 => return (200, String::new()),
            Some(answer) if answer.status != 503 => return (answer.status, answer.code()),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Devices that enroll one after the other until they are told to stop; whatever is refused is told.
struct Crowd {
    stop: Arc<AtomicBool>,
    enrolled: Arc<AtomicU32>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

impl Crowd {
    fn begin(named: &'static str, endpoints: &[Endpoint], keys: &[String]) -> Self {
        let (stop, enrolled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let mut tasks = Vec::new();
        for (k, key) in keys.iter().enumerate() {
            for d in 0..DEVICES {
                let endpoint = endpoints[d % endpoints.len()].clone();
                let (stop, enrolled, key) = (Arc::clone(&stop), Arc::clone(&enrolled), key.clone());
                tasks.push(tokio::spawn(async move {
                    let mut refused = Vec::new();
                    for n in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        match told(&Device::new(&format!("{named}-{k}-{d}-{n}")), &endpoint, &key).await {
                            (200, _) => drop(enrolled.fetch_add(1, Ordering::Relaxed)),
                            (status, code) => refused.push(format!("key {k}: {status} {code}")),
                        }
                    }
                    refused
                }));
            }
        }
        Self { stop, enrolled, tasks }
    }

    fn enrolled(&self) -> u32 {
        self.enrolled.load(Ordering::Relaxed)
    }

    /// How many enrolled; nobody was refused.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut refused = Vec::new();
        for task in self.tasks {
            refused.extend(task.await.expect("no panic"));
        }
        assert_eq!(refused, Vec::<String>::new());
        self.enrolled.load(Ordering::Relaxed).into()
    }
}

fn until_one_is_left(service: &Service, number: u64) {
    eventually("the older pepper to go", || {
        let shown = shown(service);
        (shown.len() == 1 && shown[0][0] == number).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn devices_enroll_before_during_and_after_a_rotation() {
    let service = Service::start();
    let keys = block_in_place(|| keys(&service));
    let limited = block_in_place(|| service.create_key(KIND, "HQ", "limited", &["--max-uses", "20", "--no-view"]));
    assert_eq!(shown(&service), [[1, 4, 1]]);
    let crowd = Crowd::begin("device", &[service.endpoint()], &keys);
    block_in_place(|| eventually("the crowd to come", || (crowd.enrolled() > 20).then_some(())));
    for number in 2..=3 {
        let report = block_in_place(|| reported(pepper(&service, &["rotate", "--json"])));
        assert_eq!(report["peppers"].as_array().unwrap().len(), 2, "{report}");
        if number == 2 {
            // Its count is exact while its digest moves.
            let racers: Vec<_> = (0..40)
                .map(|n| {
                    let (endpoint, key) = (service.endpoint(), limited.clone());
                    tokio::spawn(async move { told(&Device::new(&format!("racer-{n}")), &endpoint, &key).await.0 })
                })
                .collect();
            let mut enrolled = 0;
            for racer in racers {
                enrolled += u32::from(racer.await.unwrap() == 200);
            }
            assert_eq!(enrolled, 20);
        } else {
            let key = &limited;
            assert_eq!(Device::new("one-more").enroll(&service.endpoint(), key).await.code(), "key-exhausted");
        }
        // The client signs in by being asked something.
        assert_eq!(block_in_place(|| service.uses(KIND, "limited")), 20);
        block_in_place(|| until_one_is_left(&service, number));
    }
    let before = crowd.enrolled();
    block_in_place(|| eventually("the crowd to go on", || (crowd.enrolled() > before + 20).then_some(())));
    let enrolled = crowd.end().await;
    let uses: u64 = block_in_place(|| ["kept", "secret", "foreign"].map(|name| service.uses(KIND, name)).iter().sum());
    assert_eq!(uses, enrolled);
    // Nobody brings the string a second time, and what was never a key is none.
    let again = block_in_place(|| {
        let import = ["key", "import", "--kind", KIND, "--group", "HQ", "--name", "again"];
        let mut command = with_data_dir(&import, &service.data_dir());
        command.env("MUSTER_PROVISIONING_KEY", FOREIGN);
        refused(command)
    });
    assert!(again.contains("duplicate.resource.name"), "{again}");
    let wrong = Device::new("wrong").enroll(&service.endpoint(), &FOREIGN.replace("Zm9", "Zn9")).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (401, "invalid-key"));
    block_in_place(|| service.assert_healthy());
}

/// Whoever dies in the midst of it, the next start goes on; keys that are not kept move when they come.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_goes_on_after_kills_and_restarts() {
    let mut random = Random::seeded();
    let mut service = Service::start();
    let keys = block_in_place(|| keys(&service));
    block_in_place(|| {
        for n in 0..3 {
            service.create_key(KIND, "HQ", &format!("k{n}"), &[]);
        }
        // Without a service the command changes the store itself; who serves does the rest.
        assert!(service.stop().success());
        let report = reported(pepper(&service, &["rotate", "--json"]));
        assert_eq!(report["peppers"][1]["keyCount"], "6", "{report}");
        assert_eq!(report["peppers"][1]["apiClientCount"], "1", "{report}");
        for _ in 0..4 {
            service.launch();
            std::thread::sleep(Duration::from_millis(random.below(2_500)));
            service.kill();
            service.assert_healthy();
        }
        service.launch();
        eventually("what is kept to move", || (shown(&service)[0][1] == 4).then_some(()));
        let report = reported(pepper(&service, &["show", "--json"]));
        assert_eq!(names(&report, "left"), ["secret", "foreign"]);
        let doctor = stderr(&service.cli(&["doctor"]));
        assert!(doctor.contains("2 provisioning keys and 1 API clients are left under number 1"), "{doctor}");
        let early = refused(pepper(&service, &["rotate"]));
        assert!(early.contains("2 provisioning keys and 1 API clients are left under number 1"), "{early}");
        let told = stderr(&service.cli(&["secrets", "show"]));
        assert!(told.contains("Pepper 1: 2 provisioning keys and 1 API clients"), "{told}");
    });
    // A backup of that moment holds both.
    let backup = block_in_place(|| back_up(&service, &service.dir().join("backup")));
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(Device::new(&format!("device-{n}")).enroll(&service.endpoint(), key).await.status, 200, "key {n}");
    }
    block_in_place(|| {
        eventually("those that came to move", || (shown(&service)[1][1] == 0).then_some(()));
        service.kill();
        service.launch();
        assert_eq!(service.uses(KIND, "secret"), 1);
        until_one_is_left(&service, 2);
    });
    let mut other = elsewhere(&service, "");
    block_in_place(|| {
        done(restore(&file_of(&backup), &other.data_dir()));
        other.launch();
        assert_eq!(shown(&other), [[2, 4, 0], [1, 2, 1]]);
    });
    for (n, key) in keys.iter().enumerate() {
        for node in [&service, &other] {
            assert_eq!(Device::new(&format!("after-{n}")).enroll(&node.endpoint(), key).await.status, 200, "key {n}");
        }
    }
    block_in_place(|| {
        eventually("those that came to move", || (shown(&other)[1][1] == 0).then_some(()));
        other.assert_healthy();
        service.assert_healthy();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_came_is_refused_when_the_rotation_is_ended() {
    let service = Service::start();
    let [kept, secret, foreign] = block_in_place(|| keys(&service));
    let device = Device::new("device");
    assert_eq!(device.enroll(&service.endpoint(), &foreign).await.status, 200);
    block_in_place(|| {
        let none = refused(pepper(&service, &["finish", "--yes"]));
        assert!(none.contains("no pepper is being rotated"), "{none}");
        done(pepper(&service, &["rotate"]));
        eventually("what is kept to move", || (shown(&service)[0][1] == 1).then_some(()));
        service.key(KIND, "kept");
        let unasked = pepper(&service, &["finish"]).output().expect("the binary runs");
        assert_eq!(unasked.status.code(), Some(2), "{}", stderr(&unasked));
        let report = reported(pepper(&service, &["finish", "--yes", "--json"]));
        assert_eq!(names(&report, "lost"), ["secret", "foreign"]);
    });
    assert_eq!(shown(&service), [[2, 1, 1]]);
    for key in [&secret, &foreign] {
        let answer = device.enroll(&service.endpoint(), key).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid-key"));
    }
    assert_eq!(Device::new("other").enroll(&service.endpoint(), &kept).await.status, 200);
    let successor = block_in_place(|| {
        let lost = String::from_utf8(done(pepper(&service, &["show"])).stdout).unwrap();
        assert!(lost.contains("accepted no more") && lost.contains("foreign"), "{lost}");
        let refused = stderr(&service.cli(&["key", "edit", "--kind", KIND, "--enable", "secret"]));
        assert!(refused.contains("the key string went with its pepper"), "{refused}");
        let successor = service.cli_ok(&["key", "rotate", "--kind", KIND, "secret"]);
        service.cli_ok(&["key", "edit", "--kind", KIND, "--enable", "secret-2"]);
        service.cli_ok(&["key", "delete", "--yes", "--kind", KIND, "foreign"]);
        // The string is nobody's any more.
        import(&service, "foreign again", FOREIGN);
        successor
    });
    for key in [&successor, &foreign] {
        assert_eq!(device.enroll(&service.endpoint(), key).await.status, 200);
    }
    block_in_place(|| service.assert_healthy());
}

/// A node that stood still while the others rotated knows neither the pepper nor where its keys went. It refuses none.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_told_late_refuses_no_good_key() {
    let database = block_in_place(|| Cluster::shared().database());
    let config = format!("[store]\nengine = \"postgres\"\nurl = {:?}\nconnections_max = 8\n", database.url());
    let one = Service::start_with(&config);
    let mut two = elsewhere(&one, &config);
    two.launch();
    std::fs::copy(one.data_dir().join("api-client.json"), two.data_dir().join("api-client.json")).unwrap();
    let keys = block_in_place(|| keys(&one));
    let crowd = Crowd::begin("one", &[one.endpoint()], &keys);
    let on_both = Crowd::begin("both", &[one.endpoint(), two.endpoint()], &keys[..1]);
    block_in_place(|| eventually("the crowds to come", || (on_both.enrolled() > 10).then_some(())));
    let enrolled = on_both.end().await;
    two.signal("STOP");
    block_in_place(|| {
        done(pepper(&one, &["rotate"]));
        eventually("all keys to move", || (shown(&one).last()?[1] == 0).then_some(()));
    });
    // With connections that wait when it goes on: the first that it does.
    let late = Crowd::begin("late", &[two.endpoint()], &keys);
    tokio::time::sleep(Duration::from_millis(300)).await;
    two.signal("CONT");
    block_in_place(|| {
        eventually("the other node's devices to come", || (late.enrolled() > 30).then_some(()));
        // The client signs in on both: the one that was late lets nothing move before it must know that all have heard.
        assert!(two.uses(KIND, "kept") > 0);
        assert!(one.uses(KIND, "kept") > 0);
        until_one_is_left(&one, 2);
    });
    let enrolled = enrolled + late.end().await + crowd.end().await;
    block_in_place(|| {
        let uses: u64 = ["kept", "secret", "foreign"].map(|name| one.uses(KIND, name)).iter().sum();
        assert_eq!(uses, enrolled);
        one.assert_healthy();
    });
}
