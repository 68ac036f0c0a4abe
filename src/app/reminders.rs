//! Certificates that end soon, told in the log: each node once a day, and again only when less time is left than at the
//! last telling.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use super::tls_trust::TlsTrust;
use crate::clock::{DAY, Timestamp};
use crate::domain::attention::{SIGNING_CERTIFICATE_END_NEAR_DAYS, TLS_ANCHOR_END_NEAR_DAYS};
use crate::id::{CustomerId, Id as _, SigningCertificateId};
use crate::store::{Store, StoreError};

/// So many days before the end it is told.
const SIGNING_DAYS: &[u32] = &[SIGNING_CERTIFICATE_END_NEAR_DAYS, 30, 14, 7, 3, 1, 0];

/// Of the TLS trust anchor.
const ANCHOR_DAYS: &[u32] = &[TLS_ANCHOR_END_NEAR_DAYS, 180, 90, 60, 30, 14, 7, 3, 1, 0];

/// Of TLS certificates: what is made here is renewed a month before, so whoever reads this has files to renew, or a
/// service that cannot.
const TLS_DAYS: &[u32] = &[14, 7, 3, 1, 0];

/// Rows per read.
const SCAN_LIMIT: u32 = 1_000;

/// What was told of each certificate.
#[derive(Default)]
pub(super) struct Reminders(HashMap<Subject, Told>);

/// Which certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    SigningCertificate(SigningCertificateId),
    Tls(&'static str),
    TlsAnchor,
}

/// Its end as it was then, and how many of the days had come.
type Told = (Timestamp, usize);

impl Reminders {
    /// Tells of every certificate that has come closer to its end. Those that nobody uses are left out.
    ///
    /// # Errors
    /// The store's; what was told until then is.
    pub(super) async fn tell(&mut self, store: &dyn Store, tls: &TlsTrust, now: Timestamp) -> Result<(), StoreError> {
        let ends = tls.certificate_ends(now);
        if let Some(not_after) = ends.anchor
            && self.is_due(Subject::TlsAnchor, not_after, now, ANCHOR_DAYS)
        {
            let left = Left(not_after, now);
            tracing::warn!(%not_after, "The TLS trust anchor {left}: muster tls-anchor roll makes the next one.");
        }
        for (listener, not_after) in ends.listeners {
            if self.is_due(Subject::Tls(listener), not_after, now, TLS_DAYS) {
                let left = Left(not_after, now);
                tracing::warn!(listener, %not_after, "The TLS certificate of a listener {left}.");
            }
        }
        let mut after = SigningCertificateId::from_raw(0);
        loop {
            let rows = store.scan_signing_certificates(after, SCAN_LIMIT).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id;
            for row in rows.iter().filter(|row| row.certificate.is_some()) {
                let (id, not_after) = (row.id, row.not_after);
                let subject = Subject::SigningCertificate(id);
                let Some(told) = self.news(subject, not_after, now, SIGNING_DAYS) else { continue };
                if is_used(store, row.customer_id, id).await? {
                    self.0.insert(subject, told);
                    let left = Left(not_after, now);
                    tracing::warn!(
                        signing_certificate.id = %id,
                        signing_certificate.name = row.name.as_str(),
                        customer.id = %row.customer_id,
                        %not_after,
                        "A signing certificate {left}, or one above it does: make its successor, then muster \
                         signing-cert replace."
                    );
                }
            }
        }
    }

    /// What to note when it is told; `None`: there is nothing new to tell.
    fn news(&self, subject: Subject, not_after: Timestamp, now: Timestamp, days: &[u32]) -> Option<Told> {
        let come = days_come(not_after, now, days);
        let before = self.0.get(&subject).filter(|(told, _)| *told == not_after).map_or(0, |(_, before)| *before);
        (come > before).then_some((not_after, come))
    }

    /// Notes that it is told, if it is to be.
    fn is_due(&mut self, subject: Subject, not_after: Timestamp, now: Timestamp, days: &[u32]) -> bool {
        let news = self.news(subject, not_after, now, days);
        self.0.extend(news.map(|told| (subject, told)));
        news.is_some()
    }
}

/// How many of `days` before the end have come.
fn days_come(not_after: Timestamp, now: Timestamp, days: &[u32]) -> usize {
    days.iter().filter(|&&days| not_after <= now.saturating_add(DAY * days)).count()
}

/// What ends unused is no news.
async fn is_used(store: &dyn Store, customer: CustomerId, id: SigningCertificateId) -> Result<bool, StoreError> {
    let references = store.find_signing_certificate_references(customer, id).await?;
    Ok(references.is_some_and(|references| references.keys > 0 || references.groups > 0))
}

/// `ends in 14 days`, `has ended`.
struct Left(Timestamp, Timestamp);

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(not_after, now) = self;
        match not_after.since(*now) {
            Duration::ZERO => f.write_str("has ended"),
            left if left < DAY * 2 => write!(f, "ends in {} hours", left.as_secs() / 3_600),
            left => write!(f, "ends in {} days", left.as_secs() / DAY.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    #[test]
    fn a_certificate_is_told_of_once_for_each_of_the_days() {
        let mut reminders = Reminders::default();
        let mut told = Vec::new();
        for days in (0..=70).rev() {
            let now = END.saturating_sub(DAY * days);
            if reminders.is_due(Subject::TlsAnchor, END, now, SIGNING_DAYS) {
                told.push(days);
            }
            assert!(!reminders.is_due(Subject::TlsAnchor, END, now, SIGNING_DAYS), "once");
        }
        assert_eq!(told, SIGNING_DAYS);
    }

    #[test]
    fn a_node_that_was_away_tells_at_once_and_a_successor_begins_anew() {
        let mut reminders = Reminders::default();
        let subject = Subject::SigningCertificate(SigningCertificateId::from_raw(7));
        let now = END.saturating_sub(DAY * 5);
        assert!(reminders.is_due(subject, END, now, SIGNING_DAYS));
        let replaced = END.saturating_add(DAY * 365);
        assert!(!reminders.is_due(subject, replaced, now, SIGNING_DAYS));
        assert!(reminders.is_due(subject, replaced, replaced.saturating_sub(DAY * 60), SIGNING_DAYS));
    }

    #[test]
    fn what_is_left_is_told_in_words() {
        let left = |before: Duration| Left(END, END.saturating_sub(before)).to_string();
        assert_eq!(left(DAY * 60), "ends in 60 days");
        assert_eq!(left(DAY), "ends in 24 hours");
        assert_eq!(left(Duration::ZERO), "has ended");
    }
}
