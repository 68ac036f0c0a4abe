//! Keeps the log readable in a flood: of anonymous refusals, a hundred lines a second at most, and
//! one that says how many there were beside them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines about anonymous refusals within one [`WINDOW`].
const LINES_MAX: u32 = 100;
const WINDOW: Duration = Duration::from_secs(1);

/// Decides line by line. No line about someone who is known comes by here.
pub struct Quiet(Mutex<Window>);

struct Window {
    began: Instant,
    lines: u32,
    /// Left out since the last summary.
    left_out: u64,
}

/// What to do about one refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    LeaveOut,
    /// And see to it that [`Quiet::take_left_out`] is asked at this instant: it is the first.
    LeaveOutUntil(Instant),
    Write,
}

impl Quiet {
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(Window { began: now, lines: 0, left_out: 0 }))
    }

    /// Whether to write a line about a refusal now. The first one that is left out sees to the
    /// summary: `sum_up` gets the number of lines that were, at the end of the second.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn admits_line(self: &Arc<Self>, sum_up: impl FnOnce(u64) + Send + 'static) -> bool {
        match self.admit(Instant::now()) {
            Line::Write => true,
            Line::LeaveOut => false,
            Line::LeaveOutUntil(instant) => {
                let quiet = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep_until(instant.into()).await;
                    sum_up(quiet.take_left_out());
                });
                false
            }
        }
    }

    fn admit(&self, now: Instant) -> Line {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.began) >= WINDOW {
            window.began = now;
            window.lines = 0;
        }
        if window.lines < LINES_MAX {
            window.lines += 1;
            return Line::Write;
        }
        window.left_out += 1;
        if window.left_out == 1 { Line::LeaveOutUntil(window.began + WINDOW) } else { Line::LeaveOut }
    }

    /// How many lines were left out since this was last asked.
    fn take_left_out(&self) -> u64 {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut window.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_lines_a_second_and_one_summary() {
        let start = Instant::now();
        let quiet = Quiet::new(start);
        assert!((0..LINES_MAX).all(|_| quiet.admit(start) == Line::Write));
        assert_eq!(quiet.admit(start), Line::LeaveOutUntil(start + WINDOW));
        assert!((0..1_000).all(|_| quiet.admit(start + WINDOW / 2) == Line::LeaveOut));
        assert_eq!(quiet.take_left_out(), 1_001);
        assert_eq!(quiet.take_left_out(), 0);
    }

    #[test]
    fn the_next_second_is_a_new_one() {
        let start = Instant::now();
        let quiet = Quiet::new(start);
        assert_eq!((0..LINES_MAX + 5).filter(|_| quiet.admit(start) != Line::Write).count(), 5);
        assert_eq!(quiet.admit(start + WINDOW - Duration::from_nanos(1)), Line::LeaveOut);
        let next = start + WINDOW;
        assert!((0..LINES_MAX).all(|_| quiet.admit(next) == Line::Write));
        assert_eq!(quiet.admit(next), Line::LeaveOut, "the first summary is still to come");
        assert_eq!(quiet.take_left_out(), 7);
        assert_eq!(quiet.admit(next), Line::LeaveOutUntil(next + WINDOW));
    }
}
