use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;

use proptest::prelude::*;
use tokio::io::AsyncReadExt as _;

use super::*;

fn source(number: u32) -> SourcePrefix {
    SourcePrefix::of(Ipv4Addr::from_bits(number).into())
}

/// A queue of sources' numbers; those that are to come, one after the other.
fn popped(queue: &mut Queue<u32>) -> Vec<u32> {
    std::iter::from_fn(|| queue.pop()).collect()
}

fn queue(numbers: impl IntoIterator<Item = u32>) -> Queue<u32> {
    let mut queue = Queue::default();
    for number in numbers {
        queue.push(source(number), Instant::now(), number);
    }
    queue
}

#[test]
fn a_lone_device_waits_for_no_storm() {
    let mut storm = queue(std::iter::repeat_n(0, 1_000));
    storm.pop();
    storm.push(source(1), Instant::now(), 1);
    let others_before = popped(&mut storm).into_iter().take_while(|number| *number == 0).count();
    assert!(others_before <= 1, "{others_before}");
}

#[test]
fn many_addresses_do_not_keep_out_the_one_that_many_share() {
    let mut storm = queue((0..20).map(|_| 0).chain(1..=1_000));
    let mut served_of_one = 0;
    for _ in 0..40 {
        served_of_one += usize::from(storm.pop() == Some(0));
    }
    assert!((18..=20).contains(&served_of_one), "{served_of_one}");
}

#[test]
fn a_source_that_comes_and_goes_has_one_place_in_the_round() {
    let mut queue = queue([7]);
    for _ in 0..100 {
        let ticket = queue.push(source(1), Instant::now(), 1);
        queue.remove(source(1), ticket);
    }
    assert_eq!((queue.new.len(), queue.sources.len(), queue.waiting), (2, 2, 1));
    assert_eq!(popped(&mut queue), [7]);
    queue.push(source(2), Instant::now(), 2);
    assert_eq!((queue.new.len() + queue.served.len(), queue.sources.len()), (1, 1));
}

#[test]
fn those_who_went_away_cost_nobody_a_turn_and_hide_nobodys_wait() {
    let mut queue = queue([0; 1_000]);
    queue.pop();
    for number in 1..=1_000 {
        let ticket = queue.push(source(number), Instant::now(), number);
        queue.remove(source(number), ticket);
    }
    assert!(queue.sources.len() <= 2 * queue.waiting + GONE_MAX);
    let now = Instant::now();
    queue.push(source(2_000), now, 2_000);
    assert!(!queue.has_room(source(3_000), now + STANDING));
    let others_before = popped(&mut queue).into_iter().take_while(|number| *number != 2_000).count();
    assert!(others_before <= 1, "{others_before}");
}

#[test]
fn who_stands_behind_a_storm_keeps_nobody_out_who_does_not() {
    let mut queue = queue([0, 0, 0]);
    queue.pop();
    let later = Instant::now() + STANDING;
    assert!(!queue.has_room(source(0), later));
    assert!(queue.has_room(source(1), later), "it is in the other round");
    queue.push(source(1), later, 1);
    assert!(queue.has_room(source(2), later));
    assert!(!queue.has_room(source(2), later + STANDING));
}

#[derive(Clone, Debug)]
enum Step {
    Push(u32),
    /// Of those that wait, one.
    Remove(prop::sample::Index),
    Pop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u32).prop_map(Step::Push),
        1 => any::<prop::sample::Index>().prop_map(Step::Remove),
        3 => Just(Step::Pop),
    ]
}

