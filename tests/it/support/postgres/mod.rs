//! PostgreSQL for the tests: servers that nobody else uses, with as many databases as there are tests.

mod cluster;
mod guard;
mod processes;
mod programs;
mod server;
#[cfg(test)]
mod tests;

pub use cluster::{Cluster, Database};
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
