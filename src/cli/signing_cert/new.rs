//! What every new signing certificate is given, wherever it comes from.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::management::members;

#[derive(Args)]
pub struct New {
    #[arg(long)]
    pub name: String,
    #[arg(long)]
    description: Option<String>,
    /// How long the component certificates count that it signs [default: the service's]
    #[arg(long, value_name = "DAYS")]
    component_lifetime: Option<u32>,
}

#[derive(Args)]
pub struct KeyPair {
    /// Of the new key pair [default: ecdsa-p256]
    #[arg(long, value_name = "ALGORITHM", value_parser = ["ecdsa-p256", "ecdsa-p384", "ed25519"])]
    key_algorithm: Option<String>,
}

impl New {
    pub fn to_json(&self) -> Value {
        members([
            ("name", Some(json!(self.name))),
            ("description", self.description.as_ref().map(|text| json!(text))),
            ("componentLifetimeInDays", self.component_lifetime.map(|days| json!(days.to_string()))),
        ])
    }
}

impl KeyPair {
    pub fn add_to(&self, order: &mut Value) {
        if let Some(algorithm) = &self.key_algorithm {
            order["keyAlgorithm"] = json!(algorithm);
        }
    }
}
