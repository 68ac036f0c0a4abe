//! Which object a command is about.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::management::{Found, Management, Resource};
use crate::domain::Kind;

/// An object of a noun that has kinds.
#[derive(Args)]
pub struct KindedSelector {
    /// Its id or its name
    #[arg(value_name = "ID|NAME")]
    wanted: String,
    /// Look among those of this kind only
    #[arg(long, value_parser = kind())]
    kind: Option<Kind>,
}

/// An object of a noun without kinds.
#[derive(Args)]
pub struct Selector {
    /// Its id or its name
    #[arg(value_name = "ID|NAME")]
    wanted: String,
}

impl KindedSelector {
    pub async fn find(&self, management: &Management, resource: fn(Kind) -> Resource) -> anyhow::Result<Found> {
        management.find(&Resource::of_kinds(resource, self.kind), &self.wanted).await
    }
}

impl Selector {
    pub async fn find(&self, management: &Management, of: Resource) -> anyhow::Result<Found> {
        management.find(&[of], &self.wanted).await
    }
}

/// Reads a kind; completions know them all.
pub fn kind() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)).try_map(|text| text.parse::<Kind>())
}
