//! `muster version`

use clap::Args;
use serde_json::json;

use super::{Failure, print, print_json};

#[derive(Args)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if arguments.json {
        return print_json(&json!({ "version": version }));
    }
    print(format_args!("muster {version}\n"))
}
