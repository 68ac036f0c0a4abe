//! What `tracing` writes, and where: lines on stderr, as text or as JSON, at a level that can be
//! changed while the service runs. Nobody who logs waits for stderr, see [`queue`].

mod queue;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use queue::LineQueue;

/// How long the end of the process waits for the last lines to be taken.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line; the event's fields stand at its top.
    Json,
    #[default]
    Text,
}

/// Alphabetical.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("logging was set up already")]
    AlreadySet,
    #[error(
        "{found:?} is no log level; expected error, warn, info, debug, trace, or directives like muster=debug,info"
    )]
    Level { found: String },
    #[error("the log has no thread to write with: {0}")]
    Thread(#[source] io::Error),
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(format!("{text:?} is no log format; expected text or json")),
        }
    }
}

/// The running log. Dropping it waits for the last lines, a second at most.
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
    /// `None` with a writer of the caller's.
    queue: Option<LineQueue>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            queue.flush(FLUSH_MAX);
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Writes to stderr from now on, for the whole process.
    ///
    /// `level`: `info`, or directives as in `muster::enroll=debug,info`.
    ///
    /// # Errors
    /// [`TelemetryError::Level`], [`TelemetryError::AlreadySet`] the second time, or
    /// [`TelemetryError::Thread`].
    pub fn init(format: LogFormat, level: &str) -> Result<Self, TelemetryError> {
        let queue = LineQueue::start(io::stderr()).map_err(TelemetryError::Thread)?;
        let writer = queue.clone();
        let (mut telemetry, subscriber) = Self::build(format, level, move || writer.clone())?;
        subscriber.try_init().map_err(|_| TelemetryError::AlreadySet)?;
        telemetry.queue = Some(queue);
        Ok(telemetry)
    }

    /// The same for a writer of the caller's, installed nowhere.
    ///
    /// # Errors
    /// [`TelemetryError::Level`].
    pub fn build<W>(
        format: LogFormat,
        level: &str,
        writer: W,
    ) -> Result<(Self, impl Subscriber + Send + Sync), TelemetryError>
    where
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let (filter, handle) = reload::Layer::new(parse(level)?);
        let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
        let lines = match format {
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
            LogFormat::Text => lines.boxed(),
        };
        Ok((Self { filter: handle, queue: None }, tracing_subscriber::registry().with(filter).with(lines)))
    }

    /// Changes what is written from now on.
    ///
    /// # Errors
    /// [`TelemetryError::Level`]; the old level stays.
    pub fn set_level(&self, level: &str) -> Result<(), TelemetryError> {
        let filter = parse(level)?;
        // Fails only when the subscriber is gone, and then nothing is written at any level.
        let _ = self.filter.reload(filter);
        Ok(())
    }
}

fn parse(level: &str) -> Result<EnvFilter, TelemetryError> {
    let invalid = || TelemetryError::Level { found: level.to_owned() };
    // The filter takes any word for the name of a target; alone it must be a level.
    let is_word = level.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if level.trim().is_empty() || is_word && level.parse::<tracing::metadata::LevelFilter>().is_err() {
        return Err(invalid());
    }
    EnvFilter::builder().parse(level).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::id::{Id, ProvisioningKeyId};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    #[test]
    fn a_line_is_a_sentence_and_its_fields() {
        for (format, expected) in [
            (LogFormat::Text, "A device was enrolled. key.id=7"),
            (LogFormat::Json, "\"message\":\"A device was enrolled.\",\"key.id\":\"7\""),
        ] {
            let lines = Lines::default();
            let writer = lines.clone();
            let (_telemetry, subscriber) = Telemetry::build(format, "info", move || writer.clone()).unwrap();
            tracing::subscriber::with_default(subscriber, || {
                let key: ProvisioningKeyId = Id::from_raw(7);
                tracing::info!(key.id = %key, "A device was enrolled.");
                tracing::debug!("not at this level");
            });
            let written = lines.take();
            assert!(written.contains(expected), "{written}");
            assert_eq!(written.lines().count(), 1);
        }
    }

    #[test]
    fn the_level_changes_while_it_runs() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (telemetry, subscriber) = Telemetry::build(LogFormat::Text, "warn", move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before");
            telemetry.set_level("muster=debug,warn").unwrap();
            tracing::debug!("between");
            assert!(matches!(telemetry.set_level("loud"), Err(TelemetryError::Level { .. })));
            tracing::debug!("after");
        });
        let written = lines.take();
        assert!(!written.contains("before") && written.contains("between") && written.contains("after"), "{written}");
    }

    #[test]
    fn what_is_no_level_is_refused() {
        for level in ["", "loud", "muster=loud", "=info"] {
            let parsed = parse(level);
            assert!(parsed.is_err(), "{level:?}: {parsed:?}");
        }
        for level in ["error", "INFO", "off", "muster::enroll=debug,info"] {
            assert!(parse(level).is_ok(), "{level:?}");
        }
    }
}
