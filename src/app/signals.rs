//! What the operating system asks of a running service.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{AppError, Running};

/// The signals that a service answers to. From [`Self::listen`] on none is lost: one that comes before
/// [`run_until_signal`] is answered there.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// To be called before anybody is told that the service is up.
    ///
    /// # Errors
    /// [`AppError::Signals`].
    pub fn listen() -> Result<Self, AppError> {
        let listen = |kind| signal(kind).map_err(|_| AppError::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
}

/// Runs until SIGTERM or SIGINT, then drains and stops; the process may end when this returns. At
/// each SIGHUP calls `reload`, before the drain `stopping`.
pub async fn run_until_signal(
    running: Running,
    signals: Signals,
    mut reload: impl FnMut(&Running),
    stopping: impl FnOnce(),
) {
    let Signals { mut terminate, mut interrupt, mut hangup } = signals;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(&running),
        }
    }
    stopping();
    tracing::info!("Stopping: what was accepted is finished first.");
    running.stop().await;
    tracing::info!("Stopped.");
}
