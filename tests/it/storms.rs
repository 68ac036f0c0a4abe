//! The service bends under a storm and does not break: more devices than it can serve, keys that nobody made,
//! clients that say nothing. Short forms; the figures are the bench's (`cargo bench --bench storms`), as a test
//! that measured time would fail on a busy machine.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::support::storm::{Attempt, Held, Storm, address, at_rate, footprint};
use crate::support::{Service, eventually};

const LONE: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);

/// How long devices may come back after a storm; nothing but a failing test takes as long.
const PATIENCE: Duration = Duration::from_secs(120);

const SPAN: Duration = Duration::from_secs(4);

/// What a storm may leave behind in memory: the store's caches, and arenas of the allocator.
const GROWTH_KIB_MAX: u64 = 96 * 1_024;

fn service(config: &str) -> (Service, String) {
    let service = Service::start_with(config);
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "storm", &[]);
    (service, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_times_what_can_be_served_and_everybody_gets_in() {
    let (service, key) = service("");
    let storm = Storm::new(&service.endpoint());
    let _held = Held::to_part(service.pid(), 0.25);
    let peak = storm.peak(&key, 16, SPAN / 2).await;
    let (descriptors, resident) = footprint(service.pid());

    let offered = storm.offer(&key, 3.0 * peak, SPAN, PATIENCE).await;
    assert!(offered.rest_took.is_some(), "not everybody got in: {offered:?}");
    // Far below what the bench says, and far above what is left when all are begun and none is finished.
    let goodput = offered.in_span as f64 / SPAN.as_secs_f64();
    assert!(goodput > peak / 3.0, "{goodput} of {peak} enrollments per second: {offered:?}");
    let (_, resident_after) = footprint(service.pid());
    assert!(resident_after < resident + GROWTH_KIB_MAX, "{resident} KiB became {resident_after} KiB");
    eventually("the descriptors to be closed", || (footprint(service.pid()).0 <= descriptors).then_some(()));
    assert_eq!(service.metric("muster_enroll_requests_total{outcome=\"internal\"}"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_from_one_address_does_not_keep_out_a_lone_device() {
    let (service, key) = service("");
    let storm = Storm::new(&service.endpoint());
    let _held = Held::to_part(service.pid(), 0.25);
    let many = {
        let (storm, key) = (Arc::clone(&storm), key.clone());
        tokio::spawn(at_rate(2_000.0, SPAN, move |number| {
            let (storm, key) = (Arc::clone(&storm), key.clone());
            async move { storm.attempt(address(0), &key, &format!("of-many-{number:012}")).await }
        }))
    };
    for number in 0..10 {
        tokio::time::sleep(SPAN / 12).await;
        let attempt = storm.attempt(LONE, &key, &format!("lone-{number:012}")).await;
        assert_eq!(attempt, Attempt::Enrolled, "device {number}, at its first attempt");
    }
    let many = many.await.expect("the storm ends");
    assert!(many.contains(&Attempt::Enrolled) && many.contains(&Attempt::Closed), "it was none");
    let waited = service.metric("muster_tls_handshake_wait_seconds_count");
    assert!(waited > 0.0, "nobody waited");
}

#[tokio::test(flavor = "multi_thread")]
async fn false_keys_keep_nobody_out() {
    let (service, key) = service("");
    let storm = Storm::new(&service.endpoint());
    let _held = Held::to_part(service.pid(), 0.25);
    let false_keys = {
        let storm = Arc::clone(&storm);
        tokio::spawn(at_rate(2_000.0, SPAN, move |number| {
            let storm = Arc::clone(&storm);
            async move { storm.attempt(address(number % 8), "no key", &format!("false-{number:012}")).await }
        }))
    };
    let real = at_rate(5.0, SPAN, |number| {
        let (storm, key) = (Arc::clone(&storm), key.clone());
        async move { storm.enroll(address(1_000 + number), &key, &format!("real-{number:012}")).await }
    });
    let real = real.await;
    assert!(real.iter().all(|took| *took < PATIENCE), "{real:?}");
    assert_eq!(service.uses("machine", "storm"), real.len() as u64);
    assert!(!false_keys.await.expect("the flood ends").contains(&Attempt::Enrolled));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_and_says_nothing_gives_way() {
    const PLACES: u64 = 160;
    let (service, key) = service(&format!("[enroll]\nconnections_max = {PLACES}\nheader_timeout = 300\n"));
    let storm = Storm::new(&service.endpoint());
    let displaced = || service.metric("muster_connections_displaced_total{listener=\"enroll\"}");
    for (what, of_whom) in [("one address", 1), ("many addresses", PLACES)] {
        let before = displaced();
        let mut silent = Vec::new();
        for number in 0..PLACES {
            silent.extend(storm.connect(address(number % of_whom)).await);
        }
        assert!(silent.len() as u64 > PLACES / 2, "{what}: only {} connected", silent.len());
        for number in 0..2 * PLACES / 16 {
            // From the address of the silent ones, and from others.
            let from = address(if number % 2 == 0 { 0 } else { 1_000 + number });
            storm.enroll(from, &key, &format!("{of_whom:03}-{number:012}")).await;
        }
        assert!(displaced() > before, "{what}: nobody gave way");
    }
}
