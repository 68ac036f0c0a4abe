//! When the agent does what. Nothing here waits, looks at a clock or draws a number: instants and chances are
//! parameters.

use std::time::Duration;

use crate::client::endpoint::{DELAY_MAX, spread_delay};
use crate::clock::Timestamp;

/// Renewals are spread over this part of what is left of a life from `renewAfter` on; the rest is for trying again.
const SPREAD_PART: f64 = 0.5;
/// While a certificate lasts, pauses grow to this part of what is left of it.
const PAUSE_PART: u32 = 8;
/// Longest pause before something that may pass is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// A refusal is tried again after three to five quarters of it.
const REFUSED_PAUSE: Duration = Duration::from_secs(3_600);
/// Less may be the network's delay and the rounding of two clocks to whole seconds.
const CLOCK_TOLERANCE_SECONDS: u64 = 5;

/// An instant as this machine knows it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// What the machine's clock says; it may be wrong, and may be set.
    pub wall: Timestamp,
    /// Since the machine started, sleep included; goes on evenly, whatever the clock is set to.
    pub uptime: Duration,
}

/// What time it is where certificates are made, as far as that is known.
#[derive(Debug)]
pub struct ServerClock {
    /// What the server said, and the uptime when it did.
    heard: Option<(Timestamp, Duration)>,
    /// The server's clock minus this machine's, in seconds, when it was last heard.
    difference: i64,
    /// The difference that was told to people.
    told: i64,
}

impl ServerClock {
    /// `recorded`: the difference at the last answer of a former process, 0 if there was none.
    pub fn new(recorded: i64) -> Self {
        Self { heard: None, difference: recorded, told: 0 }
    }

    /// The latest of what may be true: to renew early is harmless, to be late is not. The machine's clock may have been
    /// set right since it was compared, and its uptime may have stood still, as in a virtual machine that was paused.
    pub fn now(&self, moment: Moment) -> Timestamp {
        let by_difference = shifted(moment.wall, self.difference);
        match self.heard {
            Some((at, uptime)) => by_difference.max(at.saturating_add(moment.uptime.saturating_sub(uptime))),
            None => by_difference.max(moment.wall),
        }
    }

    /// The server's clock, from an answer or a refusal. The difference in seconds if people should hear of it: it is not
    /// what they were told last.
    pub fn hear(&mut self, server_time: Timestamp, moment: Moment) -> Option<i64> {
        self.heard = Some((server_time, moment.uptime));
        self.difference = server_time.unix_seconds() - moment.wall.unix_seconds();
        let is_news = self.difference.abs_diff(self.told) > CLOCK_TOLERANCE_SECONDS;
        is_news.then(|| {
            self.told = self.difference;
            self.difference
        })
    }
}

fn shifted(instant: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(instant.unix_seconds().saturating_add(seconds))
}

/// The part of a certificate's life that matters here, by the server's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Life {
    pub renew_after: Timestamp,
    pub not_after: Timestamp,
    /// Where in the spread this certificate is renewed: 0 to 1, the same however often the agent starts.
    pub chance: f64,
}

impl Life {
    /// The certificate's serial number is random: its last 8 hex digits are the chance.
    pub fn of(serial_number: &str, renew_after: Timestamp, not_after: Timestamp) -> Self {
        let digits = serial_number.len().checked_sub(8).and_then(|from| serial_number.get(from..));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or_default();
        Self { renew_after, not_after, chance: f64::from(number) / f64::from(u32::MAX) }
    }

    /// When it is to be renewed.
    pub fn renewal(&self) -> Timestamp {
        let rest = self.not_after.since(self.renew_after);
        self.renew_after.saturating_add(rest.mul_f64(SPREAD_PART * self.chance))
    }
}

/// Why an attempt came to nothing, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setback {
    /// No network, no server, one that is busy.
    Passing { retry_after: Option<Duration> },
    /// Somebody decided it.
    Refused,
    /// Something on this machine or around it is not as it should be: no key yet, a full disk, a server that is not
    /// the one that is trusted.
    Standing,
}

/// Until when there is no further attempt.
#[derive(Debug, Default)]
pub struct Pause {
    /// As uptime.
    until: Duration,
    setbacks: u32,
}

impl Pause {
    /// Zero: it is over.
    pub fn left(&self, moment: Moment) -> Duration {
        self.until.saturating_sub(moment.uptime)
    }

    pub fn end(&mut self) {
        *self = Self::default();
    }

