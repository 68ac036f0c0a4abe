//! PostgreSQL for the tests: servers that nobody else uses, and what may happen between them and whoever asks.
//!
//! A [`Cluster`] is one server with as many databases as there are tests. A [`ReplicatedCluster`] is three, of which
//! the first can be lost. A [`Proxy`] stands before a server and breaks connections where the test says.

mod cluster;
mod guard;
mod processes;
mod programs;
mod proxy;
mod replicated;
mod server;
mod tests;
mod user;

pub use cluster::{Cluster, Database};
pub use proxy::{Cut, Proxy};
pub use replicated::ReplicatedCluster;
pub use server::Durability;

/// Connects in plain; the connection ends with the client.
///
/// # Errors
///
/// As [`tokio_postgres::connect`].
pub async fn connect(url: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
