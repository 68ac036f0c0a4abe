//! The database away, silent, read-only, full, slow: who is told what, nothing is lost, and the node recovers by
//! itself.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Nodes, retry_after};
use crate::support::postgres::{Cluster, Database, Durability, Proxy, connect};
use crate::support::{Answer, Device, Endpoint, eventually, patiently};

const KIND: &str = "machine";

/// In trouble, every answer is there by then: the service's own bound is 10 s, and a machine may be slow.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// Memory that was last confirmed so long ago proves nothing: 5 s, and a second for a slow machine.
const BELIEVED_TIME_MAX: Duration = Duration::from_secs(6);

/// Devices that come at once while there is trouble.
const DEVICES: usize = 8;

/// Between one false key and the next: a limit stands against more than a few a second.
const PAUSE: Duration = Duration::from_millis(100);

/// A node whose way to its database can be broken.
struct Stage {
    door: Door,
    nodes: Nodes,
    proxy: Proxy,
    database: Database,
}

/// Where devices enroll, and with which key.
#[derive(Clone)]
struct Door {
    endpoint: Endpoint,
    key: String,
}

/// Is over when it is dropped, however the test ends.
struct Trouble<'a>(Box<dyn Fn() + 'a>);

impl<'a> Trouble<'a> {
    fn until(end: impl Fn() + 'a) -> Self {
        Self(Box::new(end))
    }
}

impl Drop for Trouble<'_> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// What becomes of a key string that nobody knows, while there is trouble.
#[derive(PartialEq, Eq)]
enum Unknown {
    /// The database is read: 401.
    IsRefused,
    /// 401 as long as memory was confirmed of late, then 503.
    IsPutOff,
}

impl Stage {
    fn set(cluster: &Cluster) -> Self {
        Self::set_with(cluster, "")
    }

    /// With these lines in the node's configuration file.
    fn set_with(cluster: &Cluster, config: &str) -> Self {
        let database = cluster.database();
        let proxy = Proxy::start(database.address());
        let nodes = Nodes::start_with(&database.url_at(proxy.address()), 1, config);
        nodes[0].create_group(KIND, "HQ");
        let key = nodes[0].create_key(KIND, "HQ", "k", &[]);
        Self { door: Door { endpoint: nodes[0].endpoint(), key }, nodes, proxy, database }
    }

    /// `ready` and `store` of `/readyz`, whose status says the same.
    fn readiness(&self) -> (bool, bool) {
        let (status, body) = self.nodes[0].ops("/readyz");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let [ready, store] = ["ready", "store"].map(|part| body[part].as_bool().expect("a flag"));
        assert_eq!(status, if ready { 200 } else { 503 }, "{body}");
        (ready, store)
    }

    fn assert_uses(&self, uses: u64) {
        assert_eq!(self.nodes[0].uses(KIND, "k"), uses);
        self.nodes[0].assert_healthy();
    }
}

impl Door {
    async fn enroll(&self, device: &Device) -> Answer {
        self.present(device, &self.key).await
    }

    /// With a key string that nobody knows.
    async fn enroll_falsely(&self) -> Answer {
        self.present(&Device::new("false"), &format!("3|localhost:8443|{}", "A".repeat(96))).await
    }

    async fn present(&self, device: &Device, key: &str) -> Answer {
        let asked = Instant::now();
        let answer = device.enroll(&self.endpoint, key).await;
        assert!(asked.elapsed() < ANSWER_TIME_MAX, "{:?}: {}", asked.elapsed(), answer.body);
        answer
    }

    async fn put_off(&self, device: &Device) {
        assert_put_off(&self.enroll(device).await);
    }
}

fn assert_put_off(answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (503, "store-unavailable"), "{}", answer.body);
    retry_after(answer);
}

