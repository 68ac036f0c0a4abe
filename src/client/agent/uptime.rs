//! How long this machine has been running, the time asleep included: what no one can set. Particular to the
//! operating system.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Linux leaves sleep out of its monotonic clock.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;

/// macOS and OpenBSD count sleep. Elsewhere it may be left out; then the machine's clock makes up for it.
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// Since some instant before this process began.
pub fn now() -> Duration {
    Duration::try_from(clock_gettime(CLOCK)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_goes_on() {
        let before = super::now();
        assert!(!before.is_zero());
        assert!(super::now() >= before);
    }
}
