//! A key with k uses left gives exactly k enrollments, whichever nodes the devices ask and whatever is killed.

use super::race::{Race, field};
use super::support::Nodes;
use crate::support::postgres::{Cluster, Durability, ReplicatedCluster};

#[tokio::test(flavor = "multi_thread")]
async fn devices_racing_over_three_nodes_share_the_uses() {
    let database = Cluster::shared().database();
    let nodes = Nodes::start(&database.url(), 3);
    let (devices, uses) = field();
    let finish = Race::begin(&nodes, (devices, uses)).finish().await;
    assert_eq!(finish.cut(), 0, "nothing is in their way");
    assert!(finish.put_off() < devices / 2, "a slow machine puts some off: {}", finish.put_off());
    finish.assert_exact(&nodes, &database.url(), uses).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_loses_no_answered_enrollment_and_counts_none_twice() {
    // On a busy machine the kill may find nobody asking that node.
    for _ in 0..5 {
        let database = Cluster::shared().database();
        let mut nodes = Nodes::start(&database.url(), 3);
        let (devices, uses) = field();
        let race = Race::begin(&nodes, (devices, uses));
        race.is_under_way().await;
        nodes[1].kill();
        let finish = race.finish().await;
        nodes[1].launch();
        let cut = finish.cut();
        finish.assert_exact(&nodes, &database.url(), uses).await;
        if cut > 0 {
            return;
        }
    }
    panic!("no kill hit an open request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_database_loses_no_answered_enrollment_and_counts_none_twice() {
    let cluster = Cluster::start(Durability::Disk);
    let database = cluster.database();
    let nodes = Nodes::start(&database.url(), 3);
    let (devices, uses) = field();
    let race = Race::begin(&nodes, (devices, uses));
    race.is_under_way().await;
    cluster.crash();
    let finish = race.finish().await;
    finish.assert_exact(&nodes, &database.url(), uses).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_primary_loses_no_answered_enrollment_and_counts_none_twice() {
    let mut servers = ReplicatedCluster::start(Durability::Memory);
    let nodes = Nodes::start(&servers.url(), 3);
    let (devices, uses) = field();
    let race = Race::begin(&nodes, (devices, uses));
    race.is_under_way().await;
    servers.kill_primary();
    servers.promote();
    let finish = race.finish().await;
    finish.assert_exact(&nodes, &servers.url(), uses).await;
}
