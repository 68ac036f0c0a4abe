//! What tests rely on when they rely on these servers.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Cluster, Cut, Database, Durability, Proxy, ReplicatedCluster, connect};
use crate::support::{eventually, patiently};

async fn prepare(url: String) {
    let client = connect(&url).await.unwrap();
    client.batch_execute("CREATE TABLE devices (id BIGINT PRIMARY KEY)").await.unwrap();
}

async fn insert(database: &Database, id: i64) {
    let client = connect(&database.url()).await.unwrap();
    client.execute("INSERT INTO devices VALUES ($1)", &[&id]).await.unwrap();
}

const IDS: &str = "SELECT id FROM devices ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn databases_begin_alike_and_go_their_own_ways() {
    // Of its own: a cluster knows how to prepare one kind of database.
    let cluster = Arc::new(block_in_place(|| Cluster::start(Durability::Memory)));
    let mut making = JoinSet::new();
    for id in 0..8 {
        let cluster = Arc::clone(&cluster);
        making.spawn(async move {
            let database = cluster.database_like(prepare).await;
            insert(&database, id).await;
            (id, database)
        });
    }
    for (id, database) in making.join_all().await {
        assert_eq!(database.query(IDS), id.to_string());
    }
    let tables = cluster.database().query("SELECT count(*) FROM pg_tables WHERE tableowner = 'muster'");
    assert_eq!(tables, "0", "a database that is like no other is empty");
}

