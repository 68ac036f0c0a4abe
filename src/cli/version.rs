//! `muster version`

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, print, print_json};
use crate::tls_provider;

#[derive(Args)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What this program was built from, by what, for what: `build.rs` found it out.
struct Build {
    /// 40 hex digits; `None` when nobody knew it, and in debug builds.
    commit: Option<&'static str>,
    /// Whether the sources differed from the commit.
    is_dirty: bool,
    compiler: &'static str,
    /// As the compiler calls it.
    target: &'static str,
    /// `debug` or `release`.
    profile: &'static str,
    features: Vec<&'static str>,
}

impl Build {
    fn of_this_program() -> Self {
        let from = env!("MUSTER_BUILT_FROM");
        let commit = from.strip_suffix("-dirty").unwrap_or(from);
        Self {
            commit: Some(commit).filter(|commit| !commit.is_empty()),
            is_dirty: commit.len() < from.len(),
            compiler: env!("MUSTER_BUILT_BY"),
            target: env!("MUSTER_BUILT_FOR"),
            profile: env!("MUSTER_BUILT_AS"),
            features: env!("MUSTER_BUILT_WITH").split(',').filter(|name| !name.is_empty()).collect(),
        }
    }

    fn commit(&self) -> String {
        match (self.commit, self.is_dirty) {
            (None, _) => "unknown".to_owned(),
            (Some(commit), false) => commit.to_owned(),
            (Some(commit), true) => format!("{commit}, with changes of its own"),
        }
    }

    fn features(&self) -> String {
        if self.features.is_empty() { "none".to_owned() } else { self.features.join(", ") }
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let build = Build::of_this_program();
    let groups = tls_provider::provider().kx_groups.clone();
    let key_exchanges: Vec<_> = groups.iter().map(|group| format!("{:?}", group.name())).collect();
    if arguments.json {
        return print_json(&json!({
            "version": version,
            "commit": build.commit,
            "dirty": build.commit.map_or(Value::Null, |_| json!(build.is_dirty)),
            "compiler": build.compiler,
            "target": build.target,
            "profile": build.profile,
            "features": build.features,
            "tls": { "provider": tls_provider::NAME, "keyExchanges": key_exchanges },
        }));
    }
    print(format_args!(
        "muster {version}\nCommit: {}\nBuilt by {} for {}, {}, features: {}\nTLS by {}: {}\n",
        build.commit(),
        build.compiler,
        build.target,
        build.profile,
        build.features(),
        tls_provider::NAME,
        key_exchanges.join(", ")
    ))
}
