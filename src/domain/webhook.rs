//! Webhooks: what administrators wait for is sent to a URL of theirs, and where such a URL may lead.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Value, json};

use super::{Cloud, Name, Revision};
use crate::clock::{DAY, Timestamp};
use crate::id::{CustomerId, WebhookDeliveryId, WebhookId};

/// How many a customer has at most.
pub const WEBHOOKS_MAX: u32 = 20;

/// Deliveries of one webhook that wait. While so many do, what happens is not lost: it is told later, many in one.
pub const QUEUE_MAX: u32 = 1_000;

/// Deliveries of one webhook that are over and still shown.
pub const DELIVERIES_SHOWN: u32 = 100;

/// How long a delivery is tried.
pub const TRIED_MAX: Duration = DAY;

/// A webhook that has failed for so long, with nothing delivered, is switched off.
pub const FAILING_MAX: Duration = DAY.saturating_mul(5);

/// A URL that is told of events.
///
/// What happened to it (`last_…`, `failing_since`) is the deliveries' to write; no edit changes it, but that one that
/// [`begins_anew`](Self::begins_anew) is not failing.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    pub id: WebhookId,
    pub customer_id: CustomerId,
    pub name: Name,
    pub url: WebhookUrl,
    pub events: WebhookEvents,
    /// The bytes that deliveries are signed with.
    pub sealed_secret: Vec<u8>,
    pub enabled: bool,
    /// Of components it is told what happens from then on: since it was made, switched on, or asked for them.
    pub since: Timestamp,
    pub last_success_at: Option<Timestamp>,
    pub last_failure_at: Option<Timestamp>,
    /// What the last attempt that failed met; empty: none did.
    pub last_failure: String,
    /// Since when nothing was delivered though it was tried.
    pub failing_since: Option<Timestamp>,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    pub modified_by: Option<u64>,
    pub revision: Revision,
}

/// What a webhook can be told of. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WebhookEvent {
    ComponentEnrolled,
    /// A known device re-enrolled: whoever holds the key string and knows a fingerprint can.
    ComponentTakenOver,
    /// Devices were refused for it, as for the next two.
    GroupDisabled,
    KeyDisabled,
    KeyExhausted,
    KeyExpired,
    KeyExpiring,
    KeyNearlyExhausted,
    RefusalsUnusual,
    SigningCertificateExpired,
    SigningCertificateExpiring,
    /// On demand, to any webhook.
    Test,
}

/// What one webhook is told of: in order, each once, at least one, never [`WebhookEvent::Test`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEvents(Vec<WebhookEvent>);

/// `https://host[:port][/path][?query]`, at most [`WebhookUrl::BYTES_MAX`] bytes of printable ASCII. No user, no
/// fragment; the host is lower-case.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    text: String,
    host: Cloud,
    /// Where path and query begin.
    target: usize,
}

/// One event on its way to one webhook, or where it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDelivery {
    pub id: WebhookDeliveryId,
    pub customer_id: CustomerId,
    pub webhook_id: WebhookId,
    pub event: WebhookEvent,
    /// The body, the same in each attempt.
    pub payload: String,
    pub created_at: Timestamp,
    pub state: DeliveryState,
    pub attempts: u32,
    /// Not before then is it tried; of one that is over, when it ended.
    pub next_at: Timestamp,
    /// What the last attempt came to; empty before the first one is over.
    pub last_result: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    Delivered,
    GivenUp,
    Waiting,
}

/// How far a webhook was told of something, so that it is told once.
///
/// Of ledgers (event [`Self::OF_LEDGER`], whatever of components it is told of): the key and the
/// sequence of the last row. Of all else the object and what was true of it: another value is news again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WebhookMark {
    pub event: WebhookEvent,
    pub object: u64,
    pub value: i64,
}

