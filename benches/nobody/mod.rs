//! A TLS client that leaves the work to the server: it believes whatever certificate it is shown, and its private key for
//! the exchange is the number one, so that the server's share is the secret. A flood needs no more, and its handshakes
//! cost the server several times what they cost it.

use std::sync::Arc;

use rustls::crypto::{ActiveKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup};
use rustls::{ClientConfig, Error, NamedGroup};

use crate::credulous;

pub fn tls_config() -> ClientConfig {
    let provider = CryptoProvider { kx_groups: vec![&One], ..CryptoProvider::clone(&muster::tls_provider::provider()) };
    credulous::tls_config(Arc::new(provider))
}

/// ECDH over P-256 with the private key one.
#[derive(Debug)]
struct One;

/// One times the generator, uncompressed (SEC 1 §2.3.3, SEC 2 §2.4.2).
const GENERATOR: [u8; 65] = *b"\x04\
    \x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\
    \x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
    \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\
    \x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";

impl SupportedKxGroup for One {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(One))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

impl ActiveKeyExchange for One {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        // Its first coordinate, between the form's byte and the other coordinate.
        Ok(SharedSecret::from(&share[1..33]))
    }

    fn pub_key(&self) -> &[u8] {
        &GENERATOR
    }

    fn group(&self) -> NamedGroup {
        self.name()
    }
}
