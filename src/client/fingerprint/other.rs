//! What identifies a machine that does not run Linux: the operating system's own id for it, found by the crate
//! `machine-uid` (docs/decisions/0021-agent.md).
//!
//! macOS: the hardware's UUID. BSD: `/etc/hostid`, else the UUID of the board's firmware. It changes with the board, or where
//! it is a file, when the system is installed anew.

pub const SOURCES_NAMED: &str = "the operating system's id for it is";

/// The one, if there is one.
pub fn ids() -> impl Iterator<Item = (&'static str, String)> {
    machine_uid::get().ok().map(|id| ("machine-id", id)).into_iter()
}
