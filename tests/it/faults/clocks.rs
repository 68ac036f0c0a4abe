//! A clock that jumps, forward and back: what is out of its time is refused as long as the clock says so, nothing is
//! counted for it, and all goes on when the clock is right again.

use std::fs;
use std::time::Duration;

use muster::clock::{Clock as _, DAY, Timestamp};
use muster::domain::{Kind, Refusal};
use muster::enrollment::renewal::{RenewalError, RenewalRequest};
use muster::enrollment::{Enrollment, EnrollmentError};
use muster::id::CustomerId;
use muster::management::Input;
use muster::management::keys::KeyInput;
use muster::protocol::enroll::Outcome;
use muster::store::{ListQuery, Store as _};
use rustls::pki_types::CertificateDer;
use tokio::task::block_in_place;

use crate::support::device::{Identity, csr, key_pair, renew};
use crate::support::world::{SOMEWHERE, World, WorldDevice};
use crate::support::{Device, Service, eventually, faketime};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

const SPANS: [Duration; 3] = [Duration::from_secs(3_600), YEAR, Duration::from_secs(60 * 365 * 86_400)];

fn refusal(result: Result<Enrollment, EnrollmentError>) -> Option<Refusal> {
    match result {
        Ok(_) => None,
        Err(EnrollmentError::Refused { refusal, .. }) => Some(refusal),
        Err(error) => panic!("{error}"),
    }
}

async fn renewed(world: &World, held: &Enrollment, csr: &str) -> Result<Enrollment, RenewalError> {
    let shown = CertificateDer::from(held.certificate_der.clone());
    let device = world.service.authenticate(&shown, Duration::ZERO).await?;
    world.service.renew(device, RenewalRequest { csr, fingerprint: None, remote_address: SOMEWHERE }).await
}

/// Whatever the clock says, the certificate is for then.
fn assert_is_in_time(enrollment: &Enrollment, now: Timestamp) {
    let Enrollment { not_before, not_after, renew_after, .. } = *enrollment;
    assert!(not_before <= now && now < not_after, "{not_before} to {not_after} at {now}");
    assert!(now <= renew_after && renew_after < not_after, "{renew_after}");
}

