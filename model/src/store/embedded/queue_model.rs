//! The hand-over of batches between requests and the thread that writes.

use std::sync::Arc;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicU32, Ordering};

use super::queue::{Change, Lane, Queue, Task};
use crate::Connection;
use crate::id::{CustomerId, Id, ProvisioningKeyId};
use crate::store::jobs::{Commits, Decided, Job};
use crate::store::{
    BatchSettings, EnrollmentCommit, EnrollmentOutcome, RenewalCommit, RenewalOutcome, Seen, StoreError,
};

fn seen(request: u64) -> Seen {
    Seen { customer: (CustomerId::from_raw(1), 1), key: (ProvisioningKeyId::from_raw(request), 1) }
}

struct Counted(Arc<AtomicU32>);

impl Change for Counted {
    fn run(&mut self, _: &Connection) -> crate::Result<bool> {
        Ok(true)
    }

    fn answer(self: Box<Self>, ended: Result<(), StoreError>) {
        assert!(ended.is_ok());
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Does what there is until the queue is closed and empty; what each is told names its request.
fn write(queue: &Queue) {
    loop {
        match queue.take(false, None, None) {
            Task::Batch(jobs) => {
                assert!(!jobs.is_empty(), "an empty batch");
                let commits = Commits::of(&jobs);
                let enrolled = commits.enrollments.iter().map(|commit| {
                    let uses = commit.seen.key.0.raw();
                    if uses == 2 { Err(StoreError::Unavailable { reason: "2".to_owned() }) } else { Ok(committed(uses)) }
                });
                let renewed = commits.renewals.iter().map(|commit| match commit.seen.key.0.raw() % 2 {
                    0 => Ok(RenewalOutcome::Committed),
                    _ => Ok(RenewalOutcome::Outdated),
                });
                let decided = Decided { enrollments: enrolled.collect(), renewals: renewed.collect() };
                decided.answer(jobs);
            }
            Task::Change(mut change) => {
                let ran = change.run(&Connection);
                change.answer(ran.map(drop));
            }
            Task::None => panic!("it waits for as long as it takes"),
            Task::Closed => return,
        }
    }
}

fn committed(uses: u64) -> EnrollmentOutcome {
    EnrollmentOutcome::Committed { uses }
}

/// Enrollments and renewals in batches of two, a change between them, one request that hangs up, then the end: each
/// hears what was decided for itself, or that the queue is full or closed, and the writer ends.
pub fn answers_find_their_requests() {
    let settings = BatchSettings { size_max: 2, linger: Duration::ZERO, queue_max: 3 };
    let queue = Arc::new(Queue::new(settings));
    let writer = {
        let queue = Arc::clone(&queue);
        shuttle::thread::spawn(move || write(&queue))
    };
    let changes = Arc::new(AtomicU32::new(0));
    block_on(async {
        let enrollments: Vec<_> = (1..=3)
            .map(|request| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move {
                    let (job, answered) = Job::enrollment(EnrollmentCommit { seen: seen(request) });
                    if queue.push_job(job).is_ok() {
                        match answered.await.expect("an answer") {
                            Ok(outcome) => assert_eq!(outcome, committed(request)),
                            Err(error) => assert_eq!((error.to_string().as_str(), request), ("2", 2)),
                        }
                    }
                })
            })
            .collect();
        let renewals: Vec<_> = (4..=5)
            .map(|request| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move {
                    let (job, answered) = Job::renewal(RenewalCommit { seen: seen(request) });
                    if queue.push_job(job).is_ok() {
                        let outcome = answered.await.expect("an answer").expect("a decision");
                        assert_eq!(outcome == RenewalOutcome::Committed, request == 4);
                    }
                })
            })
            .collect();
        queue.push_change(Lane::Administration, Box::new(Counted(Arc::clone(&changes)))).expect("room");
        queue.push_change(Lane::Background, Box::new(Counted(Arc::clone(&changes)))).expect("room");
        enrollments[0].abort();
        for (number, request) in enrollments.into_iter().chain(renewals).enumerate() {
            assert!(request.await.is_ok() || number == 0);
        }
    });
    queue.close();
    assert!(queue.push_job(Job::renewal(RenewalCommit { seen: seen(6) }).0).is_err(), "a closed queue takes nothing");
    writer.join().expect("the writer ends");
    assert_eq!(changes.load(Ordering::SeqCst), 2, "a change was not made, or twice");
}

/// A writer that waits for a batch to fill is woken when it is full: time does not pass here, so nothing else would.
pub fn a_full_batch_wakes_the_writer() {
    let settings = BatchSettings { size_max: 3, linger: Duration::from_secs(3_600), queue_max: 9 };
    let queue = Arc::new(Queue::new(settings));
    let writer = {
        let queue = Arc::clone(&queue);
        shuttle::thread::spawn(move || {
            let Task::Batch(jobs) = queue.take(true, None, None) else { panic!("a batch") };
            assert_eq!(jobs.len(), 3, "it was worth waiting");
            jobs.into_iter().for_each(|job| job.refuse(StoreError::Unavailable { reason: String::new() }));
        })
    };
    let requests: Vec<_> = (0..3)
        .map(|request| {
            let queue = Arc::clone(&queue);
            shuttle::thread::spawn(move || {
                let (job, answered) = Job::enrollment(EnrollmentCommit { seen: seen(request) });
                queue.push_job(job).expect("room");
                assert!(block_on(answered).expect("an answer").is_err());
            })
        })
        .collect();
    requests.into_iter().for_each(|request| request.join().expect("it is answered"));
    writer.join().expect("the writer ends");
}
