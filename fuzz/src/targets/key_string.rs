//! The key string, as the server splits it and as a device reads it.

use hyper::Uri;
use muster::domain::key_string::{BOOTSTRAP_CHARACTERS, Inspection, KEY_STRING_BYTES_MAX, KeyString, inspect};
use muster::domain::{Cloud, KeyVersion};

use crate::allocation;

/// Holds: what parses is the text without white space around it, in exactly three parts, and parses again as itself;
/// parsing allocates nothing; what a device takes for whole has a cloud that is an address to call, and a pin only where a
/// check stood; one character changed in what is checked is damage.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    cloud(text);
    let (parsed, allocated) = allocation::of(|| KeyString::parse(text));
    assert_eq!(allocated, 0);
    let Some(parts) = parsed else {
        assert_eq!(inspect(text), Inspection::Damaged);
        return;
    };
    assert!(text.len() <= KEY_STRING_BYTES_MAX);
    let whole = parts.as_str();
    assert_eq!(whole, text.trim_matches(|c: char| c.is_ascii_whitespace()));
    assert_eq!(KeyString::parse(whole).map(|again| again.as_str()), Some(whole));
    let [version, cloud, secret] = whole.split('|').collect::<Vec<_>>()[..] else { panic!("not three parts") };
    assert_eq!(parts.cloud(), cloud);
    assert_eq!(parts.key_id(), &secret[..16]);
    assert_eq!(parts.hint(), format!("{version}|{cloud}|{}...", &secret[..7]));
    match parts.form() {
        Some(KeyVersion::Bare) => assert_eq!((version, secret.len()), ("1", 48)),
        Some(KeyVersion::Bootstrap) => assert_eq!((version, secret.len()), ("3", BOOTSTRAP_CHARACTERS)),
        Some(KeyVersion::Imported) => {}
        None => assert_eq!(inspect(text), Inspection::Damaged),
    }
    if let Inspection::Usable { cloud: found, pin } = inspect(text) {
        assert_eq!(found.as_str(), cloud);
        assert_eq!(inspect(whole), Inspection::Usable { cloud: found, pin });
        assert!(pin.is_none() || parts.form() == Some(KeyVersion::Bootstrap), "a pin without a check");
    }
    if parts.form() == Some(KeyVersion::Bootstrap) {
        one_character_changed(whole, secret);
    }
}

/// At a place that follows from the secret itself.
fn one_character_changed(whole: &str, secret: &str) {
    let at = whole.len() - 1 - usize::from(secret.as_bytes()[20]) % secret.len();
    let other = if &whole[at..=at] == "A" { "B" } else { "A" };
    let changed = format!("{}{other}{}", &whole[..at], &whole[at + 1..]);
    assert_eq!(inspect(&changed), Inspection::Damaged, "{changed}");
}

fn cloud(text: &str) {
    let Ok(cloud) = text.parse::<Cloud>() else { return };
    assert_eq!(cloud.to_string(), text);
    assert!(!cloud.host().contains(['[', ']']) && cloud.port() != 0);
    assert_eq!(cloud.dns_name().is_none(), cloud.host().parse::<std::net::IpAddr>().is_ok());
    let uri: Uri = format!("https://{cloud}/v1/enroll").parse().expect("an address to call");
    assert_eq!(uri.host().map(|host| host.trim_matches(['[', ']'])), Some(cloud.host()));
    assert_eq!(uri.port_u16().unwrap_or(443), cloud.port());
}