#[tokio::test]
async fn nobody_connects_without_the_password() {
    let url = Cluster::shared().database().url();
    assert!(connect(&url.replacen('@', "x@", 1)).await.is_err());
    assert!(connect(&url.replacen("muster:", "postgres:", 1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_takes_no_commit_with_it() {
    let cluster = block_in_place(|| Cluster::start(Durability::Disk));
    let database = cluster.database_like(prepare).await;
    insert(&database, 1).await;
    block_in_place(|| cluster.crash());
    insert(&database, 2).await;
    assert_eq!(database.query(IDS), "1\n2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_is_who_it_says_and_speaks_nothing_else() {
    let cluster = block_in_place(|| Cluster::start_with_tls(Durability::Memory));
    let database = cluster.database();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(cluster.anchor_pem().as_bytes()).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(muster::tls_provider::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let (client, connection) = tokio_postgres::connect(&database.url(), MakeRustlsConnect::new(client)).await.unwrap();
    tokio::spawn(connection);
    let row = client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
    assert!(connect(&database.url().replace("require", "disable")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_the_primary_loses_no_commit() {
    let mut servers = block_in_place(|| ReplicatedCluster::start(Durability::Memory));
    prepare(servers.url()).await;
    let before = connect(&servers.url()).await.unwrap();
    before.execute("INSERT INTO devices VALUES (1)", &[]).await.unwrap();
    let on_all = |servers: &ReplicatedCluster, ids| {
        assert_eq!(servers.query(IDS), ids);
        eventually("the standbys", || servers.query_standbys(IDS).iter().all(|found| found == ids).then_some(()));
    };
    block_in_place(|| on_all(&servers, "1"));

    block_in_place(|| servers.kill_primary());
    assert!(connect(&servers.url()).await.is_err(), "standbys are not written to");
    block_in_place(|| servers.promote());
    assert!(before.execute("INSERT INTO devices VALUES (2)", &[]).await.is_err());
    let after = connect(&servers.url()).await.unwrap();
    after.execute("INSERT INTO devices VALUES (3)", &[]).await.unwrap();
    block_in_place(|| on_all(&servers, "1\n3"));
}

/// Three statements by way of a proxy that cuts at the `n`th.
async fn inserted(cut: Cut, tag: u8, n: usize) -> (Vec<bool>, String, bool) {
    let cluster = block_in_place(|| Cluster::start(Durability::Memory));
    let database = cluster.database_like(prepare).await;
    let proxy = Proxy::start(database.address());
    proxy.cut(cut, tag, n);
    let client = connect(&database.url_at(proxy.address())).await.unwrap();
    let mut answered = Vec::new();
    for id in 1..=3 {
        let statement = format!("INSERT INTO devices VALUES ({id})");
        answered.push(match tag {
            b'Q' => client.batch_execute(&statement).await.is_ok(),
            _ => client.execute(&statement, &[]).await.is_ok(),
        });
    }
    (answered, database.query(IDS).replace('\n', " "), proxy.has_cut())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_cut_where_it_was_ordered() {
    // Prepared, each statement is parsed, executed and closed, with a Sync each time.
    let cases = [
        (Cut::Before, b'Q', 1, 0, ""),
        (Cut::Before, b'Q', 3, 2, "1 2"),
        (Cut::Before, b'E', 2, 1, "1"),
        (Cut::Before, b'S', 5, 1, "1"),
        (Cut::Answer, b'Q', 1, 0, "1"),
        (Cut::Answer, b'Q', 3, 2, "1 2 3"),
        (Cut::Answer, b'E', 2, 1, "1 2"),
        (Cut::Answer, b'S', 5, 1, "1 2"),
    ];
    for (cut, tag, n, answered, ids) in cases {
        let expected = ((1..=3).map(|id| id <= answered).collect(), ids.to_owned(), true);
        assert_eq!(inserted(cut, tag, n).await, expected, "{cut:?} {} {n}", char::from(tag));
    }
    let (answered, _, has_cut) = inserted(Cut::Behind, b'Q', 2).await;
    assert_eq!((answered, has_cut), (vec![true, false, false], true));
    let (answered, ids, has_cut) = inserted(Cut::Answer, b'Q', 4).await;
    assert_eq!((answered, ids.as_str(), has_cut), (vec![true; 3], "1 2 3", false), "there are three");
}

#[tokio::test]
async fn a_stalled_connection_waits_a_severed_one_breaks() {
    let database = Cluster::shared().database();
    let proxy = Proxy::start(database.address());
    let url = database.url_at(proxy.address());
    let client = connect(&url).await.unwrap();

    proxy.stall();
    let (asked, connecting) = (client.batch_execute("SELECT 1"), connect(&url));
    tokio::pin!(asked, connecting);
    let a_moment = Duration::from_millis(50);
    assert!(timeout(a_moment, &mut asked).await.is_err());
    assert!(timeout(a_moment, &mut connecting).await.is_err());
    proxy.pass();
    patiently("the answer", asked).await.unwrap();
    patiently("the connection", connecting).await.unwrap();

    proxy.refuse();
    assert!(connect(&url).await.is_err());
    client.batch_execute("SELECT 1").await.unwrap();
    proxy.sever();
    patiently("the end", async {
        while !client.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    proxy.pass();
    connect(&url).await.unwrap();
}

/// Runs itself in a process of its own, which it kills.
#[test]
fn a_server_ends_with_the_process_that_started_it() {
    const THERE: &str = "MUSTER_TEST_HOLDS_A_SERVER";
    const SERVER: &str = "server:";
    if env::var_os(THERE).is_some() {
        let cluster = Cluster::start(Durability::Memory);
        println!("\n{SERVER}{} {}", cluster.address(), cluster.folder().display());
        loop {
            std::thread::park();
        }
    }
    let mut holder = Command::new(env::current_exe().unwrap())
        .args([std::thread::current().name().unwrap(), "--exact", "--nocapture"])
        .env(THERE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines().map_while(Result::ok);
    let server = said.find_map(|line| line.strip_prefix(SERVER).map(str::to_owned)).expect("a server starts");
    let (address, folder) = server.split_once(' ').unwrap();
    TcpStream::connect(address).unwrap();

    holder.kill().unwrap();
    holder.wait().unwrap();
    eventually("the server's end", || TcpStream::connect(address).is_err().then_some(()));
    eventually("the end of its files", || (!PathBuf::from(folder).exists()).then_some(()));
}