    /// How long it is, from `moment` on. `now` is the server's clock, `life` what the certificate has.
    pub fn begin(
        &mut self,
        setback: Setback,
        life: Option<&Life>,
        now: Timestamp,
        moment: Moment,
        random: f64,
    ) -> Duration {
        let pause = match setback {
            Setback::Passing { retry_after } => {
                spread_delay(self.setbacks, retry_after, longest_pause(life, now), random)
            }
            Setback::Standing => spread_delay(self.setbacks, None, PAUSE_MAX, random),
            Setback::Refused => REFUSED_PAUSE.mul_f64(0.75 + random / 2.0),
        };
        self.setbacks = self.setbacks.saturating_add(1);
        self.until = moment.uptime + pause;
        pause
    }
}

/// Who has no certificate waits as `muster enroll` does.
fn longest_pause(life: Option<&Life>, now: Timestamp) -> Duration {
    let left = life.map_or(Duration::ZERO, |life| life.not_after.since(now));
    (left / PAUSE_PART).clamp(DELAY_MAX, PAUSE_MAX)
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Enroll,
    Renew,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Do(Task),
    Wait(Duration),
}

/// `life`: of the certificate, if there is one; `is_asked`: somebody wants it renewed, due or not.
pub fn next(life: Option<&Life>, is_asked: bool, pause: &Pause, now: Timestamp, moment: Moment) -> Next {
    let left = pause.left(moment);
    if !left.is_zero() {
        return Next::Wait(left);
    }
    let Some(life) = life else { return Next::Do(Task::Enroll) };
    let until = life.renewal().since(now);
    if is_asked || until.is_zero() { Next::Do(Task::Renew) } else { Next::Wait(until) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
    const DAY: u64 = 86_400;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn after(span: u64) -> Timestamp {
        START.saturating_add(seconds(span))
    }

    /// The clock says `wall` seconds, and `uptime` seconds have gone by.
    fn moment(wall: u64, uptime: u64) -> Moment {
        Moment { wall: after(wall), uptime: seconds(uptime) }
    }

    /// Of 90 days.
    fn life(chance: f64) -> Life {
        Life { renew_after: after(60 * DAY), not_after: after(90 * DAY), chance }
    }

    #[test]
    fn renewals_are_spread_over_half_of_the_last_third() {
        assert_eq!(life(0.0).renewal(), after(60 * DAY));
        assert_eq!(life(0.5).renewal(), after(67 * DAY + DAY / 2));
        assert_eq!(life(1.0).renewal(), after(75 * DAY));
        let short = Life { renew_after: after(40), not_after: after(60), chance: 1.0 };
        assert_eq!(short.renewal(), after(50));
    }

    #[test]
    fn the_chance_is_the_serial_numbers() {
        let chance = |serial: &str| Life::of(serial, START, after(DAY)).chance;
        assert_eq!(chance("0123456789abcdef0123456700000000"), 0.0);
        assert_eq!(chance("0123456789abcdef01234567ffffffff"), 1.0);
        assert!((chance("0123456789abcdef0123456780000000") - 0.5).abs() < 1e-6);
        assert_eq!(chance("7"), 0.0, "one that is not ours");
        assert_eq!(chance(""), 0.0);
    }

    #[test]
    fn without_a_certificate_one_is_asked_for_at_once() {
        assert_eq!(next(None, false, &Pause::default(), START, moment(0, 0)), Next::Do(Task::Enroll));
    }

    #[test]
    fn a_certificate_is_renewed_when_it_is_due_and_not_before() {
        let (life, pause) = (life(0.0), Pause::default());
        let at = |now: u64| next(Some(&life), false, &pause, after(now), moment(now, now));
        assert_eq!(at(0), Next::Wait(seconds(60 * DAY)));
        assert_eq!(at(60 * DAY - 1), Next::Wait(seconds(1)));
        assert_eq!(at(60 * DAY), Next::Do(Task::Renew));
        assert_eq!(at(400 * DAY), Next::Do(Task::Renew), "the server may still accept it");
        assert_eq!(next(Some(&life), true, &pause, START, moment(0, 0)), Next::Do(Task::Renew), "somebody asked");
    }

    #[test]
    fn a_pause_counts_the_time_asleep_and_not_what_the_clock_is_set_to() {
        let mut pause = Pause::default();
        let begun = pause.begin(Setback::Refused, None, START, moment(0, 100), 0.5);
        assert_eq!(begun, REFUSED_PAUSE);
        let at = |wall, uptime| next(None, false, &pause, after(wall), moment(wall, uptime));
        assert_eq!(at(999_999, 100), Next::Wait(REFUSED_PAUSE), "the clock was set");
        assert_eq!(at(0, 3_700), Next::Do(Task::Enroll), "an hour went by");
        pause.end();
        assert_eq!(pause.left(moment(0, 0)), Duration::ZERO);
    }

    #[test]
    fn a_refusal_comes_back_after_an_hour_with_spread() {
        for random in [0.0, 0.3, 1.0] {
            let pause = Pause::default().begin(Setback::Refused, Some(&life(0.0)), START, moment(0, 0), random);
            assert!(pause >= seconds(2_700) && pause <= seconds(4_500), "{pause:?}");
        }
    }

    #[test]
    fn pauses_grow_to_a_part_of_what_is_left() {
        let passing = Setback::Passing { retry_after: None };
        let longest = |life: Option<Life>, now: u64| {
            let mut pause = Pause::default();
            let mut longest = Duration::ZERO;
            for n in 0..40 {
                let next = pause.begin(passing, life.as_ref(), after(now), moment(0, 0), 1.0);
                assert!(next >= longest, "{n}: {next:?}");
                longest = next;
            }
            longest
        };
        assert_eq!(longest(None, 0), DELAY_MAX);
        assert_eq!(longest(Some(life(0.0)), 60 * DAY), PAUSE_MAX);
        assert_eq!(longest(Some(life(0.0)), 90 * DAY - 800), seconds(100));
        assert_eq!(longest(Some(life(0.0)), 90 * DAY), DELAY_MAX, "it ended");
        let first = Pause::default().begin(passing, None, START, moment(0, 0), 0.0);
        assert_eq!(first, Duration::from_millis(500));
    }

    #[test]
    fn a_server_that_wants_to_be_left_alone_is() {
        let asked = Setback::Passing { retry_after: Some(seconds(20)) };
        for random in [0.0, 1.0] {
            let pause = Pause::default().begin(asked, Some(&life(0.0)), START, moment(0, 0), random);
            assert!(pause >= seconds(20) && pause <= seconds(30), "{pause:?}");
        }
    }

    #[test]
    fn what_stands_in_the_way_is_looked_at_every_ten_minutes() {
        let mut pause = Pause::default();
        let longest = (0..40).map(|_| pause.begin(Setback::Standing, None, START, moment(0, 0), 1.0)).max();
        assert_eq!(longest, Some(PAUSE_MAX));
    }

    #[test]
    fn the_servers_clock_is_followed_whatever_this_machines_does() {
        let mut clock = ServerClock::new(0);
        assert_eq!(clock.now(moment(50, 1)), after(50), "nothing else is known");
        clock.hear(after(10_000), moment(0, 100));
        assert_eq!(clock.now(moment(0, 100)), after(10_000));
        assert_eq!(clock.now(moment(60, 160)), after(10_060));
        assert_eq!(clock.now(moment(0, 160)), after(10_060), "set back, or stopped");
        assert_eq!(clock.now(moment(10_060, 160)), after(20_060), "set forward: early, until the next answer");
        clock.hear(after(10_060), moment(10_060, 160));
        assert_eq!(clock.now(moment(10_061, 161)), after(10_061));
    }

    #[test]
    fn a_paused_machine_believes_its_clock() {
        let mut clock = ServerClock::new(0);
        clock.hear(after(0), moment(0, 100));
        assert_eq!(clock.now(moment(7 * DAY, 101)), after(7 * DAY));
    }

    #[test]
    fn a_recorded_difference_makes_nothing_late() {
        assert_eq!(ServerClock::new(500).now(moment(50, 1)), after(550));
        assert_eq!(ServerClock::new(-500).now(moment(50, 1)), after(50));
    }

    #[test]
    fn a_difference_is_told_once_per_change() {
        let mut clock = ServerClock::new(0);
        assert_eq!(clock.hear(after(5), moment(0, 0)), None, "within tolerance");
        assert_eq!(clock.hear(after(3_600), moment(0, 1)), Some(3_600));
        assert_eq!(clock.hear(after(3_700), moment(98, 99)), None, "the same but for rounding");
        assert_eq!(clock.hear(after(0), moment(3_600, 100)), Some(-3_600));
        assert_eq!(clock.hear(after(3_600), moment(3_600, 101)), Some(0), "it was set right");
    }
}
