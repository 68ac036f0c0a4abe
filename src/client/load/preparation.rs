//! Key pairs and CSRs, made ahead of the devices that will show them, so that no latency holds the
//! time that a device's own processor would have spent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use rcgen::{KeyPair, PublicKeyData as _};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::client::endpoint::csr_of;

/// So many are made ahead, some 10 MB of them.
const AHEAD_MAX: u64 = 16_384;
/// Of this many processors one makes key pairs: it makes several times as many as the others can enroll.
const PROCESSORS_PER_THREAD: usize = 4;

/// What a device has before it begins.
pub(super) struct Prepared {
    /// PEM.
    pub csr: String,
    /// SubjectPublicKeyInfo, DER.
    pub public_key: Vec<u8>,
}

impl Prepared {
    fn make() -> Self {
        let key_pair = KeyPair::generate().expect("the system's random source works");
        Self { csr: csr_of(&key_pair), public_key: key_pair.subject_public_key_info() }
    }
}

/// Starts threads that make what so many devices need (`None`: until the receiver is dropped), and
/// waits until they are as far ahead as they will be.
pub(super) async fn prepare(devices: Option<u64>) -> mpsc::Receiver<Prepared> {
    let ahead = devices.unwrap_or(u64::MAX).clamp(1, AHEAD_MAX) as usize;
    let (sender, receiver) = mpsc::channel(ahead);
    let left = Arc::new(AtomicU64::new(devices.unwrap_or(u64::MAX)));
    let threads = available_parallelism().map_or(1, |processors| processors.get().div_ceil(PROCESSORS_PER_THREAD));
    for _ in 0..threads {
        let (sender, left) = (sender.clone(), Arc::clone(&left));
        tokio::task::spawn_blocking(move || {
            let take = |left: u64| left.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
                && sender.blocking_send(Prepared::make()).is_ok()
            {}
        });
    }
    drop(sender);
    while receiver.len() < ahead && !receiver.is_closed() {
        sleep(Duration::from_millis(5)).await;
    }
    receiver
}
