//! How far a load is, on stderr: two lines that are drawn anew on a terminal, else a line now and then.

use std::collections::VecDeque;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::report::latency;
use crate::client::load::Progress;

/// Where nobody watches.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// The rate is that of the last second.
const RATE_OVER: Duration = Duration::from_secs(1);

pub struct Bar {
    bar: ProgressBar,
    /// Else the bar's length is the duration, in milliseconds.
    counts_devices: bool,
    next_line: Duration,
    /// Devices that were in, a second ago and since.
    recent: VecDeque<(Duration, u64)>,
}

impl Bar {
    pub fn new(devices: Option<u64>, duration: Option<Duration>) -> Self {
        let duration_ms = duration.map_or(0, |duration| duration.as_millis() as u64);
        let bar = ProgressBar::new(devices.unwrap_or(duration_ms)); // on stderr, and on nothing but a terminal
        let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %\n{wide_msg}").expect("a good template");
        bar.set_style(style.progress_chars("━╸─"));
        Self { bar, counts_devices: devices.is_some(), next_line: LINE_EVERY, recent: VecDeque::new() }
    }

    pub fn show(&mut self, progress: &Progress) {
        let elapsed = progress.elapsed;
        while self.recent.front().is_some_and(|(at, _)| elapsed.saturating_sub(*at) > RATE_OVER) {
            self.recent.pop_front();
        }
        let (since, before) = self.recent.front().copied().unwrap_or_default();
        let seconds = elapsed.saturating_sub(since).as_secs_f64();
        let per_second = if seconds > 0.0 { (progress.enrolled - before) as f64 / seconds } else { 0.0 };
        self.recent.push_back((elapsed, progress.enrolled));
        let line = line(progress, per_second);
        if self.bar.is_hidden() {
            if elapsed >= self.next_line {
                self.next_line = elapsed + LINE_EVERY;
                eprintln!("{line}");
            }
            return;
        }
        let ended = progress.enrolled + progress.lost;
        self.bar.set_position(if self.counts_devices { ended } else { elapsed.as_millis() as u64 });
        self.bar.set_message(line);
    }

    /// Leaves nothing on the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(progress: &Progress, per_second: f64) -> String {
    let Progress { started, enrolled, lost, refused, failed, .. } = *progress;
    let p99 = progress.p99.map_or_else(|| "-".to_owned(), |p99| latency(p99.as_secs_f64() * 1e3));
    format!(
        "{:.0} s  {} in  {per_second:.0}/s  p99 {p99}  {} under way  {} refused  {} failed",
        progress.elapsed.as_secs_f64(),
        HumanCount(enrolled),
        HumanCount(started - enrolled - lost),
        HumanCount(refused),
        HumanCount(failed),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let progress = Progress {
            elapsed: Duration::from_millis(12_300),
            planned: Some(10_000),
            started: 6_100,
            enrolled: 6_000,
            lost: 2,
            refused: 7,
            failed: 0,
            p99: Some(Duration::from_micros(31_270)),
        };
        assert_eq!(line(&progress, 498.4), "12 s  6,000 in  498/s  p99 31.3 ms  98 under way  7 refused  0 failed");
    }
}