/// Which addresses deliveries may go to: what everybody reaches on the internet, and what the operator allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destinations {
    pub allowed: Vec<IpNet>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhook {
    #[error("is no event; accepted: {}", Accepted)]
    Event,
    #[error("is empty; at least one of: {}", Accepted)]
    NoEvent,
    #[error(
        "must be https://HOST[:PORT][/PATH], at most 2000 printable ASCII characters, without user name or fragment"
    )]
    Url,
    #[error("leads to an internal address, which webhooks.allow_networks does not name")]
    Internal,
}

impl Webhook {
    /// Whether what happened to deliveries while it was as `before` says nothing of those to come: it leads elsewhere
    /// now, or was off.
    pub fn begins_anew(&self, before: &Self) -> bool {
        self.url != before.url || (self.enabled && !before.enabled)
    }
}

impl WebhookMark {
    /// The event of marks that say how far ledgers were told of.
    pub const OF_LEDGER: WebhookEvent = WebhookEvent::ComponentEnrolled;
}

impl WebhookEvent {
    /// What a webhook can ask for.
    pub const ALL: [Self; 11] = [
        Self::ComponentEnrolled,
        Self::ComponentTakenOver,
        Self::GroupDisabled,
        Self::KeyDisabled,
        Self::KeyExhausted,
        Self::KeyExpired,
        Self::KeyExpiring,
        Self::KeyNearlyExhausted,
        Self::RefusalsUnusual,
        Self::SigningCertificateExpired,
        Self::SigningCertificateExpiring,
    ];

    /// The `type` of a payload.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ComponentEnrolled => "component.enrolled",
            Self::ComponentTakenOver => "component.taken_over",
            Self::GroupDisabled => "group.disabled",
            Self::KeyDisabled => "key.disabled",
            Self::KeyExhausted => "key.exhausted",
            Self::KeyExpired => "key.expired",
            Self::KeyExpiring => "key.expiring",
            Self::KeyNearlyExhausted => "key.nearly_exhausted",
            Self::RefusalsUnusual => "refusals.unusual",
            Self::SigningCertificateExpired => "signing_certificate.expired",
            Self::SigningCertificateExpiring => "signing_certificate.expiring",
            Self::Test => "webhook.test",
        }
    }

    /// Of any, [`Self::Test`] too.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Test]).find(|event| event.as_str() == name)
    }

    /// Whether it is read from the ledgers.
    pub const fn is_of_components(self) -> bool {
        matches!(self, Self::ComponentEnrolled | Self::ComponentTakenOver)
    }
}

struct Accepted;

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&WebhookEvent::ALL.map(WebhookEvent::as_str).join(", "))
    }
}

impl WebhookEvents {
    /// # Errors
    /// None, or one that is none.
    pub fn parse<S: AsRef<str>>(names: &[S]) -> Result<Self, InvalidWebhook> {
        let event = |name: &S| WebhookEvent::ALL.into_iter().find(|event| event.as_str() == name.as_ref());
        let mut events: Vec<_> = names.iter().map(event).collect::<Option<_>>().ok_or(InvalidWebhook::Event)?;
        events.sort_unstable();
        events.dedup();
        if events.is_empty() { Err(InvalidWebhook::NoEvent) } else { Ok(Self(events)) }
    }

    pub fn contains(&self, event: WebhookEvent) -> bool {
        self.0.contains(&event)
    }

    pub fn iter(&self) -> impl Iterator<Item = WebhookEvent> {
        self.0.iter().copied()
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.iter().map(WebhookEvent::as_str).collect()
    }

    /// Whether ledgers are read for it.
    pub fn have_components(&self) -> bool {
        self.iter().any(WebhookEvent::is_of_components)
    }
}

impl WebhookUrl {
    pub const BYTES_MAX: usize = 2_000;
    const SCHEME: &str = "https://";

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and port.
    pub fn host(&self) -> &Cloud {
        &self.host
    }

