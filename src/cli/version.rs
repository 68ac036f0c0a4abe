//! `muster version`

use clap::Args;
use serde_json::json;

use super::{Failure, print, print_json};
use crate::tls_provider;

#[derive(Args)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let groups = tls_provider::provider().kx_groups.clone();
    let key_exchanges: Vec<_> = groups.iter().map(|group| format!("{:?}", group.name())).collect();
    if arguments.json {
        let tls = json!({ "provider": tls_provider::NAME, "keyExchanges": key_exchanges });
        return print_json(&json!({ "version": version, "tls": tls }));
    }
    print(format_args!("muster {version}\nTLS by {}: {}\n", tls_provider::NAME, key_exchanges.join(", ")))
}
