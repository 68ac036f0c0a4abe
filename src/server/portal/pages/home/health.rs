//! How the service is: a line for each part, with its number.

use std::time::Duration;

use crate::clock::{DAY, Timestamp};
use crate::domain::attention::TLS_ANCHOR_END_NEAR;
use crate::enrollment::ClockDifference;
use crate::server::health::{
    AnchorHealth, ClockHealth, EndpointHealth, Health, IndexHealth, SigningHealth, StoreHealth,
};
use crate::server::portal::table::Badge;
use crate::server::portal::words as say;

/// How long before its end a certificate of a listener is warned of. Our own are renewed before.
const TLS_END_NEAR: Duration = DAY.saturating_mul(14);

/// Older backups are warned of.
const BACKUP_OLD: Duration = DAY.saturating_mul(7);

pub(super) struct HealthPanel {
    pub(super) badge: Badge,
    pub(super) lines: Vec<HealthLine>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct HealthLine {
    /// `i-ok`, `i-warn` or `i-bad`.
    pub(super) class: &'static str,
    pub(super) icon: &'static str,
    pub(super) part: &'static str,
    pub(super) number: String,
}

impl HealthLine {
    const fn new(is_good: bool, part: &'static str, number: String) -> Self {
        let (class, icon) = if is_good { ("i-ok", "okc") } else { ("i-bad", "warn") };
        Self { class, icon, part, number }
    }

    const fn warning(part: &'static str, number: String) -> Self {
        Self { class: "i-warn", icon: "warn", part, number }
    }
}

/// Numbers over all customers are for those of the service alone.
pub(super) fn health_panel(health: &Health, is_of_service: bool, now: Timestamp) -> HealthPanel {
    let mut lines = vec![
        store(&health.store),
        signing(health.signing, is_of_service),
        index(&health.index, is_of_service),
        clock(health.clock),
    ];
    lines.extend(health.endpoints.iter().map(|endpoint| tls(endpoint, now)));
    lines.extend(health.anchor.map(|anchor| tls_anchor(anchor, now)));
    if is_of_service {
        lines.push(last_backup(health.last_backup, now));
        lines.push(HealthLine {
            class: "",
            icon: "info",
            part: "Unknown keys",
            number: format!("{} since the start", say::number(health.unknown_keys)),
        });
    }
    let badge = if health.is_ready() {
        Badge::new("badge-ok", "dot", "Ready")
    } else {
        Badge::new("badge-bad", "warn", "Not ready")
    };
    HealthPanel { badge, lines }
}

fn store(store: &StoreHealth) -> HealthLine {
    let number = match store.commit_took {
        Some(took) => format!("{}, {}", store.engine, milliseconds(took)),
        None => format!("{}, does not answer", store.engine),
    };
    HealthLine::new(store.is_ready, "Store", number)
}

fn signing(signing: SigningHealth, is_of_service: bool) -> HealthLine {
    let number = match (is_of_service, signing.is_ready()) {
        (true, _) => format!("{} of {} ready", signing.able, signing.meant),
        (false, true) => "ready".to_owned(),
        (false, false) => "not ready".to_owned(),
    };
    HealthLine::new(signing.is_ready(), "Signing", number)
}

fn index(index: &IndexHealth, is_of_service: bool) -> HealthLine {
    let state = match index.changes_behind {
        Some(0) => "current".to_owned(),
        Some(behind) => format!("{} behind", say::counted(behind, "change", "changes")),
        None => "catching up".to_owned(),
    };
    let number = match is_of_service {
        true => format!("{}, {state}", say::counted(index.keys as u64, "key", "keys")),
        false => state,
    };
    HealthLine::new(index.is_ready, "Index", number)
}

fn clock(clock: ClockHealth) -> HealthLine {
    let number = match clock {
        ClockHealth { is_after_first_start: false, .. } => "before the first start".to_owned(),
        ClockHealth { difference, .. } if difference == ClockDifference::default() => {
            "agrees with the store".to_owned()
        }
        ClockHealth { difference, .. } => difference.to_string(),
    };
    HealthLine::new(clock.is_ready(), "Clock", number)
}

fn tls(endpoint: &EndpointHealth, now: Timestamp) -> HealthLine {
    let part = if endpoint.listener == "enroll" { "Enrollment TLS" } else { "Management TLS" };
    until(part, endpoint.not_after, TLS_END_NEAR, now)
}

fn tls_anchor(anchor: AnchorHealth, now: Timestamp) -> HealthLine {
    let line = until("TLS trust anchor", anchor.not_after, TLS_ANCHOR_END_NEAR, now);
    match anchor.previous_not_after {
        Some(_) => HealthLine { number: format!("{}, being rolled", line.number), ..line },
        None => line,
    }
}

/// Of a database others may make backups that nobody here knows of: that there is none is no warning.
fn last_backup(made_at: Option<Timestamp>, now: Timestamp) -> HealthLine {
    let part = "Last backup";
    match made_at.map(|made_at| now.since(made_at)) {
        None => HealthLine { class: "", icon: "info", part, number: "none of this data directory".to_owned() },
        Some(age) if age > BACKUP_OLD => HealthLine::warning(part, format!("{} old", say::span(age))),
        Some(age) => HealthLine::new(true, part, format!("{} old", say::span(age))),
    }
}

fn until(part: &'static str, not_after: Timestamp, near: Duration, now: Timestamp) -> HealthLine {
    let left = not_after.since(now);
    if left.is_zero() {
        HealthLine::new(false, part, "expired".to_owned())
    } else if left < near {
        HealthLine::warning(part, format!("{} left", say::span(left)))
    } else {
        HealthLine::new(true, part, format!("{} left", say::span(left)))
    }
}

/// `1.8 ms`.
fn milliseconds(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_warned_of_a_year_before_its_end_and_told_while_it_is_rolled() {
        let now = Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap();
        let in_days = |days: u32| now.saturating_add(DAY * days);
        let line = |days, previous: Option<u32>| {
            let anchor = AnchorHealth { not_after: in_days(days), previous_not_after: previous.map(in_days) };
            let line = tls_anchor(anchor, now);
            (line.class, line.number)
        };
        assert_eq!(line(366, None), ("i-ok", "366 days left".to_owned()));
        assert_eq!(line(364, None), ("i-warn", "364 days left".to_owned()));
        assert_eq!(line(7_300, Some(30)), ("i-ok", "20 years left, being rolled".to_owned()));
        assert_eq!(line(0, None), ("i-bad", "expired".to_owned()));
    }

    #[test]
    fn an_old_backup_is_warned_of() {
        let now = Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap();
        let line = |days: u32| last_backup(Some(now.saturating_sub(DAY * days)), now);
        assert_eq!((line(7).class, line(8).class), ("i-ok", "i-warn"));
        assert_eq!(line(8).number, "8 days old");
        assert_eq!(last_backup(None, now).number, "none of this data directory");
    }

    #[test]
    fn a_clock_is_told_by_how_much_it_is_off() {
        let line = |is_after_first_start, store_ahead_seconds| {
            let difference = ClockDifference { store_ahead_seconds };
            let line = clock(ClockHealth { is_after_first_start, difference });
            (line.class, line.number)
        };
        assert_eq!(line(true, 0), ("i-ok", "agrees with the store".to_owned()));
        assert_eq!(line(true, -5), ("i-ok", "5 s ahead of the store's".to_owned()));
        assert_eq!(line(true, 6), ("i-bad", "6 s behind the store's".to_owned()));
        assert_eq!(line(false, 0), ("i-bad", "before the first start".to_owned()));
    }
}
