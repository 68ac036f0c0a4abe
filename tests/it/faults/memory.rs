//! What a caller may make the service hold: large bodies, large heads and slow senders, all at once. Each takes what its
//! connection and its request may, and nothing of it stays. `SENDERS=10000` for more than the few of an everyday run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::block_in_place;
use tokio_rustls::client::TlsStream;

use crate::support::storm::{Storm, address, footprint};
use crate::support::{Device, Service, eventually, patiently};

/// Those that connect at the same time: more would be sent away at the gate, and this is not about that.
const CONNECTING: usize = 8;

/// The most that a request may have.
const BODY_BYTES_MAX: usize = 16 * 1_024;

/// What one of them may take: a body, a head, TLS's own buffers, and the task that serves it.
const HELD_KIB_MAX: u64 = 96;

/// What the service may take beside that: the store's caches, and arenas of the allocator.
const OTHERS_KIB_MAX: u64 = 48 * 1_024;

/// How a sender is a burden.
#[derive(Clone, Copy, Debug)]
enum Burden {
    /// All of the largest body but its last byte.
    Body,
    /// A head of the largest size that does not end.
    Head,
    /// A body far beyond what is taken, announced and sent for as long as somebody reads.
    TooLarge,
}

impl Burden {
    fn of(number: u64) -> Self {
        [Self::Body, Self::Head, Self::TooLarge][(number % 3) as usize]
    }

    async fn lay(self, stream: &mut TlsStream<TcpStream>) {
        let head = |length: usize| {
            format!(
                "POST /v1/enroll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\n\r\n"
            )
        };
        let (text, filling) = match self {
            Self::Body => (head(BODY_BYTES_MAX), BODY_BYTES_MAX - 1),
            Self::Head => ("POST /v1/enroll HTTP/1.1\r\nhost: localhost\r\nx: ".to_owned(), BODY_BYTES_MAX - 256),
            Self::TooLarge => (head(1 << 30), 1 << 20),
        };
        // The service may have closed in the midst of it.
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.write_all(&vec![b'A'; filling]).await;
        let _ = stream.flush().await;
    }

    /// What it ends with, if it is one that can be ended.
    async fn end(self, mut stream: TlsStream<TcpStream>) -> String {
        let rest: &[u8] = match self {
            Self::Body => b"A",
            Self::Head => b"\r\n\r\n",
            Self::TooLarge => b"",
        };
        let _ = stream.write_all(rest).await;
        let mut answer = vec![0; 64];
        let read = stream.read(&mut answer).await.unwrap_or(0);
        String::from_utf8_lossy(&answer[..read]).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_slow_requests_take_what_they_may_and_no_more() {
    let senders = std::env::var("SENDERS").ok().and_then(|text| text.parse().ok()).unwrap_or(150);
    let service = Service::start_with(
        "[enroll]\nfailures_per_second = 0\nhandshake_timeout = 300\nheader_timeout = 300\nbody_timeout = 300\n\
         connections_max = 20000\n",
    );
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &[]);
    let storm = Storm::new(&service.endpoint());
    round(&service, &storm, &key, 0, senders / 4).await; // warm: arenas, caches
    let before = footprint(service.pid());

    let peak = round(&service, &storm, &key, 1, senders).await;
    let again = round(&service, &storm, &key, 2, senders).await;
    for peak in [peak, again] {
        let grown = peak.saturating_sub(before.1);
        assert!(grown < senders * HELD_KIB_MAX + OTHERS_KIB_MAX, "{senders} senders grew {before:?} by {grown} KiB");
    }
    assert!(again < peak + OTHERS_KIB_MAX / 2, "{peak} KiB became {again} KiB: something stays");
    eprintln!("{senders} senders: {} KiB before, {peak} KiB, and {again} KiB the second time", before.1);
    assert_eq!(service.metric("muster_enroll_requests_total{outcome=\"internal\"}"), 0.0);
    assert_eq!(service.uses("machine", "k"), 3);
    service.assert_healthy();
}

/// All of them at once, and a device in their midst. The most that the service had then, in KiB.
async fn round(service: &Service, storm: &Arc<Storm>, key: &str, number: u64, senders: u64) -> u64 {
    let (descriptors, _) = footprint(service.pid());
    let places = Arc::new(Semaphore::new(CONNECTING));
    let peak = Arc::new(AtomicU64::new(0));
    let laying: Vec<_> = (0..senders)
        .map(|number| {
            let (storm, places, peak) = (Arc::clone(storm), Arc::clone(&places), Arc::clone(&peak));
            let pid = service.pid();
            tokio::spawn(async move {
                let _place = places.acquire().await.expect("it is not closed");
                let mut stream = loop {
                    match storm.connect(address(number)).await {
                        Some(stream) => break stream,
                        None => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                };
                let _ = tokio::time::timeout(Duration::from_secs(2), Burden::of(number).lay(&mut stream)).await;
                if number % 16 == 0 {
                    peak.fetch_max(footprint(pid).1, Ordering::Relaxed);
                }
                (Burden::of(number), stream)
            })
        })
        .collect();
    let mut held = Vec::new();
    for sender in laying {
        held.push(sender.await.expect("a sender ends well"));
    }
    let answer = Device::new(&format!("device-{number}")).enroll(&service.endpoint(), key).await;
    assert_eq!(answer.status, 200, "in the midst of them: {}", answer.body);
    peak.fetch_max(footprint(service.pid()).1, Ordering::Relaxed);

    for (burden, stream) in held {
        let answer = patiently("an end", burden.end(stream)).await;
        let expected: &[&str] = match burden {
            // With many, the lifetime of the first connections may be over.
            Burden::Body => &["HTTP/1.1 400 ", ""],
            Burden::Head => &["HTTP/1.1 400 ", "HTTP/1.1 415 ", "HTTP/1.1 431 ", ""],
            // The answer may be destroyed by what is still sent.
            Burden::TooLarge => &["HTTP/1.1 413 ", ""],
        };
        assert!(expected.iter().any(|expected| answer.starts_with(expected)), "{burden:?}: {answer:?}");
    }
    block_in_place(|| {
        eventually("the connections to be closed", || (footprint(service.pid()).0 <= descriptors).then_some(()));
    });
    peak.load(Ordering::Relaxed)
}
