//! One server with a database for every test.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::programs;
use super::server::{Durability, Server};
use super::user::{USER, User};
use crate::support::Pki;

/// A private server. Ends with the last of this and its databases.
pub struct Cluster {
    inner: Arc<Inner>,
    /// The name of the database that others begin as.
    template: OnceCell<String>,
}

struct Inner {
    server: Server,
    user: User,
    /// PEM of what the server's certificate hangs from; `None`: it speaks in plain.
    anchor_pem: Option<String>,
    /// How many databases were made.
    databases: AtomicU32,
    /// Held while one is made: its template must be left alone by everybody else.
    making: Mutex<()>,
}

impl Cluster {
    /// Speaks in plain only.
    pub fn start(durability: Durability) -> Self {
        Self::launch(durability, None)
    }

    /// Speaks TLS only, as `localhost` and `127.0.0.1`.
    pub fn start_with_tls(durability: Durability) -> Self {
        Self::launch(durability, Some(&Pki::new()))
    }

    /// One for the whole test process, in plain, whose commits a crash of the machine may lose.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Durability::Memory))
    }

    fn launch(durability: Durability, pki: Option<&Pki>) -> Self {
        let server = Server::prepare();
        server.initialize(durability);
        if let Some(pki) = pki {
            pki.write(&server.data());
            let key = server.data().join("key.pem");
            fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("the key is ours");
            programs::hand_over(&key);
            server.configure("ssl = on\nssl_cert_file = 'chain.pem'\nssl_key_file = 'key.pem'\n");
        }
        let host = if pki.is_some() { "hostssl" } else { "host" };
        server.admit(&format!("{host} all {USER} 127.0.0.1/32 scram-sha-256\n"));
        server.launch();
        let user = User::create(&server);
        let inner = Inner {
            server,
            user,
            anchor_pem: pki.map(|pki| pki.anchor_pem.clone()),
            databases: AtomicU32::new(0),
            making: Mutex::default(),
        };
        Self { inner: Arc::new(inner), template: OnceCell::new() }
    }

    /// A fresh empty database.
    pub fn database(&self) -> Database {
        Database { name: self.inner.make("template1"), cluster: Arc::clone(&self.inner) }
    }

    /// A fresh database that is what `prepare` makes of an empty one. It is called with the URL of one, once for
    /// the whole cluster, and leaves no connection behind. All calls must prepare alike.
    pub async fn database_like<Prepared>(&self, prepare: impl FnOnce(String) -> Prepared) -> Database
    where
        Prepared: Future<Output = ()>,
    {
        let prepared = async {
            let name = self.inner.make("template1");
            prepare(self.inner.url(self.inner.server.address(), &name)).await;
            name
        };
        let template = self.template.get_or_init(|| prepared).await.clone();
        // Elsewhere: the server waits for the end of connections to the template, which may need this thread.
        let cluster = Arc::clone(&self.inner);
        let making = move || Database { name: cluster.make(&template), cluster };
        spawn_blocking(making).await.expect("a database is made")
    }

    /// `SIGKILL`, and starts again on what is there.
    pub fn crash(&self) {
        self.inner.server.kill();
        self.inner.server.launch();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.inner.server.address()
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.inner.server.folder()
    }

    /// PEM of what the server's certificate hangs from.
    ///
    /// # Panics
    ///
    /// If it speaks in plain.
    pub fn anchor_pem(&self) -> &str {
        self.inner.anchor_pem.as_deref().expect("it was started with TLS")
    }
}

impl Inner {
    /// A copy of the database `template`, of which the answer is the name.
    fn make(&self, template: &str) -> String {
        let name = format!("{USER}_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        // Who panicked with it could make none; that says nothing about this one.
        let _alone = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.server.query("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template} OWNER {USER}"));
        name
    }

    fn url(&self, address: SocketAddr, name: &str) -> String {
        let sslmode = if self.anchor_pem.is_some() { "require" } else { "disable" };
        self.user.url(&[address], name, &format!("sslmode={sslmode}"))
    }
}

/// A database of one test. It is dropped with this, whoever is still connected.
pub struct Database {
    cluster: Arc<Inner>,
    name: String,
}

impl Database {
    /// Where its server listens.
    pub fn address(&self) -> SocketAddr {
        self.cluster.server.address()
    }

    /// `postgres://muster:password@127.0.0.1:port/name?sslmode=…`
    pub fn url(&self) -> String {
        self.url_at(self.address())
    }

    /// The same by way of another address: a [`super::Proxy`]'s.
    pub fn url_at(&self, address: SocketAddr) -> String {
        self.cluster.url(address, &self.name)
    }

    /// Runs SQL as the superuser: a row per line, columns separated by `|`.
    pub fn query(&self, sql: &str) -> String {
        self.cluster.server.query(&self.name, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Refused only by a server that is gone already, and with it the database.
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = self.cluster.server.try_query("postgres", &sql);
    }
}
