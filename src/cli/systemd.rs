//! What systemd hands over, and what it is told. Without systemd nothing is handed over, and nobody hears.

use anyhow::{Context as _, bail};
use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::app::{PassedSockets, Place};

/// The sockets of socket units (`LISTEN_FDS`), each for the listener that its `FileDescriptorName=` names.
///
/// To be called while the process has one thread: `LISTEN_FDS` and `LISTEN_PID` are taken out of the environment, so that
/// no child believes that they are its own. The names stay, which say nothing without them.
///
/// # Errors
/// A name that is no listener's or there twice, and what is no TCP socket.
pub fn take_sockets() -> anyhow::Result<PassedSockets> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut passed = ListenFd::from_env();
    let mut sockets = PassedSockets::default();
    for (place, name) in (0..passed.len()).zip(names.split(':').chain(std::iter::repeat(""))) {
        let Some(slot) = sockets.slot(name) else {
            bail!(
                "systemd hands over a socket named {name:?}: expected enroll, admin or metrics (FileDescriptorName= \
                 of the socket unit)"
            );
        };
        if slot.is_some() {
            bail!("systemd hands over two sockets named {name:?}: a listener has one");
        }
        let socket = passed.take_tcp_listener(place).and_then(|socket| socket.map(Place::of).transpose());
        *slot = socket.with_context(|| format!("the socket {name:?} of systemd"))?;
    }
    Ok(sockets)
}

pub fn notify(state: &[NotifyState<'_>]) {
    // If nobody listens there is nobody to tell.
    let _ = sd_notify::notify(state);
}

/// Reads the settings anew while systemd is told so: a unit that waits for the reload goes on afterwards.
pub fn reloading(reload: impl FnOnce()) {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
    reload();
    notify(&[NotifyState::Ready]);
}
