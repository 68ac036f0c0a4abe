//! What time it is, as a parameter: nothing below the doors reads the system clock by itself.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where lifetimes are counted in seconds.
pub const DAY_SECONDS: u32 = 86_400;

pub const DAY: Duration = Duration::from_secs(DAY_SECONDS as u64);

/// An instant as whole seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// Whole seconds because certificates (RFC 5280 §4.1.2.5), the enrollment protocol and the
/// management API all speak whole seconds; durations that are measured use [`std::time::Instant`].
///
/// Held as the seconds since the year 0, the first one being 1, so that an instant that may be missing is as small.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

impl Timestamp {
    /// The first instant this type is printed for by RFC 3339's four-digit years.
    const MIN_SECONDS: i64 = -62_167_219_200; // 0000-01-01T00:00:00Z
    const MAX_SECONDS: i64 = 253_402_300_799; // 9999-12-31T23:59:59Z

    /// From seconds since the epoch, clamped to the years 0000 to 9999.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        let seconds = if seconds < Self::MIN_SECONDS {
            Self::MIN_SECONDS
        } else if seconds > Self::MAX_SECONDS {
            Self::MAX_SECONDS
        } else {
            seconds
        };
        let since_year_0 = seconds.abs_diff(Self::MIN_SECONDS);
        Self(NonZeroU64::MIN.saturating_add(since_year_0))
    }

    /// From seconds since the epoch; `None` outside of the years 0000 to 9999.
    pub fn checked_from_unix_seconds(seconds: i64) -> Option<Self> {
        (Self::MIN_SECONDS..=Self::MAX_SECONDS).contains(&seconds).then(|| Self::from_unix_seconds(seconds))
    }

    pub const fn unix_seconds(self) -> i64 {
        (self.0.get() - 1).cast_signed() + Self::MIN_SECONDS
    }

    /// Parses an RFC 3339 instant with any offset; fractions of a second are cut off.
    ///
    /// # Errors
    /// When the text is no RFC 3339 instant.
    pub fn from_rfc3339(text: &str) -> Result<Self, time::error::Parse> {
        OffsetDateTime::parse(text, &Rfc3339).map(Self::from)
    }

    /// The same instant for the X.509 crates.
    pub fn to_offset_date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.unix_seconds()).expect("the constructors keep years 0 to 9999")
    }

    pub fn saturating_add(self, span: Duration) -> Self {
        let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        Self::from_unix_seconds(self.unix_seconds().saturating_add(seconds))
    }

    pub fn saturating_sub(self, span: Duration) -> Self {
        let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        Self::from_unix_seconds(self.unix_seconds().saturating_sub(seconds))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(instant: OffsetDateTime) -> Self {
        Self::from_unix_seconds(instant.unix_timestamp())
    }
}

/// `2026-11-20T16:06:00Z`: UTC, whole seconds, always 20 characters.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = self.to_offset_date_time();
        let (year, month, day) = instant.to_calendar_date();
        let (hour, minute, second) = instant.to_hms();
        // An answer has four of them; digit by digit they cost a tenth of what a format description does.
        let digits = |value: i32, place: i32| b'0' + (value / place % 10) as u8;
        let two = |value: u8| [b'0' + value / 10, b'0' + value % 10];
        let mut text = *b"0000-00-00T00:00:00Z";
        text[..4].copy_from_slice(&[1_000, 100, 10, 1].map(|place| digits(year, place)));
        for (start, value) in [(5, u8::from(month)), (8, day), (11, hour), (14, minute), (17, second)] {
            text[start..start + 2].copy_from_slice(&two(value));
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_rfc3339(&text).map_err(serde::de::Error::custom)
    }
}

/// Where a room asks for the time. Handed to it by `app`.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
        };
        Timestamp::from_unix_seconds(seconds)
    }
}

/// A clock that moves when told to, so that no test sleeps.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.unix_seconds()))
    }

    pub fn advance(&self, span: Duration) {
        self.set(self.now().saturating_add(span));
    }

    pub fn set(&self, instant: Timestamp) {
        self.0.store(instant.unix_seconds(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_whole_seconds_in_utc() {
        let instant = Timestamp::from_rfc3339("2026-11-20T17:06:00.987+01:00").unwrap();
        assert_eq!(instant.to_string(), "2026-11-20T16:06:00Z");
    }

    #[test]
    fn seconds_since_the_epoch_come_back() {
        for seconds in [Timestamp::MIN_SECONDS, -1, 0, 1, 1_795_190_760, Timestamp::MAX_SECONDS] {
            assert_eq!(Timestamp::from_unix_seconds(seconds).unix_seconds(), seconds);
            assert_eq!(Timestamp::checked_from_unix_seconds(seconds), Some(Timestamp::from_unix_seconds(seconds)));
        }
        for outside in [Timestamp::MIN_SECONDS - 1, Timestamp::MAX_SECONDS + 1] {
            assert_eq!(Timestamp::checked_from_unix_seconds(outside), None);
        }
        assert!(Timestamp::from_unix_seconds(-1) < Timestamp::from_unix_seconds(0));
    }

    #[test]
    fn arithmetic_stops_at_the_ends_of_four_digit_years() {
        let end = Timestamp::from_unix_seconds(i64::MAX);
        assert_eq!(end.saturating_add(Duration::MAX).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(end.saturating_sub(Duration::MAX).to_string(), "0000-01-01T00:00:00Z");
    }
}
