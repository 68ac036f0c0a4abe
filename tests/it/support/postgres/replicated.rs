//! Three servers that hold the same.

use std::fs;
use std::net::SocketAddr;

use super::server::{Durability, Server};
use super::user::{USER, User, random_password};
use crate::support::eventually;

/// Who follows a primary, by the names under which it waits for them.
const STANDBYS: [&str; 2] = ["s1", "s2"];
/// As whom they follow it.
const REPLICATOR: &str = "replicator";
/// The only database.
const DATABASE: &str = "muster";

/// A primary and two standbys. A commit is answered when it is on the disk of the primary and of one standby, so
/// the loss of one server loses nothing that was answered.
pub struct ReplicatedCluster {
    /// `None`: lost, and none of the standbys is promoted yet.
    primary: Option<Server>,
    standbys: Vec<Server>,
    user: User,
    /// Of all three, whatever has become of them.
    addresses: Vec<SocketAddr>,
}

impl ReplicatedCluster {
    /// Speaks in plain. Has one database, which is empty.
    pub fn start(durability: Durability) -> Self {
        let primary = Server::prepare();
        primary.initialize(durability);
        let admitted = |database: &str, user: &str| format!("host {database} {user} 127.0.0.1/32 scram-sha-256\n");
        primary.admit(&(admitted(DATABASE, USER) + &admitted("replication", REPLICATOR)));
        // A server that lost its primary looks for the next one often, and finds there what it has missed.
        primary.configure("wal_retrieve_retry_interval = '100ms'\nwal_keep_size = '256MB'\n");
        primary.launch();
        let user = User::create(&primary);
        let password = random_password();
        primary.query("postgres", &format!("CREATE ROLE {REPLICATOR} REPLICATION LOGIN PASSWORD '{password}'"));
        primary.query("postgres", &format!("CREATE DATABASE {DATABASE} OWNER {USER}"));

        let standbys: Vec<Server> = STANDBYS.iter().map(|_| Server::prepare()).collect();
        let addresses: Vec<SocketAddr> = standbys.iter().chain([&primary]).map(Server::address).collect();
        let awaited = format!("synchronous_standby_names = 'ANY 1 ({})'\n", STANDBYS.join(", "));
        for (standby, name) in standbys.iter().zip(STANDBYS) {
            standby.copy(&primary);
            let primary = whoever_is_primary(&addresses, name, &password);
            standby.configure(&format!("{awaited}primary_conninfo = '{primary}'\n"));
            fs::write(standby.data().join("standby.signal"), "").expect("a file that makes it a standby");
            standby.launch();
        }
        primary.configure(&awaited);
        primary.query("postgres", "SELECT pg_reload_conf()");
        let started = Self { primary: Some(primary), standbys, user, addresses };
        started.await_followers();
        started
    }

    /// `postgres://muster:password@127.0.0.1:port,127.0.0.1:port,127.0.0.1:port/muster?…`: whichever of the three
    /// is the primary.
    pub fn url(&self) -> String {
        self.user.url(&self.addresses, DATABASE, "sslmode=disable&target_session_attrs=read-write")
    }

    /// Runs SQL on the primary as the superuser: a row per line, columns separated by `|`.
    pub fn query(&self, sql: &str) -> String {
        self.primary().query(DATABASE, sql)
    }

    /// The same on each standby, which may not have come as far as the primary.
    pub fn query_standbys(&self, sql: &str) -> Vec<String> {
        self.standbys.iter().map(|standby| standby.query(DATABASE, sql)).collect()
    }

    /// `SIGKILL` to the primary and all its processes.
    pub fn kill_primary(&mut self) {
        self.primary().kill();
        self.primary = None;
    }

    /// Makes the standby that has received most the primary, which the other one then follows. With none left to
    /// follow it, as after a second time, commits wait.
    ///
    /// # Panics
    ///
    /// While there is a primary, or no standby.
    pub fn promote(&mut self) {
        assert!(self.primary.is_none(), "there is a primary already");
        eventually("the standbys to have received what they can", || {
            let receiving = self.query_standbys("SELECT 1 FROM pg_stat_wal_receiver");
            receiving.iter().all(String::is_empty).then_some(())
        });
        // The other one need not have what this one lacks: it could follow nobody who is behind.
        let received = |standby: &Server| -> u64 {
            standby.query(DATABASE, "SELECT pg_last_wal_receive_lsn() - '0/0'").parse().expect("a position")
        };
        let foremost = (0..self.standbys.len()).max_by_key(|n| received(&self.standbys[*n]));
        let promoted = self.standbys.remove(foremost.expect("a standby is left"));
        assert_eq!(promoted.query(DATABASE, "SELECT pg_promote()"), "t", "{}", promoted.log());
        self.primary = Some(promoted);
        self.await_followers();
    }

    fn primary(&self) -> &Server {
        self.primary.as_ref().expect("a standby was promoted")
    }

    /// Until the primary has every standby behind it and waits for one of them with each commit.
    fn await_followers(&self) {
        let followers = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum'";
        let all = self.standbys.len().to_string();
        eventually("the standbys to follow", || (self.query(followers) == all).then_some(()));
    }
}

/// Where a standby finds its primary, whichever of the three it is.
fn whoever_is_primary(addresses: &[SocketAddr], name: &str, password: &str) -> String {
    let hosts: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    let ports: Vec<String> = addresses.iter().map(|address| address.port().to_string()).collect();
    format!(
        "host={} port={} user={REPLICATOR} password={password} application_name={name} \
         target_session_attrs=read-write",
        hosts.join(","),
        ports.join(",")
    )
}
