//! An agent against a door of its own, through what happens to devices. Pauses are ended by waking it.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::client::test_door::{Act, Door};
use crate::clock::SystemClock;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Running {
    events: mpsc::UnboundedReceiver<String>,
    wake: Option<mpsc::Sender<()>>,
    task: JoinHandle<()>,
}

/// An agent's settings, with what tests change.
struct Given {
    key: Option<String>,
    rekey: bool,
    command: Option<String>,
    command_timeout: Duration,
}

impl Default for Given {
    fn default() -> Self {
        Self { key: None, rekey: false, command: None, command_timeout: PATIENCE }
    }
}

impl Given {
    fn key(door: &Door) -> Self {
        Self { key: Some(door.key().expose().to_owned()), ..Self::default() }
    }

    fn command(command: &str) -> Self {
        Self { command: Some(command.to_owned()), ..Self::default() }
    }

    fn start(self, directory: &Path) -> Running {
        let key = Mutex::new(self.key);
        let settings = Settings {
            connect: None,
            trust: None,
            fingerprint: Some(Fingerprint::new("device-00000000001").unwrap()),
            hostname: None,
            rekey: self.rekey,
            on_change: self.command.map(|command| OnChange { command, timeout: self.command_timeout }),
            find_key: Box::new(move || match &*key.lock().unwrap() {
                Some(text) => Ok(KeySecret::from_text(text.clone().into())),
                None => Err("no key".to_owned()),
            }),
        };
        let agent = Agent::new(StateDir::open(directory).unwrap(), settings, Arc::new(SystemClock)).unwrap();
        let (wake, wakes) = mpsc::channel(1);
        let (tell, events) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            agent.run(wakes, &mut |event| _ = tell.send(words(&event))).await;
        });
        Running { events, wake: Some(wake), task }
    }
}

/// As few words as tell it.
fn words(event: &Event<'_>) -> String {
    match event {
        Event::Holding { .. } => "holding".to_owned(),
        Event::Enrolling { .. } => "enrolling".to_owned(),
        Event::Connecting { .. } => "connecting".to_owned(),
        Event::Changed { record, .. } => record.outcome.clone(),
        Event::NotRenewed { error } => format!("not renewed: {error}"),
        Event::Failed { error, pause, .. } if *pause > Duration::from_secs(1_800) => format!("an hour: {error}"),
        Event::Failed { error, .. } => format!("a moment: {error}"),
        Event::ClockDiffers { seconds } => format!("clock: {seconds}"),
        Event::CommandFailed { error, .. } => format!("command: {error}"),
    }
}

impl Running {
    /// The next thing that is told, but for connections and attempts.
    async fn told(&mut self) -> String {
        loop {
            let told = timeout(PATIENCE, self.events.recv()).await.expect("nothing is told").expect("it ended");
            if told != "connecting" && told != "enrolling" {
                return told;
            }
        }
    }

    async fn wake(&self) {
        self.wake.as_ref().unwrap().send(()).await.unwrap();
    }

    async fn stop(mut self) {
        self.wake = None;
        timeout(PATIENCE, self.task).await.expect("it goes on").unwrap();
    }
}

fn serial_number(directory: &Path) -> String {
    StateDir::open(directory).unwrap().certificate().unwrap().expect("a certificate and its key").serial_number
}

