//! `muster key edit`

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::connection::Connection;
use crate::cli::expiry::Expiry;
use crate::cli::management::Resource;
use crate::cli::selector::KindedSelector;
use crate::cli::{Failure, print_json};
use crate::clock::{Clock as _, SystemClock, Timestamp};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: KindedSelector,
    #[command(flatten)]
    changes: Changes,
    /// Print the key as JSON afterwards
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args, Default)]
struct Changes {
    /// New name; components keep theirs
    #[arg(long)]
    name: Option<String>,
    /// Most deployments, or "none" for no limit; below the count: exhausted
    #[arg(long, value_name = "N|none", value_parser = or_word::<u32>("none"))]
    max_uses: Option<Setting<u32>>,
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    #[arg(long)]
    disable: bool,
    /// Let known hardware enroll again: whoever holds the key and knows a fingerprint can become that component
    #[arg(long, conflicts_with = "refuse_re_enrollment")]
    allow_re_enrollment: bool,
    /// Refuse known hardware that enrolls again
    #[arg(long)]
    refuse_re_enrollment: bool,
    /// Destroy the copy that is kept of the key string; cannot be undone
    #[arg(long)]
    no_view: bool,
    /// 30d, 12h, 2027-01-31T12:00:00Z, or "never"
    #[arg(long, value_name = "WHEN|never", value_parser = or_word::<Expiry>("never"))]
    expires: Option<Setting<Expiry>>,
    /// Replace the networks from which devices may enroll; may be repeated
    #[arg(long, value_name = "CIDR", conflicts_with = "allow_from_everywhere")]
    allow_from: Vec<String>,
    /// Let any address enroll again
    #[arg(long)]
    allow_from_everywhere: bool,
    #[arg(long)]
    description: Option<String>,
    /// Signing certificate, its id or name
    #[arg(long, value_name = "ID|NAME")]
    signing_cert: Option<String>,
}

/// A setting that can also be taken away.
#[derive(Clone, Copy, Debug)]
enum Setting<T> {
    None,
    Some(T),
}

/// Reads a value, or the word for none.
fn or_word<T>(word: &'static str) -> impl Fn(&str) -> Result<Setting<T>, T::Err> + Clone
where
    T: std::str::FromStr,
{
    move |text| if text == word { Ok(Setting::None) } else { text.parse().map(Setting::Some) }
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut changes = arguments.changes.to_json(SystemClock.now());
    if changes.is_empty() && arguments.changes.signing_cert.is_none() {
        return Err(Failure::usage("nothing to change was given; see muster key edit --help"));
    }
    let management = arguments.connection.open().await?;
    let key = arguments.selector.find(&management, Resource::Key).await?;
    if let Some(wanted) = &arguments.changes.signing_cert {
        let certificate = management.find(&[Resource::SigningCertificate], wanted).await?;
        changes.insert("enrollmentCertId".to_owned(), json!(certificate.id()));
    }
    management.edit(key.of, &key.id(), &Value::Object(changes)).await?;
    if arguments.json {
        return print_json(&key.of.shown(management.get(key.of, &key.id()).await?));
    }
    eprintln!("{} was changed.", key.title());
    Ok(())
}

impl Changes {
    /// Only what is to change; the API keeps the rest. `null` takes a setting away.
    fn to_json(&self, now: Timestamp) -> Map<String, Value> {
        let mut changes = Map::new();
        let mut set = |member: &str, value: Option<Value>| {
            if let Some(value) = value {
                changes.insert(member.to_owned(), value);
            }
        };
        let either = |yes: bool, no: bool| (yes || no).then(|| json!(yes));
        set("name", self.name.as_ref().map(|name| json!(name)));
        set("description", self.description.as_ref().map(|text| json!(text)));
        set("enabled", either(self.enable, self.disable));
        set("allowReEnrollment", either(self.allow_re_enrollment, self.refuse_re_enrollment));
        set("exportable", self.no_view.then_some(json!(false)));
        set(
            "maxUsage",
            self.max_uses.map(|maximum| match maximum {
                Setting::None => Value::Null,
                Setting::Some(maximum) => json!(maximum.to_string()),
            }),
        );
        set(
            "expirationInEpochSec",
            self.expires.map(|expires| match expires {
                Setting::None => Value::Null,
                Setting::Some(expires) => json!(expires.instant(now).unix_seconds().to_string()),
            }),
        );
        let replaces_addresses = self.allow_from_everywhere || !self.allow_from.is_empty();
        set("ipAcl", replaces_addresses.then(|| json!(self.allow_from)));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_to_change_is_sent() {
        let now = Timestamp::from_unix_seconds(1_790_000_000);
        assert!(Changes::default().to_json(now).is_empty());
        let changes = Changes {
            disable: true,
            allow_re_enrollment: true,
            max_uses: Some(Setting::None),
            expires: Some(Setting::Some(Expiry::At(now))),
            allow_from_everywhere: true,
            ..Changes::default()
        };
        let expected = json!({
            "enabled": false, "allowReEnrollment": true, "maxUsage": null, "expirationInEpochSec": "1790000000", "ipAcl": [],
        });
        assert_eq!(Value::Object(changes.to_json(now)), expected);
    }
}