    /// Path and query; begins with `/`.
    pub fn target(&self) -> String {
        let target = &self.text[self.target..];
        if target.starts_with('/') { target.to_owned() } else { format!("/{target}") }
    }
}

impl FromStr for WebhookUrl {
    type Err = InvalidWebhook;

    fn from_str(text: &str) -> Result<Self, InvalidWebhook> {
        let accepted = |b: u8| b.is_ascii_graphic() && !b"#\\\"<>^`{|}".contains(&b);
        if text.len() > Self::BYTES_MAX || !text.bytes().all(accepted) {
            return Err(InvalidWebhook::Url);
        }
        let rest = text.strip_prefix(Self::SCHEME).ok_or(InvalidWebhook::Url)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let host: Cloud = rest[..end].to_ascii_lowercase().parse().map_err(|_| InvalidWebhook::Url)?;
        if host.port() == 0 {
            return Err(InvalidWebhook::Url);
        }
        let text = format!("{}{host}{}", Self::SCHEME, &rest[end..]);
        Ok(Self { text, host, target: Self::SCHEME.len() + end })
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({})", self.text)
    }
}

/// Without the secret.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, customer_id, name, url, enabled, revision, .. } = self;
        write!(f, "Webhook {{ {customer_id}/{id} {name:?} {url} enabled: {enabled} {revision:?} }}")
    }
}

impl DeliveryState {
    pub const ALL: [Self; 3] = [Self::Delivered, Self::GivenUp, Self::Waiting];

    /// As people are told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::GivenUp => "given-up",
            Self::Waiting => "waiting",
        }
    }
}

impl WebhookDelivery {
    /// One that waits, with the payload that every event has: its type, when it was found, its id, whose it is, and
    /// what is particular to it.
    pub fn new(
        id: WebhookDeliveryId,
        webhook: &Webhook,
        (customer, event): (&Name, WebhookEvent),
        data: &Value,
        now: Timestamp,
    ) -> Self {
        let payload = json!({
            "type": event.as_str(),
            "id": message_id(id),
            "timestamp": now,
            "customer": { "id": webhook.customer_id, "name": customer },
            "data": data,
        });
        Self {
            id,
            customer_id: webhook.customer_id,
            webhook_id: webhook.id,
            event,
            payload: payload.to_string(),
            created_at: now,
            state: DeliveryState::Waiting,
            attempts: 0,
            next_at: now,
            last_result: String::new(),
        }
    }

    /// While it waits for its webhook's turn as well.
    #[must_use]
    pub fn not_before(mut self, turn: Option<Timestamp>) -> Self {
        if self.state == DeliveryState::Waiting {
            self.next_at = turn.map_or(self.next_at, |turn| self.next_at.max(turn));
        }
        self
    }

    /// What receivers know it by: the same in each attempt.
    pub fn message_id(&self) -> String {
        message_id(self.id)
    }
}

fn message_id(id: WebhookDeliveryId) -> String {
    format!("msg_{id}")
}

impl Destinations {
    /// Whether a delivery may go to `address`. IPv4-mapped addresses count as IPv4.
    pub fn permit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.allowed.iter().any(|network| network.contains(&address))
    }

    /// # Errors
    /// [`InvalidWebhook::Internal`] where the host is an address that is not permitted. Names are looked at when they
    /// are resolved, before each attempt.
    pub fn check(&self, url: &WebhookUrl) -> Result<(), InvalidWebhook> {
        match url.host().host().parse() {
            Ok(address) if !self.permit(address) => Err(InvalidWebhook::Internal),
            _ => Ok(()),
        }
    }
}

/// Whether the address is one of the internet's, by the registries of RFC 6890: not this machine's, a site's, a
/// link's, a carrier's, a group's, nor one that only documents or translates.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !SPECIAL_V4.iter().any(|network| network.contains(&v4)),
        IpAddr::V6(v6) => GLOBAL_V6.contains(&v6) && !SPECIAL_V6.iter().any(|network| network.contains(&v6)),
    }
}

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

