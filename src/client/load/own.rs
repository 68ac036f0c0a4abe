//! Whether this process was what the devices waited for.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::available_parallelism;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::latency::{Latencies, milliseconds};

/// Between two looks at how late this process is.
const PROBE: Duration = Duration::from_millis(10);
/// Over this long the use of the processors is averaged.
const WINDOW: Duration = Duration::from_secs(1);
/// From this part of its processors on, the client cannot be trusted to have kept up.
pub(super) const CPU_SHARE_MAX: f64 = 0.9;
/// tokio's timers are up to a millisecond late by design.
pub(super) const LAG_MAX: Duration = Duration::from_millis(20);

/// What the load cost the process that made it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// Processors that it may use.
    pub processors: usize,
    /// CPU time of the whole process, 1 being all processors all the time.
    pub cpu_share: f64,
    /// In the busiest second.
    pub cpu_share_max: f64,
    pub cpu_seconds: f64,
    /// How late this process came to what was due, in 99 % of all looks.
    pub lag_p99_ms: Option<f64>,
    pub lag_max_ms: Option<f64>,
}

/// The process's use of its processors, window by window.
pub(super) struct Cpu {
    processors: usize,
    begun: (Instant, Duration),
    window: (Instant, Duration),
    share_max: f64,
}

impl Cpu {
    pub(super) fn new() -> Self {
        let now = (Instant::now(), cpu_time());
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self { processors, begun: now, window: now, share_max: 0.0 }
    }

    /// To be called a few times per second.
    pub(super) fn look(&mut self) {
        if self.window.0.elapsed() >= WINDOW {
            self.share_max = self.share_max.max(self.share_since(self.window));
            self.window = (Instant::now(), cpu_time());
        }
    }

    fn share_since(&self, (at, cpu): (Instant, Duration)) -> f64 {
        let wall = at.elapsed().as_secs_f64() * self.processors as f64;
        if wall > 0.0 { (cpu_time() - cpu).as_secs_f64() / wall } else { 0.0 }
    }

    pub(super) fn report(&self, lag: &Lag) -> Client {
        let cpu_share = self.share_since(self.begun);
        let lag = lag.0.lock().unwrap_or_else(PoisonError::into_inner);
        Client {
            processors: self.processors,
            cpu_share,
            cpu_share_max: self.share_max.max(cpu_share),
            cpu_seconds: (cpu_time() - self.begun.1).as_secs_f64(),
            lag_p99_ms: lag.at(0.99).map(milliseconds),
            lag_max_ms: lag.at(1.0).map(milliseconds),
        }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// How late tasks of this process run.
pub(super) struct Lag(Mutex<Latencies>);

impl Lag {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Latencies::new()))
    }

    /// Looks for ever; to be run where the devices run.
    pub(super) async fn watch(&self) {
        loop {
            let due = Instant::now() + PROBE;
            sleep_until(due).await;
            self.0.lock().unwrap_or_else(PoisonError::into_inner).record(due.elapsed());
        }
    }
}