/// The same for every trouble that `begin` makes.
async fn is_survived<'a>(stage: &'a Stage, unknown: Unknown, begin: impl FnOnce() -> Trouble<'a>) {
    let door = &stage.door;
    let known = Device::new("known");
    assert_eq!(door.enroll(&known).await.text("outcome"), "enrolled");
    assert_eq!(stage.readiness(), (true, true));

    let trouble = begin();
    let began = Instant::now();
    assert_eq!(door.enroll_falsely().await.status, 401, "memory was confirmed a moment ago");
    let putting_off: Vec<_> = (0..DEVICES)
        .map(|n| {
            let (door, device) = (door.clone(), Device::new(&format!("new-{n}")));
            tokio::spawn(async move {
                door.put_off(&device).await;
                device
            })
        })
        .collect();
    let mut devices = Vec::new();
    for device in putting_off {
        devices.push(device.await.expect("it is put off"));
    }
    door.put_off(&known).await;
    eventually("the node not to be ready", || (stage.readiness() == (false, false)).then_some(()));
    assert_eq!(stage.nodes[0].ops("/healthz").0, 200, "a restart would not help");
    match unknown {
        Unknown::IsRefused => assert_eq!(door.enroll_falsely().await.status, 401),
        Unknown::IsPutOff => {
            let answer = loop {
                let age = began.elapsed();
                let answer = door.enroll_falsely().await;
                if answer.status != 401 {
                    break answer;
                }
                assert!(age < BELIEVED_TIME_MAX, "memory is {age:?} old");
                tokio::time::sleep(PAUSE).await;
            };
            assert_put_off(&answer);
        }
    }

    drop(trouble);
    eventually("the node to be ready again", || (stage.readiness() == (true, true)).then_some(()));
    assert_eq!(door.enroll(&known).await.text("outcome"), "replayed");
    for device in &devices {
        assert_eq!(door.enroll(device).await.status, 200, "whether its first attempt was committed or not");
        assert_eq!(door.enroll(device).await.text("outcome"), "replayed");
    }
    assert_eq!(door.enroll_falsely().await.status, 401);
    stage.assert_uses(1 + DEVICES as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_survived() {
    let stage = Stage::set(Cluster::shared());
    let begin = || {
        stage.proxy.refuse();
        stage.proxy.sever();
        Trouble::until(|| stage.proxy.pass())
    };
    is_survived(&stage, Unknown::IsPutOff, begin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_silent_is_survived() {
    let stage = Stage::set(Cluster::shared());
    let begin = || {
        stage.proxy.stall();
        Trouble::until(|| stage.proxy.pass())
    };
    is_survived(&stage, Unknown::IsPutOff, begin).await;
}

/// A trouble that lies in a setting of the server: not of the shared one, as all its databases have it.
async fn a_setting_is_survived(name: &str, value: &str) {
    let stage = Stage::set(&Cluster::start(Durability::Memory));
    let set = |value: &str| {
        stage.database.query(&format!("ALTER SYSTEM SET {name} = {value}"));
        stage.database.query("SELECT pg_reload_conf()");
    };
    let begin = || {
        set(value);
        Trouble::until(|| set("DEFAULT"))
    };
    is_survived(&stage, Unknown::IsRefused, begin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_survived() {
    a_setting_is_survived("default_transaction_read_only", "on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_no_standby_confirms_are_survived() {
    a_setting_is_survived("synchronous_standby_names", "away").await;
}

/// What a server says that cannot make a file longer, whoever runs these tests.
const DISK_FULL: &str = "
CREATE FUNCTION disk_full() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END $$;";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_survived() {
    let on_each_table = "
DO $$
DECLARE
    name TEXT;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TRIGGER disk_full BEFORE INSERT OR UPDATE ON %I EXECUTE FUNCTION disk_full()', name);
    END LOOP;
END $$";
    let stage = Stage::set(Cluster::shared());
    let begin = || {
        stage.database.query(&format!("{DISK_FULL}{on_each_table}"));
        Trouble::until(|| _ = stage.database.query("DROP FUNCTION disk_full CASCADE"))
    };
    is_survived(&stage, Unknown::IsRefused, begin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_devices_wait_than_may() {
    let stage = Stage::set_with(Cluster::shared(), "[enroll]\nin_flight_max = 2\n");
    stage.proxy.stall();
    let asking: Vec<_> = (0..DEVICES)
        .map(|n| {
            let door = stage.door.clone();
            tokio::spawn(async move { door.enroll(&Device::new(&format!("device-{n}"))).await })
        })
        .collect();
    let mut codes = Vec::new();
    for asked in asking {
        let answer = asked.await.expect("an answer");
        retry_after(&answer);
        codes.push(answer.code());
    }
    codes.sort();
    assert_eq!(codes[..DEVICES - 2], ["overloaded"; DEVICES - 2]);
    assert_eq!(codes[DEVICES - 2..], ["store-unavailable"; 2]);
    stage.proxy.pass();
    patiently("an enrollment", async {
        while stage.door.enroll(&Device::new("late")).await.status != 200 {
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_commit_refuses_is_not_there() {
    let stage = Stage::set(Cluster::shared());
    let at_commit = "CREATE CONSTRAINT TRIGGER disk_full AFTER INSERT ON certificates DEFERRABLE INITIALLY DEFERRED
                     FOR EACH ROW EXECUTE FUNCTION disk_full()";
    stage.database.query(&format!("{DISK_FULL}{at_commit}"));
    let device = Device::new("device");
    stage.door.put_off(&device).await;
    stage.assert_uses(0);
    stage.database.query("DROP FUNCTION disk_full CASCADE");
    assert_eq!(stage.door.enroll(&device).await.text("outcome"), "enrolled");
    stage.assert_uses(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_somebody_holds_on_to_puts_its_devices_off() {
    let stage = Stage::set(Cluster::shared());
    let holder = connect(&stage.database.url()).await.expect("a connection");
    holder.batch_execute("BEGIN; SELECT FROM key_counters FOR UPDATE").await.expect("the key's lock");
    let device = Device::new("device");
    stage.door.put_off(&device).await;
    holder.batch_execute("ROLLBACK").await.expect("an answer");
    assert_eq!(stage.door.enroll(&device).await.text("outcome"), "enrolled");
    stage.assert_uses(1);
}
