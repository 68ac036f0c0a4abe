//! An answer that did not arrive: the device asks again and gets the same certificate, and the key
//! is none the poorer.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::device::{connect, http_request, post, try_post};
use crate::support::wire::Wire;
use crate::support::{Device, Endpoint, Random, Service};

/// Where the connection is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// This share of the request was sent, in percent.
    Sent(usize),
    /// The whole request was sent; the answer is never read.
    Unread,
    /// This many bytes of the answer were read.
    Read(usize),
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_at_any_stage_is_repaired_by_the_retry() {
    let service = Service::start();
    service.create_group("app-connector", "HQ");
    let cuts = [0, 30, 99]
        .map(Cut::Sent)
        .into_iter()
        .chain([Cut::Unread])
        .chain([1, 12, 100, 400, 1_000, 2_000].map(Cut::Read));
    // One use, re-enrollment off: were anything counted twice, the retry would be refused.
    for (n, cut) in cuts.enumerate() {
        let name = format!("cut-{n}");
        let key = service.create_key("app-connector", "HQ", &name, &["--max-uses", "1"]);
        let device = Device::new(&name);
        enroll_until(&service.endpoint(), &device, &key, cut).await;

        let retry = device.enroll(&service.endpoint(), &key).await;
        assert_eq!(retry.status, 200, "{cut:?}: {}", retry.body);
        let again = device.enroll(&service.endpoint(), &key).await;
        assert_eq!(again.text("outcome"), "replayed", "{cut:?}");
        assert_eq!(again.text("serialNumber"), retry.text("serialNumber"), "{cut:?}");
        assert_eq!(again.text("certificate"), retry.text("certificate"), "{cut:?}");
        if matches!(cut, Cut::Read(_)) {
            assert_eq!(retry.text("outcome"), "replayed", "{cut:?}: an answer had begun, so it was committed");
        }
        assert_eq!(service.uses("app-connector", &name), 1, "{cut:?}");
    }
    service.assert_healthy();
}

/// On the wire, wherever in the answer: `LOST_ANSWER_STEP=1` cuts at every byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_at_any_byte_of_the_answer_is_repaired() {
    let service = Service::start();
    service.create_group("app-connector", "HQ");
    let key = service.create_key("app-connector", "HQ", "k", &["--max-uses", "100000"]);
    let step = std::env::var("LOST_ANSWER_STEP").map_or(97, |text| text.parse().expect("a number of bytes"));
    let first = usize::try_from(Random::seeded().below(step as u64)).expect("it is below a usize");
    // Every other connection, a retry, passes whole.
    let wire = Wire::that_cuts(service.enroll, move |n| (n % 2 == 0).then_some(first + n / 2 * step));
    let endpoint = Endpoint { address: wire.address, ..service.endpoint() };
    for n in 0.. {
        let device = Device::new(&format!("cut-{n}"));
        let request = device.request(&key);
        let answer = try_post(&endpoint, &request).await;
        let retry = post(&endpoint, &request).await;
        assert_eq!((retry.status, retry.text("outcome").as_str()), (200, "replayed"), "{n}: {}", retry.body);
        assert_eq!(service.uses("app-connector", "k"), n + 1, "{n}");
        if let Some(whole) = answer {
            assert_eq!(
                (whole.text("outcome"), whole.text("serialNumber")),
                ("enrolled".into(), retry.text("serialNumber"))
            );
            assert!(n > 3_000 / step as u64, "an answer has some thousand bytes");
            break;
        }
    }
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_answer_and_retry_changes_nothing() {
    let mut service = Service::start();
    service.create_group("app-connector", "HQ");
    let key = service.create_key("app-connector", "HQ", "k", &["--max-uses", "1"]);
    let device = Device::new("device");
    let first = device.enroll(&service.endpoint(), &key).await;
    service.kill();
    service.launch();
    let retry = device.enroll(&service.endpoint(), &key).await;
    assert_eq!(retry.text("outcome"), "replayed");
    assert_eq!(retry.text("certificate"), first.text("certificate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_of_one_device_at_once_get_one_certificate() {
    let service = Service::start();
    service.create_group("app-connector", "HQ");
    let key = service.create_key("app-connector", "HQ", "k", &["--max-uses", "1"]);
    let device = Device::new("device");
    let request = device.request(&key);
    let endpoint = service.endpoint();
    let (one, two) = tokio::join!(post(&endpoint, &request), post(&endpoint, &request));
    let mut outcomes = [one.text("outcome"), two.text("outcome")];
    outcomes.sort();
    assert_eq!(outcomes, ["enrolled", "replayed"]);
    assert_eq!(one.text("certificate"), two.text("certificate"));
    assert_eq!(service.uses("app-connector", "k"), 1);
}

async fn enroll_until(endpoint: &Endpoint, device: &Device, key: &str, cut: Cut) {
    let request = http_request(device.request(key).to_string().as_bytes());
    let mut stream = connect(endpoint).await.expect("a connection");
    let sent = match cut {
        Cut::Sent(percent) => request.len() * percent / 100,
        Cut::Unread | Cut::Read(_) => request.len(),
    };
    stream.write_all(&request[..sent]).await.expect("a request");
    stream.flush().await.expect("a request");
    if let Cut::Read(bytes) = cut {
        let mut answer = vec![0; bytes];
        stream.read_exact(&mut answer).await.expect("the beginning of an answer");
    }
    // Dropped without close_notify: a reset, as when the power goes.
    stream.get_ref().0.set_zero_linger().expect("a socket");
}
