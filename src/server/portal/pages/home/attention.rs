//! What needs attention, in words: a sentence, a line of figures, a button to the remedy.

use crate::clock::Timestamp;
use crate::domain::attention::{GroupName, SigningCertificateName, full_in};
use crate::domain::key::KeyName;
use crate::domain::{Attention, Role};
use crate::id::CustomerId;
use crate::server::portal::frame::Place;
use crate::server::portal::head::Link;
use crate::server::portal::kinds::words;
use crate::server::portal::words as say;
use crate::store::Page;

pub(super) struct AttentionPanel {
    /// How many there are, and how many of them stand here if not all do.
    pub(super) count: String,
    pub(super) items: Vec<Item>,
}

/// "**before** name **after**", a line of figures beneath it, a button.
pub(super) struct Item {
    /// `i-bad` or `i-warn`.
    pub(super) class: &'static str,
    pub(super) icon: &'static str,
    pub(super) before: &'static str,
    pub(super) name: Link,
    pub(super) after: String,
    pub(super) figures: String,
    /// `None` for those whose role does not allow it.
    pub(super) remedy: Option<Link>,
}

pub(super) fn attention_panel(
    customer: CustomerId,
    role: Role,
    found: &Page<Attention>,
    now: Timestamp,
) -> AttentionPanel {
    let writer = Writer { customer, role, now };
    let items: Vec<_> = found.rows.iter().map(|attention| writer.item(attention)).collect();
    let total = say::number(found.total);
    let count =
        if found.total > items.len() as u64 { format!("The gravest {} of {total}", items.len()) } else { total };
    AttentionPanel { count, items }
}

struct Writer {
    customer: CustomerId,
    role: Role,
    now: Timestamp,
}

impl Writer {
    fn item(&self, attention: &Attention) -> Item {
        let number = |number: u64| say::number(number);
        match attention {
            Attention::SigningCertificateExpired { certificate, expired_at, keys } => {
                let after = self.expired(*expired_at);
                let figures = format!("It signs nothing any more; {}.", used_by(*keys));
                self.of_certificate(certificate, "i-bad", after, figures)
            }
            Attention::KeyExhausted { key, maximum, refusals, since, .. } => {
                let figures = format!(
                    "{} since {}. Raise the maximum of {} or leave it closed.",
                    refused(*refusals),
                    self.since(*since),
                    say::number(*maximum)
                );
                let remedy = ("Edit maximum", "/edit#maximum");
                self.of_key(key, ("i-bad", "warn"), "is exhausted".to_owned(), figures, remedy)
            }
            Attention::GroupDisabled { group, refusals, since } => self.of_group(group, *refusals, *since),
            Attention::KeyDisabled { key, refusals, since } => {
                let figures =
                    format!("{} since {}. Enable it or leave it closed.", refused(*refusals), self.since(*since));
                let remedy = ("Edit status", "/edit#enabled");
                self.of_key(key, ("i-bad", "pause"), "is disabled".to_owned(), figures, remedy)
            }
            Attention::KeyExpired { key, expired_at, uses, maximum } => {
                let figures = format!("{}. {}.", say::minute(*expired_at), of(*uses, *maximum));
                self.of_key(
                    key,
                    ("i-bad", "clock"),
                    self.expired(*expired_at),
                    figures,
                    ("Edit expiry", "/edit#expires"),
                )
            }
            Attention::KeyNearlyExhausted { key, uses, maximum, uses_last_day } => {
                let left = maximum.saturating_sub(*uses);
                let after = if left == 1 {
                    "has 1 use left".to_owned()
                } else {
                    format!("has {} uses left", number(left.into()))
                };
                let full = full_in(*uses, *maximum, *uses_last_day)
                    .map_or_else(String::new, |full| format!(" At today’s rate full in about {}.", say::span(full)));
                let figures = format!("{} of {}.{full}", say::number(*uses), say::number(*maximum));
                self.of_key(key, ("i-warn", "key"), after, figures, ("Edit maximum", "/edit#maximum"))
            }
            Attention::KeyExpiring { key, expires_at, uses, maximum } => {
                let after = format!("expires {}", say::ahead(*expires_at, self.now));
                let figures = format!("{}. {}.", say::minute(*expires_at), of(*uses, *maximum));
                self.of_key(key, ("i-warn", "clock"), after, figures, ("Edit expiry", "/edit#expires"))
            }
            Attention::SigningCertificateExpiring { certificate, expires_at, keys } => {
                let after = format!("expires {}", say::ahead(*expires_at, self.now));
                let day = say::day(*expires_at);
                let figures = format!("{day}. No certificate that it signs lasts longer; {}.", used_by(*keys));
                self.of_certificate(certificate, "i-warn", after, figures)
            }
        }
    }

    fn of_key(
        &self,
        key: &KeyName,
        (class, icon): (&'static str, &'static str),
        after: String,
        figures: String,
        (label, way): (&str, &str),
    ) -> Item {
        let address = format!("{}/{}", Place::Keys(key.kind).address(self.customer), key.id);
        let remedy = self.remedy(Role::Operator, label, format!("{address}{way}"));
        Item { class, icon, before: "", name: Link { label: key.name.to_string(), address }, after, figures, remedy }
    }

    fn of_group(&self, group: &GroupName, refusals: u64, since: Timestamp) -> Item {
        let address = format!("{}/{}", Place::Groups(group.kind).address(self.customer), group.id);
        Item {
            class: "i-bad",
            icon: "pause",
            before: words(group.kind).group,
            name: Link { label: group.name.to_string(), address: address.clone() },
            after: "is disabled".to_owned(),
            figures: format!("{} since {}. Enable it or leave it closed.", refused(refusals), self.since(since)),
            remedy: self.remedy(Role::Operator, "Edit group", format!("{address}/edit")),
        }
    }

    fn of_certificate(
        &self,
        certificate: &SigningCertificateName,
        class: &'static str,
        after: String,
        figures: String,
    ) -> Item {
        let place = Place::SigningCertificates.address(self.customer);
        let address = format!("{place}/{}", certificate.id);
        let remedy = self.remedy(Role::Admin, "Replace it", format!("{address}/replace"));
        let name = Link { label: certificate.name.to_string(), address };
        Item { class, icon: "cert", before: "Signing certificate", name, after, figures, remedy }
    }

    fn remedy(&self, needed: Role, label: &str, address: String) -> Option<Link> {
        (self.role >= needed).then(|| Link { label: label.to_owned(), address })
    }

    /// `13:40` of today, else the day with it.
    fn since(&self, at: Timestamp) -> String {
        if say::day(at) == say::day(self.now) { say::hour(at) } else { say::minute(at) }
    }

    fn expired(&self, at: Timestamp) -> String {
        format!("expired {} ago", say::span(self.now.since(at)))
    }
}

/// `243 requests refused`.
fn refused(count: u64) -> String {
    format!("{} refused", say::counted(count, "request", "requests"))
}

/// `3 keys use it`.
fn used_by(keys: u64) -> String {
    if keys == 1 { "1 key uses it".to_owned() } else { format!("{} use it", say::counted(keys, "key", "keys")) }
}

/// `87 of 120 uses`.
fn of(uses: u32, maximum: Option<u32>) -> String {
    match maximum {
        Some(maximum) => format!("{} of {} uses", say::number(uses), say::number(maximum)),
        None => say::counted(uses.into(), "use", "uses"),
    }
}
