//! What happened to a key: its ledger and its refusals, the newest on the key's page, all on pages of
//! their own.

use askama::Template;

use super::find;
use crate::domain::ledger::{LedgerEntry, RefusalTally};
use crate::domain::{ProvisioningKey, Refusal};
use crate::management::sessions::Session;
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{Link, PageHead};
use crate::server::portal::pages::keys::{address, component_link};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Instant};
use crate::server::portal::{Portal, filters};
use crate::store::{KeyUse, Page, PageRequest};

/// Entries on a page of the whole ledger.
const ENTRIES: u32 = 50;

/// Rows of a ledger, newest first.
pub(super) struct Ledger {
    pub(super) lines: Vec<LedgerLine>,
    /// "4,836 entries".
    pub(super) total: String,
    /// Whether the count after each is known: among the newest.
    pub(super) has_counts: bool,
}

pub(super) struct LedgerLine {
    pub(super) number: String,
    pub(super) at: Instant,
    pub(super) entry: &'static str,
    /// "+1", "−1", "0".
    pub(super) change: String,
    /// The key's count after it.
    pub(super) count: String,
    pub(super) component: Option<Link>,
    pub(super) address: String,
    /// Of the certificate that was issued.
    pub(super) serial: String,
}

pub(super) struct RefusalLine {
    pub(super) minute: Instant,
    /// What the matter was the last time.
    pub(super) sentence: String,
    pub(super) code: &'static str,
    pub(super) source: String,
    pub(super) count: String,
    pub(super) reference: String,
}

#[derive(Template)]
#[template(path = "key_uses.html", config = "src/server/portal/askama.toml")]
struct UsesPage {
    frame: Frame,
    head: PageHead,
    ledger: Ledger,
    /// "51–100".
    range: String,
    newer: Option<String>,
    older: Option<String>,
}

#[derive(Template)]
#[template(path = "key_refusals.html", config = "src/server/portal/askama.toml")]
struct RefusalsPage {
    frame: Frame,
    head: PageHead,
    refusals: Vec<RefusalLine>,
}

pub(in crate::server::portal) async fn uses(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let key = find(portal, visit, session).await?.key;
    let page: u64 = visit.query.text("page").parse().ok().filter(|page| *page >= 1).unwrap_or(1);
    let rows = u64::from(ENTRIES);
    let request = PageRequest { offset: (page - 1).saturating_mul(rows), limit: ENTRIES };
    let found = portal.management().list_key_uses(&session.actor, key.customer_id, key.kind, key.id, request).await?;
    let (total, last) = (found.total, found.total.div_ceil(rows).max(1));
    let path = address(&key, "/uses");
    let range = match found.rows.len() as u64 {
        0 => "0".to_owned(),
        count => format!("{}–{}", say::number(request.offset + 1), say::number(request.offset + count)),
    };
    let page = UsesPage {
        frame: frame(portal, visit, session, &key, "Ledger").await?,
        head: head(&key, "Ledger", "What took a use of this key, gave one back, or got a new certificate without one."),
        ledger: Ledger::new(&key, found, None),
        range,
        newer: (page > 1).then(|| format!("{path}?page={}", (page - 1).min(last))),
        older: (page.saturating_mul(rows) < total).then(|| format!("{path}?page={}", page + 1)),
    };
    Ok(Reply::ok(&page))
}

pub(in crate::server::portal) async fn refusals(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let key = find(portal, visit, session).await?.key;
    let tallies = portal.management().list_key_refusals(&session.actor, key.customer_id, key.kind, key.id).await?;
    let lead = "Devices that presented this key and were not enrolled, counted by minute, reason and source. The \
                reference leads to the line of the log.";
    let page = RefusalsPage {
        frame: frame(portal, visit, session, &key, "Refusals").await?,
        head: head(&key, "Refusals", lead),
        refusals: tallies.iter().map(RefusalLine::new).collect(),
    };
    Ok(Reply::ok(&page))
}

async fn frame(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    key: &ProvisioningKey,
    what: &str,
) -> Result<Frame, Trouble> {
    let title = format!("{what} of {}", key.name);
    Frame::around(portal, visit, session, key.customer_id, Place::Keys(key.kind), title).await
}