/// Waits for a file, as another process makes it.
async fn content(path: &Path) -> String {
    let read = async {
        loop {
            match fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') => return text,
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("{} is not written", path.display()))
}

#[tokio::test]
async fn it_enrolls_and_then_renews_what_is_due() {
    let door = Door::open("localhost", [Act::AnswerDue, Act::AnswerDue, Act::Answer]).await;
    let directory = tempfile::tempdir().unwrap();
    let mut agent = Given::key(&door).start(directory.path());
    for expected in ["enrolled", "renewed", "renewed"] {
        assert_eq!(agent.told().await, expected);
    }
    agent.stop().await;
    let seen = door.seen();
    assert_eq!(
        seen.iter().map(|seen| seen.path.as_str()).collect::<Vec<_>>(),
        ["/v1/enroll", "/v1/renew", "/v1/renew"]
    );
}

#[tokio::test]
async fn a_good_certificate_is_kept_without_a_connection_until_somebody_asks() {
    let door = Door::open("localhost", [Act::Answer, Act::Answer]).await;
    let directory = tempfile::tempdir().unwrap();
    let mut agent = Given::key(&door).start(directory.path());
    assert_eq!(agent.told().await, "enrolled");
    agent.stop().await;

    let mut agent = Given { rekey: true, ..Given::default() }.start(directory.path());
    assert_eq!(agent.told().await, "holding");
    assert_eq!(door.calls(), 1);
    agent.wake().await;
    assert_eq!(agent.told().await, "rekeyed");
    agent.stop().await;
}

#[tokio::test]
async fn a_lost_answer_comes_again() {
    for rekey in [false, true] {
        let door = Door::open("localhost", [Act::AnswerDue, Act::Lose, Act::Answer]).await;
        let directory = tempfile::tempdir().unwrap();
        let mut agent = Given { rekey, ..Given::key(&door) }.start(directory.path());
        assert_eq!(agent.told().await, "enrolled");
        assert!(agent.told().await.starts_with("a moment: localhost is unreachable"));
        assert_eq!(agent.told().await, "replayed");
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    let busy = Act::Refuse(503, "overloaded", Some("3600"));
    let door = Door::open("localhost", [busy, Act::Answer]).await;
    let directory = tempfile::tempdir().unwrap();
    let mut agent = Given::key(&door).start(directory.path());
    assert_eq!(agent.told().await, "an hour: refused: http status 503, overloaded");
    agent.wake().await;
    assert_eq!(agent.told().await, "enrolled");
    agent.stop().await;
}

#[tokio::test]
async fn a_refusal_is_tried_again_after_an_hour_or_when_somebody_asks() {
    let refused = Act::Refuse(403, "component-disabled", None);
    let door = Door::open("localhost", [Act::AnswerDue, refused, Act::Answer]).await;
    let directory = tempfile::tempdir().unwrap();
    let mut agent = Given::key(&door).start(directory.path());
    assert_eq!(agent.told().await, "enrolled");
    assert_eq!(agent.told().await, "an hour: refused: http status 403, component-disabled");
    agent.wake().await;
    assert_eq!(agent.told().await, "renewed");
    agent.stop().await;
}

#[tokio::test]
async fn a_certificate_that_counts_no_more_leads_to_an_enrollment() {
    for (status, code) in [(401, "client-certificate-refused"), (403, "client-certificate-superseded")] {
        let door = Door::open("localhost", [Act::AnswerDue, Act::Refuse(status, code, None)]).await;
        let directory = tempfile::tempdir().unwrap();
        let mut agent = Given::key(&door).start(directory.path());
        assert_eq!(agent.told().await, "enrolled");
        let refused = format!("refused: http status {status}, {code}");
        assert_eq!(agent.told().await, format!("not renewed: {refused}"));
        assert!(agent.told().await.starts_with("a moment: localhost is unreachable"), "the script was over");
        // With the same key pair the same certificate comes: that is no reason to go round in circles.
        door.then([Act::Refuse(status, code, None), Act::Answer]);
        agent.wake().await;
        assert_eq!(agent.told().await, format!("not renewed: {refused}"));
        assert_eq!(agent.told().await, "an hour: the server gave the same certificate again");
        agent.stop().await;
        assert_eq!(door.seen().last().unwrap().path, "/v1/enroll");
    }
}

#[tokio::test]
async fn without_a_key_a_refused_certificate_is_kept_and_shown_again_after_an_hour() {
    let refused = Act::Refuse(401, "client-certificate-refused", None);
    let door = Door::open("localhost", [Act::Answer, refused, Act::Answer]).await;
    let directory = tempfile::tempdir().unwrap();
    let mut agent = Given::key(&door).start(directory.path());
    assert_eq!(agent.told().await, "enrolled");
    agent.stop().await;
    let serial = serial_number(directory.path());

    let mut agent = Given::default().start(directory.path());
    assert_eq!(agent.told().await, "holding");
    agent.wake().await;
    assert_eq!(agent.told().await, "not renewed: refused: http status 401, client-certificate-refused");
    assert_eq!(agent.told().await, "an hour: no key");
    agent.wake().await;
    assert_eq!(agent.told().await, "renewed", "it was a mistake");
    agent.stop().await;
    assert_ne!(serial_number(directory.path()), serial);
}

#[tokio::test]
async fn without_certificate_and_key_it_waits_for_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let mut agent = Given::default().start(directory.path());
    assert_eq!(agent.told().await, "a moment: no key");
    agent.wake().await;
    assert_eq!(agent.told().await, "a moment: no key");
    agent.stop().await;
}

#[tokio::test]
async fn another_clock_is_told_once_and_does_not_hinder() {
    let refused = Act::Refuse(403, "component-disabled", None);
    let door = Door::open("localhost", [refused, Act::AnswerDue, Act::Answer]).await;
    door.set_ahead(-7_200);
    let directory = tempfile::tempdir().unwrap();
    let mut agent = Given::key(&door).start(directory.path());
    let told = agent.told().await;
    let seconds: i64 = told.strip_prefix("clock: ").and_then(|text| text.parse().ok()).expect(&told);
    assert!((-7_202..=-7_198).contains(&seconds), "a refusal tells it, too: {told}");
    assert!(agent.told().await.starts_with("an hour: "));
    agent.wake().await;
    assert_eq!(agent.told().await, "enrolled");
    assert_eq!(agent.told().await, "renewed");
    agent.stop().await;
}

#[tokio::test]
async fn a_full_disk_costs_no_certificate() {
    let door = Door::open("localhost", [Act::Answer, Act::Answer, Act::Answer]).await;
    let directory = tempfile::tempdir().unwrap();
    let mut agent = Given::key(&door).start(directory.path());
    assert_eq!(agent.told().await, "enrolled");
    let in_the_way = directory.path().join(".cert.pem.new");
    fs::create_dir(&in_the_way).unwrap();
    agent.wake().await;
    assert!(agent.told().await.starts_with("a moment: "));
    fs::remove_dir(&in_the_way).unwrap();
    agent.wake().await;
    assert_eq!(agent.told().await, "replayed");
    agent.stop().await;
    serial_number(directory.path());
}

#[tokio::test]
async fn the_command_hears_of_each_certificate() {
    let door = Door::open("localhost", [Act::Answer, Act::Answer]).await;
    let directory = tempfile::tempdir().unwrap();
    let said = directory.path().join("said");
    let command = r#"echo "$MUSTER_OUTCOME $MUSTER_COMPONENT_ID $MUSTER_SERIAL_NUMBER $(cat "$MUSTER_CERT_FILE" "$MUSTER_KEY_FILE" | grep -c BEGIN)" >> said"#;
    let given = Given { command: Some(command.to_owned()), ..Given::key(&door) };
    let mut agent = given.start(directory.path());
    assert_eq!(agent.told().await, "enrolled");
    let first = content(&said).await;
    fs::remove_file(&said).unwrap();
    agent.wake().await;
    assert_eq!(agent.told().await, "renewed");
    let second = content(&said).await;
    agent.stop().await;
    assert!(first.starts_with("enrolled 7 ") && first.ends_with(" 2\n"), "{first}");
    assert_eq!(second, format!("renewed 7 {} 2\n", serial_number(directory.path())));
}

#[tokio::test]
async fn a_command_that_was_cut_short_is_run_at_the_next_start_and_then_no_more() {
    let door = Door::open("localhost", [Act::Answer]).await;
    let directory = tempfile::tempdir().unwrap();
    let begun = directory.path().join("begun");
    let given = Given { command: Some("echo >> begun; sleep 1000".to_owned()), ..Given::key(&door) };
    let mut agent = given.start(directory.path());
    assert_eq!(agent.told().await, "enrolled");
    content(&begun).await;
    agent.stop().await;

    let done = directory.path().join("on-change-done");
    for _ in 0..2 {
        let mut agent = Given::command("echo >> done").start(directory.path());
        assert_eq!(agent.told().await, "holding");
        content(&done).await;
        agent.stop().await;
    }
    assert_eq!(fs::read_to_string(directory.path().join("done")).unwrap(), "\n", "once");
    assert_eq!(fs::read_to_string(&done).unwrap().trim(), serial_number(directory.path()));
}

#[tokio::test]
async fn a_command_that_fails_is_told_and_run_again() {
    let door = Door::open("localhost", [Act::Answer]).await;
    let directory = tempfile::tempdir().unwrap();
    let given = Given { command: Some("exit 7".to_owned()), ..Given::key(&door) };
    let mut agent = given.start(directory.path());
    assert_eq!(agent.told().await, "enrolled");
    for _ in 0..2 {
        assert_eq!(agent.told().await, "command: it ended with exit status: 7");
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_command_that_does_not_end_is_killed_with_its_children() {
    let door = Door::open("localhost", [Act::Answer]).await;
    let directory = tempfile::tempdir().unwrap();
    let command = "sleep 1000 & echo $! > child; wait".to_owned();
    let given = Given { command: Some(command), command_timeout: Duration::from_secs(1), ..Given::key(&door) };
    let mut agent = given.start(directory.path());
    assert_eq!(agent.told().await, "enrolled");
    assert_eq!(agent.told().await, "command: it took longer than 1 s and was killed");
    agent.stop().await;
    let child = content(&directory.path().join("child")).await;
    let status = Path::new("/proc").join(child.trim()).join("status");
    let gone = async {
        // A killed process may stay as a zombie until its new parent looks.
        while fs::read_to_string(&status).is_ok_and(|text| !text.contains("State:\tZ")) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the child goes on");
}
