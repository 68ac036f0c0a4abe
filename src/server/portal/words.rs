//! How the portal writes numbers, times and spans: the same everywhere, finished before a template
//! sees them.

use std::time::Duration;

use time::macros::format_description;

use crate::clock::{DAY_SECONDS, Timestamp};
use crate::domain::{Refusal, RevocationReason, Role};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = DAY_SECONDS as u64;
/// Roughly; where spans are so long, nobody counts days.
const YEAR: u64 = 365 * DAY;

/// `4,812`.
pub(super) fn number(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 key`, `37 keys`, `no keys`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {many}"),
        1 => format!("1 {one}"),
        _ => format!("{} {many}", number(count)),
    }
}

/// An instant for a `<time>` element: what people read, and the exact one for `title` and `datetime`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instant {
    pub(super) text: String,
    /// `20 Nov 2026, 16:06:11 UTC`.
    pub(super) exact: String,
    /// RFC 3339.
    pub(super) machine: String,
}

impl Instant {
    fn new(at: Timestamp, text: String) -> Self {
        Self { text, exact: format!("{} UTC", to_the_second(at)), machine: at.to_string() }
    }

    /// `20 Nov 2026, 16:06`.
    pub(super) fn at(at: Timestamp) -> Self {
        Self::new(at, minute(at))
    }

    /// With seconds: in ledgers.
    pub(super) fn to_the_second(at: Timestamp) -> Self {
        Self::new(at, to_the_second(at))
    }

    /// `2 min ago` within a day, else the date.
    pub(super) fn past(at: Timestamp, now: Timestamp) -> Self {
        let age = now.since(at).as_secs();
        Self::new(at, if age < DAY && at <= now { ago(age) } else { minute(at) })
    }
}

/// `20 Nov 2026, 16:06`, in UTC.
pub(super) fn minute(at: Timestamp) -> String {
    let shape = format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute]");
    at.to_offset_date_time().format(&shape).expect("a shape without offset formats every instant")
}

/// `16:06`, in UTC.
pub(super) fn time_of_day(at: Timestamp) -> String {
    let shape = format_description!("[hour]:[minute]");
    at.to_offset_date_time().format(&shape).expect("a shape without offset formats every instant")
}

/// `20 Nov 2026`.
pub(super) fn day(at: Timestamp) -> String {
    let shape = format_description!("[day padding:none] [month repr:short] [year]");
    at.to_offset_date_time().format(&shape).expect("a shape without offset formats every instant")
}

/// `20 Nov`, where the year goes without saying.
pub(super) fn day_of_month(at: Timestamp) -> String {
    let shape = format_description!("[day padding:none] [month repr:short]");
    at.to_offset_date_time().format(&shape).expect("a shape without offset formats every instant")
}

/// `Nov`.
pub(super) fn month(at: Timestamp) -> String {
    let shape = format_description!("[month repr:short]");
    at.to_offset_date_time().format(&shape).expect("a shape without offset formats every instant")
}

/// `16:06`.
pub(super) fn hour(at: Timestamp) -> String {
    let shape = format_description!("[hour]:[minute]");
    at.to_offset_date_time().format(&shape).expect("a shape without offset formats every instant")
}

/// `Friday 20 November 2026, 16:06 UTC`.
pub(super) fn whole_date(at: Timestamp) -> String {
    let shape = format_description!("[weekday] [day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
    at.to_offset_date_time().format(&shape).expect("a shape without offset formats every instant")
}

fn to_the_second(at: Timestamp) -> String {
    let shape = format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute]:[second]");
    at.to_offset_date_time().format(&shape).expect("a shape without offset formats every instant")
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..MINUTE => "just now".to_owned(),
        _ if seconds < HOUR => format!("{} min ago", seconds / MINUTE),
        _ => format!("{} h ago", seconds / HOUR),
    }
}

/// `in 5 days`, `in 3 h`, `in 20 min`. What lies behind is `now`.
pub(super) fn ahead(at: Timestamp, now: Timestamp) -> String {
    let left = at.since(now).as_secs();
    if left == 0 { "now".to_owned() } else { format!("in {}", span(Duration::from_secs(left))) }
}

/// One figure: `15 years`, `41 days`, `7 h`, `20 min`, `under a minute`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..MINUTE => "under a minute".to_owned(),
        _ if seconds < HOUR => format!("{} min", seconds / MINUTE),
        _ if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        // Rounded: in a moment less than five days is not in four.
        _ if seconds < 3 * YEAR => format!("{} days", number((seconds + DAY / 2) / DAY)),
        _ => format!("{} years", (seconds + YEAR / 2) / YEAR),
    }
}

pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::Auditor => "Auditor",
        Role::Operator => "Operator",
        Role::Admin => "Admin",
        Role::Owner => "Owner",
    }
}

/// A `User-Agent` in words: "Firefox on Windows". Browsers name each other in theirs, so the order of the looking
/// matters. What is no browser is known by its first word.
pub(super) fn program(user_agent: &str) -> String {
    const BROWSERS: [(&str, &str); 8] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 7] = [
        ("Windows", "Windows"),
        ("iPhone", "an iPhone"),
        ("iPad", "an iPad"),
        ("Mac OS X", "macOS"),
        ("Android", "Android"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let find = |table: &[(&str, &'static str)]| {
        table.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, word)| *word)
    };
    let browser = if user_agent.starts_with("Mozilla/") { find(&BROWSERS) } else { None };
    let first = user_agent.split(['/', ' ']).next().filter(|word| !word.is_empty());
    match (browser.or(first), find(&SYSTEMS)) {
        (None, _) => "Unknown program".to_owned(),
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
    }
}

/// Why a device with a good key was refused, for administrators. Goes without a full stop.
pub(super) const fn refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::AddressNotAllowed => "Address is not in the list of the key or the group",
        Refusal::ClientCertificateSuperseded => "Its certificate was renewed since, with another key pair",
        Refusal::ComponentDisabled => "Same hardware; its component is disabled",
        Refusal::ComponentRevoked => "Same hardware; its component is revoked",
        Refusal::CustomerDisabled => "The customer is disabled",
        Refusal::FingerprintMismatch => "Other hardware than the component's",
        Refusal::GroupDisabled => "The group is disabled",
        Refusal::InvalidCsr => "The certificate request was not accepted",
        Refusal::KeyDisabled => "The key is disabled",
        Refusal::KeyExhausted => "All uses of the key are taken",
        Refusal::KeyExpired => "The key has expired",
        Refusal::ReEnrollmentLimit => "Same hardware; it re-enrolled too often",
        Refusal::ReEnrollmentNotAllowed => "Same hardware; re-enrollment is off",
        Refusal::SigningCertificateUnavailable => "The signing certificate cannot sign",
    }
}

/// Why a certificate was revoked. Goes without a full stop.
pub(super) const fn revocation_reason(reason: RevocationReason) -> &'static str {
    match reason {
        RevocationReason::Unspecified => "No reason given",
        RevocationReason::KeyCompromise => "Key compromised",
        RevocationReason::Superseded => "Superseded",
        RevocationReason::CessationOfOperation => "Out of service",
        RevocationReason::PrivilegeWithdrawn => "Privilege withdrawn",
    }
}

/// A long text that is cut in its middle: the head may be shortened by the browser, the tail, the
/// last eight characters, always stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) whole: String,
    pub(super) head: String,
    pub(super) tail: String,
}

impl Cut {
    /// A text that fits wherever a name stands is not cut.
    pub(super) fn new(text: impl Into<String>) -> Self {
        const FITS: usize = 20;
        let whole = text.into();
        let is_long = whole.chars().nth(FITS).is_some();
        let tail_at = whole.char_indices().rev().nth(7).filter(|_| is_long).map_or(0, |(index, _)| index);
        Self::at(whole, tail_at)
    }

    /// The short form of a key string: from its last `|` on it stays.
    pub(super) fn of_hint(hint: &str) -> Self {
        Self::at(hint.to_owned(), hint.rfind('|').unwrap_or(0))
    }

    fn at(whole: String, index: usize) -> Self {
        let (head, tail) = whole.split_at(index);
        Self { head: head.to_owned(), tail: tail.to_owned(), whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap()
    }

    #[test]
    fn numbers_have_commas() {
        for (found, expected) in [(0_u64, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(found), expected);
        }
        assert_eq!([0, 1, 2_000].map(|n| counted(n, "key", "keys")), ["no keys", "1 key", "2,000 keys"]);
    }

    #[test]
    fn times_are_told_as_people_ask_for_them() {
        let now = at("2026-11-20T16:06:11Z");
        assert_eq!(minute(now), "20 Nov 2026, 16:06");
        assert_eq!(whole_date(now), "Friday 20 November 2026, 16:06 UTC");
        for (when, expected) in [
            ("2026-11-20T16:06:11Z", "just now"),
            ("2026-11-20T16:04:00Z", "2 min ago"),
            ("2026-11-19T16:06:12Z", "23 h ago"),
            ("2026-11-19T16:06:11Z", "19 Nov 2026, 16:06"),
            ("2026-11-21T00:00:00Z", "21 Nov 2026, 00:00"),
        ] {
            assert_eq!(Instant::past(at(when), now).text, expected);
        }
        for (when, expected) in [
            ("2026-11-20T16:06:11Z", "now"),
            ("2026-11-20T16:06:20Z", "in under a minute"),
            ("2026-11-20T17:06:11Z", "in 1 h"),
            ("2026-11-22T16:06:10Z", "in 47 h"),
            ("2026-11-25T16:06:10Z", "in 5 days"),
            ("2026-11-25T17:00:00Z", "in 5 days"),
            ("2029-11-19T16:06:10Z", "in 1,095 days"),
            ("2041-11-17T16:06:11Z", "in 15 years"),
        ] {
            assert_eq!(ahead(at(when), now), expected);
        }
    }

    #[test]
    fn programs_are_known_by_what_they_say_of_themselves() {
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        for (user_agent, expected) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0".to_owned(), "Firefox on Linux"),
            (
                format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/131.0 Safari/537.36"),
                "Chrome on Windows",
            ),
            (format!("Mozilla/5.0 (Windows NT 10.0) {webkit} Chrome/131.0 Safari/537.36 Edg/131.0"), "Edge on Windows"),
            (
                format!("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {webkit} Version/18.1 Safari/605.1"),
                "Safari on macOS",
            ),
            (
                format!("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {webkit} CriOS/131.0 Safari/604.1"),
                "Chrome on an iPhone",
            ),
            (
                format!("Mozilla/5.0 (Linux; Android 14) {webkit} Chrome/131.0 Mobile Safari/537.36"),
                "Chrome on Android",
            ),
            ("curl/8.5.0".to_owned(), "curl"),
            ("muster/0.1.0 (Linux)".to_owned(), "muster on Linux"),
            (String::new(), "Unknown program"),
        ] {
            assert_eq!(program(&user_agent), expected, "{user_agent}");
        }
    }

    #[test]
    fn a_cut_keeps_the_end() {
        let cut = Cut::new("eu-hamburg-port-2026q");
        assert_eq!((cut.head.as_str(), cut.tail.as_str()), ("eu-hamburg-po", "rt-2026q"));
        let cut = Cut::new("eu-hamburg-port-2026");
        assert_eq!((cut.head.as_str(), cut.tail.as_str()), ("", "eu-hamburg-port-2026"));
        let cut = Cut::of_hint("3|id.example|k7Rq2Zx...");
        assert_eq!((cut.head.as_str(), cut.tail.as_str()), ("3|id.example", "|k7Rq2Zx..."));
    }
}
