//! Descriptors: every connection takes one, and a process may have few unless it asks for more.

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Settings;

/// For the store's files, connections to a database, the metrics listener and what the runtime needs.
const OTHERS: usize = 512;

/// Where the system sets no limit, as many as are asked for: kernels refuse to be asked for endlessly many.
const ENOUGH: u64 = 1_048_576;

/// How many descriptors the process may have, after asking for all that it may ask for.
pub fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(ENOUGH);
    let current = limit.current.unwrap_or(ENOUGH);
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    let is_raised = current < wanted && setrlimit(Resource::Nofile, raised).is_ok();
    usize::try_from(if is_raised { wanted } else { current }).unwrap_or(usize::MAX)
}

/// Has the system make the table for all the descriptors that may be needed, of which `descriptors` are allowed. Else it
/// doubles the table in the midst of a storm, each time with all threads waiting for 10 to 20 ms: Linux makes sure first
/// that no thread still looks at the old one.
pub fn make_table(settings: &Settings, descriptors: usize) {
    let connections = settings.enroll.connections_max.saturating_add(settings.admin.connections_max);
    let last = connections.saturating_add(OTHERS).min(descriptors).saturating_sub(1);
    // Without it everything works all the same.
    let _ = i32::try_from(last).map(|last| fcntl_dupfd_cloexec(std::io::stdin(), last));
}

/// How many connections of devices fit into so many descriptors; at most those that the settings ask for.
pub fn connections_of_devices(settings: &Settings, descriptors: usize) -> usize {
    let others = settings.admin.connections_max.saturating_add(OTHERS);
    let fitting = descriptors.saturating_sub(others).max(descriptors / 2).max(1);
    let wanted = settings.enroll.connections_max;
    if fitting < wanted {
        tracing::warn!(
            descriptors,
            connections_max = wanted,
            served = fitting,
            "enroll.connections_max is more than the process may have descriptors for; raise the limit (LimitNOFILE= \
             of a systemd unit, ulimit -n) or lower the setting"
        );
    }
    wanted.min(fitting)
}
