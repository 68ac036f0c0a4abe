use std::net::Ipv4Addr;
use std::sync::Arc;

use proptest::prelude::*;

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

/// A gate with its usher, on this thread.
fn gate() -> (Arc<Gate>, tokio::task::JoinHandle<Infallible>) {
    let gate = Arc::new(Gate::new(1));
    let usher = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { gate.usher().await }
    });
    (gate, usher)
}

#[tokio::test(start_paused = true)]
async fn all_that_wait_are_let_in_or_go_away() {
    let (gate, _usher) = gate();
    let waiting: Vec<_> = (0..200)
        .map(|number| {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.wait(source(number % 7)).await })
        })
        .collect();
    for (number, waiter) in waiting.iter().enumerate() {
        if number % 3 == 0 {
            waiter.abort();
        }
    }
    for (number, waiter) in waiting.into_iter().enumerate() {
        let ended = waiter.await;
        assert!(if number % 3 == 0 { ended.is_err() } else { ended.unwrap().is_ok() });
    }
    assert_eq!(gate.waiting(), 0);
    assert!(gate.is_open(Duration::ZERO));
    assert!(!gate.is_open(LATE));
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
