//! How members of the API's objects read on a terminal.

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::domain::Kind;

/// The member as text; empty if it is absent.
pub fn text(object: &Value, member: &str) -> String {
    match &object[member] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

pub fn flag(object: &Value, member: &str) -> bool {
    text(object, member) == "true"
}

pub fn yes_no(object: &Value, member: &str) -> String {
    if flag(object, member) { "yes" } else { "no" }.to_owned()
}

/// Of the member `enabled`.
pub fn status(object: &Value) -> String {
    if flag(object, "enabled") { "enabled" } else { "disabled" }.to_owned()
}

/// Seconds since the epoch as `2026-11-20T16:06:00Z`; empty if they are absent.
pub fn instant(object: &Value, member: &str) -> String {
    let seconds = text(object, member).parse().ok();
    seconds.map_or_else(String::new, |seconds| Timestamp::from_unix_seconds(seconds).to_string())
}

/// The same, or "never".
pub fn instant_or_never(object: &Value, member: &str) -> String {
    Some(instant(object, member)).filter(|text| !text.is_empty()).unwrap_or_else(|| "never".to_owned())
}

/// The address list, or that there is none.
pub fn allowed_from(object: &Value) -> String {
    let addresses: Vec<_> = object["ipAcl"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if addresses.is_empty() { "everywhere".to_owned() } else { addresses.join(", ") }
}

/// The object with its kind, as `--json` prints it.
pub fn with_kind(kind: Kind, mut object: Value) -> Value {
    object["kind"] = json!(kind);
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_empty() {
        let object = json!({ "enabled": true, "times": "3", "at": "1790000000", "ipAcl": ["192.0.2.0/24", "::1"] });
        assert_eq!((text(&object, "times"), text(&object, "none")), ("3".into(), String::new()));
        assert_eq!((yes_no(&object, "enabled"), yes_no(&object, "none")), ("yes".into(), "no".into()));
        assert_eq!((instant(&object, "at"), instant(&object, "none")), ("2026-09-21T14:13:20Z".into(), String::new()));
        assert_eq!(allowed_from(&object), "192.0.2.0/24, ::1");
        assert_eq!(allowed_from(&json!({})), "everywhere");
    }
}
