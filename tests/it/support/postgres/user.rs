//! Who Muster is to a server.

use std::net::SocketAddr;

use super::server::Server;

/// Name of the user, who owns every database.
pub const USER: &str = "muster";

/// A user with a password that nobody else has.
pub struct User {
    password: String,
}

impl User {
    /// Creates the user; the server must admit it.
    pub fn create(server: &Server) -> Self {
        let password = random_password();
        server.query("postgres", &format!("CREATE ROLE {USER} LOGIN PASSWORD '{password}'"));
        Self { password }
    }

    /// `options`: `name=value&…`
    pub fn url(&self, addresses: &[SocketAddr], database: &str, options: &str) -> String {
        let hosts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        format!("postgres://{USER}:{}@{}/{database}?{options}", self.password, hosts.join(","))
    }
}

/// 32 lower-case hex digits.
pub fn random_password() -> String {
    let bytes: [u8; 16] = ring::rand::generate(&ring::rand::SystemRandom::new()).expect("random bytes").expose();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