fn head(key: &ProvisioningKey, title: &str, lead: &str) -> PageHead {
    let mut head = PageHead::below(key.customer_id, Place::Keys(key.kind), key.kind, title);
    head.path.push(Link { label: key.name.to_string(), address: address(key, "") });
    lead.clone_into(&mut head.lead);
    head
}

impl Ledger {
    /// The newest rows, with the count after each.
    pub(super) fn newest(key: &ProvisioningKey, page: Page<KeyUse>) -> Self {
        Self::new(key, page, Some(i64::from(key.usage.uses)))
    }

    fn new(key: &ProvisioningKey, page: Page<KeyUse>, uses: Option<i64>) -> Self {
        let mut after = uses;
        let lines = page.rows.into_iter().map(|row| {
            let delta = row.row.entry.uses_delta();
            let line = LedgerLine::new(key, row, after);
            after = after.map(|count| count - delta);
            line
        });
        Self { lines: lines.collect(), total: say::counted(page.total, "entry", "entries"), has_counts: uses.is_some() }
    }
}

impl LedgerLine {
    fn new(key: &ProvisioningKey, KeyUse { row, component_name }: KeyUse, count: Option<i64>) -> Self {
        let (entry, device) = match &row.entry {
            LedgerEntry::Checkpoint { .. } => ("Earlier entries", None),
            LedgerEntry::ReEnrollment { new, .. } => ("Re-enrollment", Some(new)),
            LedgerEntry::Release { .. } => ("Release", None),
            LedgerEntry::Use { device, .. } => ("Use", Some(device)),
        };
        let component = row.entry.component_id().zip(component_name);
        Self {
            number: say::number(row.sequence),
            at: Instant::to_the_second(row.at),
            entry,
            change: signed(row.entry.uses_delta()),
            count: count.map(|count| say::number(u64::try_from(count).unwrap_or(0))).unwrap_or_default(),
            component: component.map(|(id, name)| component_link(key, id, &name)),
            address: device.map(|device| device.address.to_string()).unwrap_or_default(),
            serial: device.map(|device| device.serial.to_string()).unwrap_or_default(),
        }
    }

    /// What people tell certificates apart by where there is little room.
    pub(super) fn serial_tail(&self) -> &str {
        &self.serial[self.serial.len().saturating_sub(8)..]
    }
}

impl RefusalLine {
    pub(super) fn new(tally: &RefusalTally) -> Self {
        Self {
            minute: Instant::at(tally.minute),
            sentence: sentence(tally.refusal, tally.last_reason.as_str()),
            code: tally.refusal.code(),
            // One address is no network.
            source: tally.source.to_string().trim_end_matches("/32").to_owned(),
            count: say::number(tally.count),
            reference: tally.last_reference.to_string(),
        }
    }
}

/// The facts, which say more than the code. They begin a sentence, unless they begin with a component's name.
fn sentence(refusal: Refusal, facts: &str) -> String {
    let names_component =
        matches!(refusal, Refusal::ComponentDisabled | Refusal::ComponentRevoked | Refusal::ReEnrollmentLimit);
    let mut rest = facts.chars();
    match rest.next() {
        None => say::refusal(refusal).to_owned(),
        Some(_) if names_component => facts.to_owned(),
        Some(first) => format!("{}{}", first.to_uppercase(), rest.as_str()),
    }
}

/// `+1`, `−1` with the sign that is as wide as the plus, `0`.
fn signed(delta: i64) -> String {
    match delta {
        0 => "0".to_owned(),
        _ if delta < 0 => format!("−{}", say::number(delta.unsigned_abs())),
        _ => format!("+{}", say::number(delta.unsigned_abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_of_a_refusal_are_told_as_a_sentence() {
        for (refusal, facts, expected) in [
            (Refusal::InvalidCsr, "the RSA key has 1024 bits", "The RSA key has 1024 bits"),
            (Refusal::AddressNotAllowed, "192.0.2.1 is not in the list", "192.0.2.1 is not in the list"),
            (Refusal::ComponentDisabled, "eu-fra2-3 is disabled", "eu-fra2-3 is disabled"),
            (Refusal::KeyDisabled, "", "The key is disabled"),
            (Refusal::InvalidCsr, "ünknown", "Ünknown"),
        ] {
            assert_eq!(sentence(refusal, facts), expected);
        }
    }

    #[test]
    fn changes_have_signs() {
        assert_eq!([1, 0, -1, 4_812].map(signed), ["+1", "0", "−1", "+4,812"]);
    }
}
