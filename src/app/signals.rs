//! What the operating system asks of a running service.

use tokio::signal::unix::{SignalKind, signal};

use super::{AppError, Running};

/// Runs until SIGTERM or SIGINT, then drains and stops; the process may end when this returns. At
/// each SIGHUP calls `reload`.
///
/// # Errors
/// [`AppError::Signals`] at once, with the service stopped.
pub async fn run_until_signal(running: Running, mut reload: impl FnMut(&Running)) -> Result<(), AppError> {
    let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = signals else {
        running.stop().await;
        return Err(AppError::Signals);
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(&running),
        }
    }
    tracing::info!("Stopping: what was accepted is finished first.");
    running.stop().await;
    tracing::info!("Stopped.");
    Ok(())
}