proptest! {
    /// Whoever waits comes, once, in order of its source's arrivals, and no source is passed over for long.
    #[test]
    fn everybody_comes_once_and_no_source_is_passed_over(steps in prop::collection::vec(step(), 0..300)) {
        let mut queue = Queue::default();
        let mut waiting: Vec<(u32, u64)> = Vec::new();
        // Turns of others since the source began to wait or was served.
        let mut passed_over: HashMap<u32, usize> = HashMap::new();
        let mut serial = 0;
        for step in steps.into_iter().chain(std::iter::repeat_n(Step::Pop, 300)) {
            match step {
                Step::Push(number) => {
                    serial += 1;
                    let ticket = queue.push(source(number), Instant::now(), (number, serial));
                    prop_assert_eq!(ticket, serial);
                    waiting.push((number, serial));
                    passed_over.entry(number).or_insert(0);
                }
                Step::Remove(index) if !waiting.is_empty() => {
                    let (number, ticket) = waiting.remove(index.index(waiting.len()));
                    queue.remove(source(number), ticket);
                    queue.remove(source(number), ticket);
                    if waiting.iter().all(|(other, _)| *other != number) {
                        passed_over.remove(&number);
                    }
                }
                Step::Remove(_) => {}
                Step::Pop => {
                    let next = queue.pop();
                    prop_assert_eq!(next.is_none(), waiting.is_empty());
                    let Some((number, ticket)) = next else { continue };
                    let first = waiting.iter().position(|(other, _)| *other == number);
                    prop_assert_eq!(waiting.remove(first.expect("it waits")), (number, ticket));
                    for (other, turns) in &mut passed_over {
                        *turns = if *other == number { 0 } else { *turns + 1 };
                        prop_assert!(*turns <= 12, "source {} was passed over {} times", other, turns);
                    }
                    if waiting.iter().all(|(other, _)| *other != number) {
                        passed_over.remove(&number);
                    }
                }
            }
            prop_assert_eq!(queue.waiting, waiting.len());
            prop_assert!(queue.new.len() + queue.served.len() == queue.sources.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_wait_are_let_in_or_go_away() {
    let gate = Arc::new(Gate::new(1)); // its usher comes later
    let wait = |number: u32| {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move { gate.wait(source(number % 7)).await })
    };
    let (gone, let_in): (Vec<_>, Vec<_>) = (0..100).map(|number| (wait(number), wait(number))).unzip();
    timeout(STANDING / 2, async {
        while gate.waiting() < 200 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("all of them wait");
    for waiter in gone {
        waiter.abort();
        assert!(waiter.await.unwrap_err().is_cancelled());
    }
    assert_eq!(gate.waiting(), 100, "who went away does not wait");

    let usher = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { gate.usher().await }
    });
    for waiter in let_in {
        assert_eq!(waiter.await.unwrap(), Ok(()));
    }
    assert_eq!(gate.waiting(), 0);
    usher.abort();
}

#[tokio::test(start_paused = true)]
async fn whoever_speaks_late_is_measured_when_it_speaks() {
    let gate = Arc::new(Gate::new(1));
    let accepted_at = Instant::now();
    let busy = || tokio::spawn(tokio::time::advance(LATE));
    busy();
    assert!(gate.is_open(accepted_at).await, "it spoke at once; what is ready now is none of its business");
    tokio::time::advance(LATE).await;
    assert!(gate.is_open(accepted_at).await, "it was silent, and nothing is to do");
    busy();
    assert!(!gate.is_open(accepted_at).await, "what is ready takes too long");

    let waiting = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { gate.wait(source(1)).await }
    });
    assert!(!gate.is_open(accepted_at).await, "somebody has begun to wait meanwhile");
    assert!(!gate.is_open(Instant::now()).await, "somebody waits");
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_stands_takes_nobody_more_of_its_source() {
    let gate = Arc::new(Gate::new(1)); // without its usher
    let wait = |number| {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move { gate.wait(source(number)).await })
    };
    let first = wait(1);
    tokio::task::yield_now().await;
    tokio::time::advance(STANDING / 2).await;
    let second = wait(1);
    tokio::task::yield_now().await;
    assert!(gate.has_room(source(1)));
    tokio::time::advance(STANDING / 2).await;
    assert!(!gate.has_room(source(1)));
    assert!(!gate.has_room(source(2)), "those that have just come stand, too");
    assert_eq!(gate.wait(source(1)).await, Err(Turned::QueueStands));
    assert_eq!(first.await.unwrap(), Err(Turned::WaitedTooLong));
    assert_eq!(second.await.unwrap(), Err(Turned::WaitedTooLong));
    assert_eq!(gate.waiting(), 0);
}

/// What happens on a runtime with one worker, where every handshake makes somebody ready who is in already: the handshakes
/// of each round, and that one's steps.
fn happened(gate: &Arc<Gate>, handshakes: usize) -> Vec<&'static str> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let (said, heard) = std::os::unix::net::UnixStream::pair().unwrap();
    said.set_nonblocking(true).unwrap();
    heard.set_nonblocking(true).unwrap();
    // Not by `wait`: however slow the machine, nobody waits too long here.
    let began = Arc::new(AtomicUsize::new(0));
    let waiting: Vec<_> = (0..handshakes)
        .map(|_| {
            let (turn, comes) = oneshot::channel();
            let mut queue = gate.queue();
            queue.push(source(1), Instant::now(), turn);
            gate.waiting.store(queue.waiting, Ordering::SeqCst);
            gate.arrived.notify_one();
            let (log, said, began) = (Arc::clone(&log), said.try_clone().unwrap(), Arc::clone(&began));
            async move {
                began.fetch_add(1, Ordering::SeqCst);
                comes.await.unwrap();
                log.lock().unwrap().push("handshake");
                (&said).write_all(b".").unwrap();
            }
        })
        .collect();
    let steps = {
        let log = Arc::clone(&log);
        async move {
            let mut heard = tokio::net::UnixStream::from_std(heard).unwrap();
            while heard.read(&mut [0; 64]).await.unwrap() > 0 {
                log.lock().unwrap().push("step");
            }
        }
    };
    runtime.block_on(async {
        let steps = tokio::spawn(steps);
        let waiting: Vec<_> = waiting.into_iter().map(tokio::spawn).collect();
        while began.load(Ordering::SeqCst) < handshakes {
            tokio::task::yield_now().await;
        }
        let gate = Arc::clone(gate);
        let usher = tokio::spawn(async move { gate.usher().await });
        for waiter in waiting {
            waiter.await.unwrap();
        }
        drop(said);
        steps.await.unwrap();
        usher.abort();
    });
    mem::take(&mut *log.lock().unwrap())
}

#[test]
fn whoever_is_in_takes_a_step_before_the_next_round() {
    let gate = Arc::new(Gate::new(1));
    assert_eq!(happened(&gate, 40), ["handshake", "handshake", "step"].repeat(20));
}

#[test]
fn rounds_are_halved_while_most_answers_go_to_nobody() {
    let gate = Arc::new(Gate::new(1));
    (0..LATEST).for_each(|_| gate.note_answer(true));
    assert_eq!(happened(&gate, 40), ["handshake", "step"].repeat(40));
    (0..LATEST).for_each(|_| gate.note_answer(false));
    assert_eq!(happened(&gate, 40), ["handshake", "handshake", "step"].repeat(20));
}
