//! Renewals beside each other, through kills, and with answers that do not arrive: there is one next certificate, and
//! no device is locked out.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::device::{Identity, connect_showing, csr, key_pair, renew, renew_request};
use crate::support::{Answer, Device, Endpoint, Random, Service};

/// A machine that has just enrolled.
async fn enrolled(service: &Service, name: &str) -> Identity {
    service.create_group("machine", name);
    let key = service.create_key("machine", name, name, &["--max-uses", "1"]);
    let device = Device::new(name);
    let answer = device.enroll(&service.endpoint(), &key).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    Identity::of(&answer, &device.key_pair)
}

/// One certificate among the answers, and one that made it.
fn assert_one_winner(answers: &[Answer], outcome: &str) {
    let mut outcomes: Vec<_> = answers.iter().map(|answer| answer.text("outcome")).collect();
    outcomes.sort();
    let mut expected = vec!["replayed"; answers.len() - 1];
    let place = expected.partition_point(|known| *known < outcome);
    expected.insert(place, outcome);
    assert_eq!(outcomes, expected);
    let serials: BTreeSet<_> = answers.iter().map(|answer| answer.text("serialNumber")).collect();
    assert_eq!(serials.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_renewals_of_one_device_get_one_certificate() {
    let service = Service::start();
    let endpoint = service.endpoint();
    for (round, racers) in [2, 16, 2, 16].into_iter().enumerate() {
        let held = enrolled(&service, &format!("race-{round}")).await;
        let (key_pair, outcome) = if round < 2 { (held.key_pair(), "renewed") } else { (key_pair(), "rekeyed") };
        let csr = csr(&key_pair);
        let racing: Vec<_> = (0..racers)
            .map(|_| {
                let (endpoint, held, csr) = (endpoint.clone(), held.clone(), csr.clone());
                tokio::spawn(async move { renew(&endpoint, &held, &csr).await.expect("an answer") })
            })
            .collect();
        let mut answers = Vec::new();
        for racer in racing {
            let answer = racer.await.expect("a device ends well");
            assert_eq!(answer.status, 200, "{}", answer.body);
            answers.push(answer);
        }
        assert_one_winner(&answers, outcome);
        let next = Identity::of(&answers[0], &key_pair);
        let again = renew(&endpoint, &next, &csr).await.expect("an answer");
        assert_eq!(again.text("outcome"), "renewed", "whoever lost can go on");
    }
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_rekeys_with_different_key_pairs_have_one_winner() {
    let service = Service::start();
    let (endpoint, held) = (service.endpoint(), enrolled(&service, "d").await);
    let racing: Vec<_> = (0..8)
        .map(|_| {
            let (endpoint, held) = (endpoint.clone(), held.clone());
            tokio::spawn(async move { renew(&endpoint, &held, &csr(&key_pair())).await.expect("an answer") })
        })
        .collect();
    let mut told = Vec::new();
    for racer in racing {
        let answer = racer.await.expect("a device ends well");
        told.push(if answer.status == 200 { answer.text("outcome") } else { answer.code() });
    }
    told.sort();
    let mut expected = vec!["client-certificate-superseded"; 7];
    expected.push("rekeyed");
    assert_eq!(told, expected);
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_comes_again() {
    let mut service = Service::start();
    let mut held = enrolled(&service, "d").await;
    // Of the answer nothing, the status line, all but its end.
    for (round, read) in [0, 12, 400, 2_000].into_iter().enumerate() {
        let key_pair = if round % 2 == 0 { held.key_pair() } else { key_pair() };
        let csr = csr(&key_pair);
        let mut stream = connect_showing(&service.endpoint(), &held).await.expect("a connection");
        stream.write_all(&renew_request(&serde_json::json!({ "csr": csr }))).await.expect("a request");
        stream.flush().await.expect("a request");
        let mut answer = vec![0; read];
        stream.read_exact(&mut answer).await.expect("the beginning of an answer");
        stream.get_ref().0.set_zero_linger().expect("a socket");
        drop(stream);
        if round == 2 {
            service.kill();
            service.launch();
        }

        let again = renew(&service.endpoint(), &held, &csr).await.expect("an answer");
        let expected = if read > 0 { &["replayed"][..] } else { &["renewed", "replayed"] };
        assert!(expected.contains(&again.text("outcome").as_str()), "{read}: {}", again.body);
        let third = renew(&service.endpoint(), &held, &csr).await.expect("an answer");
        assert_eq!(third.text("certificate"), again.text("certificate"), "however often");
        held = Identity::of(&again, &key_pair);
    }
    service.assert_healthy();
}

/// What devices and the killer know of one another.
struct Race {
    /// Changes with every launch.
    endpoint: RwLock<Endpoint>,
    /// Renewals that were answered.
    answered: AtomicUsize,
    /// Requests that had begun and got no whole answer.
    cut: AtomicUsize,
    is_over: AtomicBool,
}

const DEVICES: usize = 12;

/// Devices renew and rekey without a pause, while the service is killed in the midst of them. `KILLS=…` for more than the
/// few of an everyday run.
#[tokio::test(flavor = "multi_thread")]
async fn kills_lock_no_device_out() {
    let mut random = Random::seeded();
    let mut service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &[]);
    let race = Arc::new(Race {
        endpoint: RwLock::new(service.endpoint()),
        answered: AtomicUsize::new(0),
        cut: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    });
    let mut renewing = Vec::new();
    for n in 0..DEVICES {
        let device = Device::new(&format!("d-{n}"));
        let answer = device.enroll(&service.endpoint(), &key).await;
        let held = Identity::of(&answer, &device.key_pair);
        renewing.push(tokio::spawn(renew_until_over(held, Arc::clone(&race), n)));
    }
    let kills = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    for _ in 0..kills {
        let moment = race.answered.load(Ordering::SeqCst) + 1 + random.below(40) as usize;
        while race.answered.load(Ordering::SeqCst) < moment {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        service.kill();
        service.launch();
        *race.endpoint.write().expect("no writer panicked") = service.endpoint();
    }
    race.is_over.store(true, Ordering::SeqCst);
    for device in renewing {
        let held = device.await.expect("no device is locked out");
        let last = renew(&service.endpoint(), &held, &csr(&held.key_pair())).await.expect("an answer");
        assert_eq!(last.text("outcome"), "renewed", "what was answered last is current: {}", last.body);
    }
    assert!(race.cut.load(Ordering::SeqCst) > 0, "no kill hit an open request");
    assert_eq!(service.uses("machine", "k"), DEVICES as u64);
    service.assert_healthy();
}

/// Keeps what it was given last, and the key pair of the next one until it has that, as an agent does.
async fn renew_until_over(mut held: Identity, race: Arc<Race>, device: usize) -> Identity {
    let mut renewals = 0;
    while !race.is_over.load(Ordering::SeqCst) {
        renewals += 1;
        let next = if (renewals + device).is_multiple_of(3) { key_pair() } else { held.key_pair() };
        let csr = csr(&next);
        held = loop {
            let there = race.endpoint.read().expect("no writer panicked").clone();
            match renew(&there, &held, &csr).await {
                Some(answer) if answer.status == 200 => break Identity::of(&answer, &next),
                Some(answer) => assert_eq!(answer.status, 503, "{}", answer.body),
                None => _ = race.cut.fetch_add(1, Ordering::SeqCst),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        race.answered.fetch_add(1, Ordering::SeqCst);
    }
    held
}
