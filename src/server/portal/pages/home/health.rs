//! How the service is: a line for each part, with its number.

use std::time::Duration;

use crate::clock::{DAY_SECONDS, Timestamp};
use crate::enrollment::ClockDifference;
use crate::server::health::{ClockHealth, EndpointHealth, Health, IndexHealth, SigningHealth, StoreHealth};
use crate::server::portal::table::Badge;
use crate::server::portal::words as say;

/// From so few days on a certificate of a listener is told to end soon. Our own are renewed before.
const TLS_DAYS_NEAR: u64 = 14;

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
    if is_of_service {
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
    let left = endpoint.not_after.since(now);
    if left.is_zero() {
        HealthLine::new(false, part, "expired".to_owned())
    } else if left.as_secs() / u64::from(DAY_SECONDS) < TLS_DAYS_NEAR {
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