const SPECIAL_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 8),
    v4(10, 0, 0, 8),
    v4(100, 64, 0, 10),
    v4(127, 0, 0, 8),
    v4(168, 63, 129, 24), // a cloud's own services, at a public address
    v4(169, 254, 0, 16),  // cloud metadata among them
    v4(172, 16, 0, 12),
    v4(192, 0, 0, 24),
    v4(192, 0, 2, 24),
    v4(192, 88, 99, 24),
    v4(192, 168, 0, 16),
    v4(198, 18, 0, 15),
    v4(198, 51, 100, 24),
    v4(203, 0, 113, 24),
    v4(224, 0, 0, 4),
    v4(240, 0, 0, 4),
];

/// All that is given out to the internet. Loopback, unique local, link-local, groups, and the prefixes that hold an
/// IPv4 address (`::/96`, `64:ff9b::/96`) are outside.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

const SPECIAL_V6: [Ipv6Net; 4] = [v6(0x2001, 0, 23), v6(0x2001, 0x0db8, 32), v6(0x2002, 0, 16), v6(0x3fff, 0, 20)];

/// When a delivery is tried again whose attempt number `attempt`, from 1, begins now: after 30 seconds, then three
/// times as long each time, up to six hours. `part` from 0 to 1 spreads it by a quarter to both sides.
pub fn retry_pause(attempt: u32, part: f64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(6 * 3_600);
    grown(attempt, LONGEST, part)
}

/// When anything is tried again of a webhook whose attempt number `failures`, from 1, since the last success begins
/// now: as [`retry_pause`], up to a quarter of an hour, so that a receiver that is back is found soon and one that is
/// not costs little. Longer than an attempt takes: meanwhile no other one is made.
pub fn probe_pause(failures: u32, part: f64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(15 * 60);
    grown(failures, LONGEST, part)
}

fn grown(attempt: u32, longest: Duration, part: f64) -> Duration {
    const FIRST: Duration = Duration::from_secs(30);
    let pause = FIRST.saturating_mul(3_u32.saturating_pow(attempt.saturating_sub(1))).min(longest);
    pause.mul_f64(0.75 + part.clamp(0.0, 1.0) / 2.0)
}