#[tokio::test]
async fn a_clock_that_jumps_there_and_back_leaves_everything_as_it_was() {
    for is_forward in [true, false] {
        for span in SPANS {
            let world = World::new().await;
            let group = world.group(Kind::Machine, "HQ").await;
            let input = KeyInput { maximum: Input::Given(3), ..KeyInput::default() };
            let (id, key) = world.key(group, "k", input).await;
            let device = WorldDevice::new("device");
            let first = world.enroll(&key, &device).await.expect("enrolled");
            let right = world.clock.now();
            let jumped = if is_forward { right.saturating_add(span) } else { right.saturating_sub(span) };
            let what = format!("at {jumped} instead of {right}");

            world.clock.set(jumped);
            let mut uses = 1;
            match world.enroll(&key, &WorldDevice::new("meanwhile")).await {
                Ok(enrollment) => {
                    assert_is_in_time(&enrollment, jumped);
                    uses += 1;
                }
                refused => assert_eq!(refusal(refused), Some(Refusal::SigningCertificateUnavailable), "{what}"),
            }
            let is_in_time = first.not_before <= jumped && jumped < first.not_after;
            let rekeyed = renewed(&world, &first, &device.reinstalled().csr).await;
            assert_eq!(rekeyed.is_ok(), is_in_time, "{what}");
            if let Ok(rekeyed) = &rekeyed {
                assert_is_in_time(rekeyed, jumped);
            }
            assert_eq!(world.uses(id).await, uses, "{what}");
            world.assert_healthy().await;

            world.clock.set(right);
            match rekeyed {
                // Its successor may begin later than now; what it replaced brings it again.
                Ok(rekeyed) => assert_ne!(rekeyed.serial, first.serial),
                Err(RenewalError::Certificate(_)) => {
                    let again = world.enroll(&key, &device).await.expect("it is in its time again");
                    assert_eq!((again.outcome, again.serial), (Outcome::Replayed, first.serial), "{what}");
                    let renewed = renewed(&world, &first, &device.csr).await.expect("in its time, too");
                    assert_is_in_time(&renewed, right);
                }
                Err(RenewalError::Enrollment(error)) => panic!("{what}: {error}"),
            }
            for taken in uses..3 {
                let other = WorldDevice::new(&format!("other-{taken}"));
                let enrollment = world.enroll(&key, &other).await.expect("a use is left");
                assert_is_in_time(&enrollment, right);
            }
            let late = world.enroll(&key, &WorldDevice::new("late")).await;
            assert_eq!(refusal(late), Some(Refusal::KeyExhausted), "{what}");
            world.assert_healthy().await;
        }
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_open_what_is_limited() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let input = KeyInput { allow_re_enrollment: Input::Given(true), ..KeyInput::default() };
    let (_, key) = world.key(group, "k", input).await;
    let device = WorldDevice::new("device");
    world.clock.advance(2 * DAY);
    world.enroll(&key, &device).await.expect("enrolled");
    for _ in 0..10 {
        world.enroll(&key, &device.reinstalled()).await.expect("re-enrolled");
    }
    let limited = world.clock.now();
    for back in [Duration::from_secs(1), Duration::from_secs(3_600), DAY] {
        world.clock.set(limited.saturating_sub(back));
        let refused = world.enroll(&key, &device.reinstalled()).await;
        assert_eq!(refusal(refused), Some(Refusal::ReEnrollmentLimit), "{back:?} back");
    }
    world.assert_healthy().await;
}

#[tokio::test]
async fn a_session_is_good_in_its_time_whatever_the_clock_said_meanwhile() {
    let world = World::new().await;
    let owners = world.store.list_administrators(CustomerId::SERVICE, &ListQuery::first(1)).await;
    let owner = owners.expect("the store").rows.remove(0);
    let (token, _) = world.session(&owner).await;
    let right = world.clock.now();
    assert!(world.management.authenticate(&token).await.is_ok());
    world.clock.set(right.saturating_add(YEAR));
    assert!(world.management.authenticate(&token).await.is_err());
    world.clock.set(right);
    let session = world.management.authenticate(&token).await.expect("in its time again");

    // What was ended stays so, though the store was let go of it meanwhile.
    world.management.sign_out(&session).await.expect("signed out");
    world.clock.set(right.saturating_add(YEAR));
    world.store.sweep().await.expect("the store");
    for at in [right, right.saturating_sub(YEAR)] {
        world.clock.set(at);
        assert!(world.management.authenticate(&token).await.is_err(), "at {at}");
    }
    world.assert_healthy().await;
}

/// The same on the real service, whose clock alone is off: devices and administrators know what time it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_clock_jumps_goes_on_when_it_is_right_again() {
    let mut service = Service::prepare("");
    let file = service.dir().join("clock");
    let set = |offset: &str| {
        // Whole at every moment: it is read at each look at the clock.
        let new = file.with_extension("new");
        fs::write(&new, offset).expect("a file");
        fs::rename(&new, &file).expect("a file");
    };
    set("+0");
    service.set_environment("LD_PRELOAD", &faketime::library());
    service.set_environment("FAKETIME_TIMESTAMP_FILE", &file);
    service.set_environment("FAKETIME_NO_CACHE", "1");
    service.set_environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    service.launch();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &["--max-uses", "3"]);
    let brief = service.create_key("machine", "HQ", "brief", &["--expires", "30d"]);
    let endpoint = service.endpoint();
    let is_ready = || service.ops("/readyz").0 == 200;

    let first = Device::new("first");
    let answer = first.enroll(&endpoint, &key).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let held = Identity::of(&answer, &first.key_pair);

    set("+100d");
    let second = Device::new("second");
    let later = second.enroll(&endpoint, &key).await;
    assert_eq!(later.status, 200, "{}", later.body);
    assert!(later.text("notBefore") > answer.text("notAfter"), "{}", later.body);
    assert_eq!(Device::new("brief").enroll(&endpoint, &brief).await.code(), "key-expired");
    let refused = renew(&endpoint, &held, &csr(&key_pair())).await.expect("an answer");
    assert_eq!((refused.status, refused.code().as_str()), (401, "client-certificate-refused"));

    set("-400d");
    let third = Device::new("third");
    assert_eq!(third.enroll(&endpoint, &key).await.code(), "signing-certificate-unavailable");
    block_in_place(|| eventually("the service not to be ready", || (!is_ready()).then_some(())));

    set("+0");
    block_in_place(|| eventually("the service to be ready again", || is_ready().then_some(())));
    assert_eq!(third.enroll(&endpoint, &key).await.text("outcome"), "enrolled");
    assert_eq!(second.enroll(&endpoint, &key).await.text("certificate"), later.text("certificate"));
    let renewed = renew(&endpoint, &held, &first.csr()).await.expect("an answer");
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    let early = renew(&endpoint, &Identity::of(&later, &second.key_pair), &second.csr()).await.expect("an answer");
    assert_eq!(early.status, 401, "its time has not come: {}", early.body);
    assert_eq!(Device::new("brief").enroll(&endpoint, &brief).await.status, 200);
    assert_eq!(Device::new("late").enroll(&endpoint, &key).await.code(), "key-exhausted");
    assert_eq!(service.uses("machine", "k"), 3);
    service.assert_healthy();
}
