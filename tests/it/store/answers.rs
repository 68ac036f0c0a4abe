//! What requests came to that must not happen twice.

use std::time::Duration;

use muster::domain::Kind;
use muster::store::{ANSWER_BRIEF, ANSWER_LASTING, AnswerId, BrokenRule, Change, StoredAnswer};

use super::world::World;
use crate::support::rows;

const SECOND: Duration = Duration::from_secs(1);

fn answer(world: &World, first: u8) -> StoredAnswer {
    StoredAnswer {
        id: AnswerId([first; 32]),
        at: world.now(),
        sealed_brief: Some(vec![first, 1]),
        sealed_lasting: vec![first, 2],
    }
}

pub async fn an_answer_is_remembered_once_in_its_day(world: World) {
    let first = answer(&world, 1);
    assert_eq!(world.store.find_answer(first.id).await.unwrap(), None);
    world.apply(vec![Change::RememberAnswer(first.clone()), Change::RememberAnswer(answer(&world, 2))]).await;
    assert_eq!(world.store.find_answer(first.id).await.unwrap(), Some(first.clone()));

    world.clock.advance(ANSWER_LASTING - SECOND);
    assert_eq!(world.broken_rule(Change::RememberAnswer(answer(&world, 1))).await, BrokenRule::AnsweredBefore);
    assert_eq!(world.store.find_answer(first.id).await.unwrap(), Some(first));
    world.clock.advance(SECOND);
    let next = answer(&world, 1);
    world.apply(vec![Change::RememberAnswer(next.clone())]).await;
    assert_eq!(world.store.find_answer(next.id).await.unwrap(), Some(next));
}

pub async fn what_a_repetition_would_make_is_not_made(world: World) {
    let tenant = world.tenant().await;
    world.apply(vec![Change::RememberAnswer(answer(&world, 1))]).await;
    let before = world.store.last_change().await.unwrap();
    let group = rows::group(world.id(), &tenant.signer, Kind::Machine, "twice");
    let again = world.try_apply(vec![Change::InsertGroup(group.clone()), Change::RememberAnswer(answer(&world, 1))]);
    assert!(again.await.is_err());
    assert_eq!(world.store.find_group(tenant.customer.id, group.id).await.unwrap(), None);
    assert_eq!(world.store.last_change().await.unwrap(), before);
}

pub async fn sweeping_lets_go_of_what_has_had_its_time(world: World) {
    let (old, young) = (answer(&world, 1), AnswerId([2; 32]));
    world.apply(vec![Change::RememberAnswer(old.clone())]).await;
    world.clock.advance(ANSWER_BRIEF - SECOND);
    world.store.sweep().await.unwrap();
    assert_eq!(world.store.find_answer(old.id).await.unwrap(), Some(old.clone()));

    world.clock.advance(SECOND);
    world.apply(vec![Change::RememberAnswer(answer(&world, 2))]).await;
    world.store.sweep().await.unwrap();
    let without_secret = StoredAnswer { sealed_brief: None, ..old.clone() };
    assert_eq!(world.store.find_answer(old.id).await.unwrap(), Some(without_secret));
    assert!(world.store.find_answer(young).await.unwrap().unwrap().sealed_brief.is_some());

    world.clock.advance(ANSWER_LASTING - ANSWER_BRIEF);
    world.store.sweep().await.unwrap();
    assert_eq!(world.store.find_answer(old.id).await.unwrap(), None);
    assert!(world.store.find_answer(young).await.unwrap().is_some());
}