/// Whether `recent` refusals, of this hour and the last one, are more than the usual after `before` in the day
/// before: twenty at least, and a third of the day's, four times what an even rate gives.
pub fn is_unusual(recent: u64, before: u64) -> bool {
    recent >= 20 && recent.saturating_mul(3) >= before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_urls_with_a_plain_host_are_taken() {
        for (text, host, port, target) in [
            ("https://hooks.example.com", "hooks.example.com", 443, "/"),
            ("https://Hooks.Example.com:8443/a/B?c=%20d", "hooks.example.com", 8443, "/a/B?c=%20d"),
            ("https://192.0.2.7/x", "192.0.2.7", 443, "/x"),
            ("https://[2001:db8::1]:444?q", "2001:db8::1", 444, "/?q"),
        ] {
            let url: WebhookUrl = text.parse().unwrap();
            assert_eq!((url.host().host(), url.host().port(), &*url.target()), (host, port, target), "{text}");
            assert_eq!(url.as_str().parse::<WebhookUrl>().unwrap(), url);
        }
        let long = format!("https://hooks.example.com/{}", "x".repeat(WebhookUrl::BYTES_MAX));
        for text in [
            "",
            "http://hooks.example.com/",
            "ftp://hooks.example.com/",
            "https://",
            "https:///path",
            "https://user@hooks.example.com/",
            "https://user:secret@hooks.example.com/",
            "https://hooks.example.com/#fragment",
            "https://hooks.example.com:0/",
            "https://hooks.example.com:99999/",
            "https://hooks.example.com/a b",
            "https://hooks.example.com\\@127.0.0.1/",
            "https://hooks.example.com/\r\nX: y",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://h\u{f6}oks.example.com/",
            &long,
        ] {
            assert_eq!(text.parse::<WebhookUrl>(), Err(InvalidWebhook::Url), "{text:?}");
        }
    }

    #[test]
    fn no_internal_address_is_permitted_unless_configured() {
        let internal = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        let strict = Destinations::default();
        for text in internal {
            assert!(!strict.permit(text.parse().unwrap()), "{text}");
        }
        for text in [
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "2a00::1",
        ] {
            assert!(strict.permit(text.parse().unwrap()), "{text}");
        }
        let lenient = Destinations { allowed: vec!["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()] };
        for (text, is_permitted) in
            [("127.0.0.1", true), ("::ffff:127.0.0.1", true), ("fd00::1", true), ("10.0.0.1", false), ("::1", false)]
        {
            assert_eq!(lenient.permit(text.parse().unwrap()), is_permitted, "{text}");
        }
    }

    #[test]
    fn an_internal_address_is_refused_when_the_webhook_is_made() {
        let check = |text: &str| Destinations::default().check(&text.parse().unwrap());
        assert_eq!(check("https://169.254.169.254/latest"), Err(InvalidWebhook::Internal));
        assert_eq!(check("https://[::ffff:127.0.0.1]/"), Err(InvalidWebhook::Internal));
        assert_eq!(check("https://localhost/"), Ok(()), "a name is looked at when it is resolved");
    }

    #[test]
    fn a_delivery_is_tried_ten_times_in_its_day() {
        let mut at = Duration::ZERO;
        let mut attempts = 1;
        loop {
            at += retry_pause(attempts, 0.5);
            if at > TRIED_MAX {
                break;
            }
            attempts += 1;
        }
        assert_eq!(attempts, 10);
        assert_eq!(retry_pause(1, 0.5), Duration::from_secs(30));
        assert_eq!(retry_pause(3, 0.5), Duration::from_secs(270));
        assert_eq!(
            (retry_pause(1, 0.0), retry_pause(1, 1.0)),
            (Duration::from_millis(22_500), Duration::from_millis(37_500))
        );
        assert_eq!(retry_pause(u32::MAX, 0.5), Duration::from_secs(21_600));
    }

    #[test]
    fn a_receiver_that_is_away_is_looked_for_every_quarter_of_an_hour() {
        let pauses = [1, 2, 3, 4, 5, u32::MAX].map(|failures| probe_pause(failures, 0.5).as_secs());
        assert_eq!(pauses, [30, 90, 270, 810, 900, 900]);
        assert!(probe_pause(1, 0.0) > Duration::from_secs(20), "an attempt is over by then");
    }

    #[test]
    fn what_an_even_rate_gives_is_not_unusual() {
        assert!(!is_unusual(19, 0));
        assert!(is_unusual(20, 0));
        assert!(!is_unusual(100, 1_200), "the same in each hour");
        assert!(!is_unusual(399, 1_200));
        assert!(is_unusual(400, 1_200));
    }

    #[test]
    fn events_are_taken_by_name_and_once() {
        let parse = |names: &[&str]| WebhookEvents::parse(names).map(|events| events.names());
        assert_eq!(
            parse(&["key.expiring", "component.enrolled", "key.expiring"]),
            Ok(vec!["component.enrolled", "key.expiring"])
        );
        assert_eq!(parse(&[]), Err(InvalidWebhook::NoEvent));
        for name in ["", "key", "Key.expiring", "webhook.test"] {
            assert_eq!(parse(&[name]), Err(InvalidWebhook::Event), "{name:?}");
        }
        for event in WebhookEvent::ALL.into_iter().chain([WebhookEvent::Test]) {
            assert_eq!(WebhookEvent::from_name(event.as_str()), Some(event));
        }
        assert!(WebhookEvent::ALL.is_sorted());
    }
}
