//! When a key ends, as people type it.

use std::str::FromStr;
use std::time::Duration;

use crate::clock::{DAY_SECONDS, Timestamp};

/// `30d` from now, or an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    After(Duration),
    At(Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time span such as 90m, 12h, 30d or 4w, or an instant such as 2027-01-31T12:00:00Z was expected")]
pub struct InvalidExpiry;

impl Expiry {
    pub fn instant(self, now: Timestamp) -> Timestamp {
        match self {
            Self::After(span) => now.saturating_add(span),
            Self::At(instant) => instant,
        }
    }
}

impl FromStr for Expiry {
    type Err = InvalidExpiry;

    fn from_str(text: &str) -> Result<Self, InvalidExpiry> {
        if let Ok(instant) = Timestamp::from_rfc3339(text) {
            return Ok(Self::At(instant));
        }
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(InvalidExpiry)?;
        let (number, unit) = text.split_at(unit_at);
        let unit_seconds: u64 = match unit {
            "m" => 60,
            "h" => 3_600,
            "d" => DAY_SECONDS.into(),
            "w" => 604_800,
            _ => return Err(InvalidExpiry),
        };
        let number: u64 = number.parse().map_err(|_| InvalidExpiry)?;
        let seconds = number.checked_mul(unit_seconds).filter(|seconds| *seconds > 0).ok_or(InvalidExpiry)?;
        Ok(Self::After(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_instants() {
        let now = Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap();
        for (text, expected) in [
            ("90m", "2026-11-20T17:36:00Z"),
            ("12h", "2026-11-21T04:06:00Z"),
            ("30d", "2026-12-20T16:06:00Z"),
            ("4w", "2026-12-18T16:06:00Z"),
            ("2027-01-31T12:00:00+01:00", "2027-01-31T11:00:00Z"),
        ] {
            assert_eq!(text.parse::<Expiry>().unwrap().instant(now).to_string(), expected, "{text}");
        }
        for text in
            ["", "d", "0d", "30", "-1d", "1y", "1 d", "99999999999999999999d", "18446744073709551615w", "2027-01-31"]
        {
            assert_eq!(text.parse::<Expiry>(), Err(InvalidExpiry), "{text:?}");
        }
    }
}
