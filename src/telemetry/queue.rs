//! Lines on their way to a slow place: a bounded buffer, and the thread that empties it.
//!
//! Whoever logs never waits. A pipe that nobody reads, a stopped terminal or a hanging disk would
//! else hold up every worker that logs, and with them every device. Lines that do not fit are
//! dropped and counted; the count is logged as soon as there is room again. What the system refuses
//! (the pipe was closed, the disk is full) is gone: there is no other place to tell it.
//!
//! The first line after a silence is written at once; what comes within [`PAUSE`] of a write goes together
//! with the next. To wake a thread costs several times what a line does.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A line has about 250 bytes: some four thousand lines, a few seconds of a boot storm. As much
/// again can be with the thread that writes.
const BYTES_MAX: usize = 1024 * 1024;

/// Between two writes.
const PAUSE: Duration = Duration::from_millis(10);

/// The writing end. Every `write` is one line and goes in whole or not at all; it never fails. Clones share
/// the buffer. The thread ends with the process.
#[derive(Clone)]
pub struct LineQueue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// A line came while the thread waited for one.
    filled: Condvar,
    /// Everything was written.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    /// Whole lines, at most [`BYTES_MAX`].
    pending: Vec<u8>,
    is_writing: bool,
    /// The thread waits to be woken.
    is_idle: bool,
    /// Lines dropped since the start.
    lost: u64,
}

impl LineQueue {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// The system's, when there is no thread to be had.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), filled: Condvar::new(), emptied: Condvar::new() });
        let queue = Self(Arc::clone(&shared));
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_to(sink))?;
        Ok(queue)
    }

    /// Waits until everything was written, for `limit` at most. Whether it was. Blocking.
    pub fn flush(&self, limit: Duration) -> bool {
        let unwritten = |state: &mut State| state.is_writing || !state.pending.is_empty();
        let waited = self.0.emptied.wait_timeout_while(self.0.lock(), limit, unwritten);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Write for LineQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.pending.len() + line.len() > BYTES_MAX {
            state.lost += 1;
        } else {
            state.pending.extend_from_slice(line);
            if mem::take(&mut state.is_idle) {
                self.0.filled.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut lines = Vec::new();
        let mut reported = 0;
        loop {
            let nothing = |state: &mut State| {
                state.is_idle = state.pending.is_empty();
                state.is_idle
            };
            let state = self.filled.wait_while(self.lock(), nothing);
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            mem::swap(&mut state.pending, &mut lines);
            state.is_writing = true;
            drop(state);

            let _ = sink.write_all(&lines).and_then(|()| sink.flush());
            lines.clear();

            let mut state = self.lock();
            state.is_writing = false;
            let lost = state.lost;
            if state.pending.is_empty() {
                self.emptied.notify_all();
            }
            drop(state);
            if lost > reported {
                reported = lost;
                // Comes back here as any other line does. Were it dropped, that would be one more to report.
                tracing::warn!(
                    log.lines_lost = lost,
                    "Lines of the log were lost: they came faster than they were taken."
                );
            }
            thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Takes a write only when the test gives leave, and hands over what was written.
    struct Stalled {
        leave: Receiver<()>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.leave.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            let _ = self.taken.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stalled() -> (LineQueue, Sender<()>, Receiver<Vec<u8>>) {
        let ((give, leave), (taken, take)) = (channel(), channel());
        (LineQueue::start(Stalled { leave, taken }).unwrap(), give, take)
    }

    #[test]
    fn lines_come_out_whole_and_in_order() {
        let (queue, give, take) = stalled();
        for n in 0..1_000 {
            queue.clone().write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        let expected: String = (0..1_000).map(|n| format!("{n}\n")).collect();
        let mut written = Vec::new();
        while written.len() < expected.len() {
            give.send(()).unwrap();
            written.extend(take.recv().unwrap());
        }
        assert_eq!(String::from_utf8(written).unwrap(), expected);
        assert!(queue.flush(Duration::from_secs(60)));
    }

    #[test]
    fn a_stalled_place_holds_up_nobody_and_what_is_lost_is_counted() {
        let (mut queue, give, take) = stalled();
        let line = [&[b'x'; 1_023][..], b"\n"].concat();
        let (fit, more) = (BYTES_MAX / line.len(), 7);
        // At most one buffer is with the thread and one waits; none of this returns if a write waits.
        for _ in 0..2 * fit + more {
            queue.write_all(&line).unwrap();
        }
        let lost = usize::try_from(queue.0.lock().lost).unwrap();
        assert!((more..=fit + more).contains(&lost), "{lost} lines were lost");
        assert!(!queue.flush(Duration::ZERO), "nothing was written yet");

        let mut written = 0;
        while written < (2 * fit + more - lost) * line.len() {
            give.send(()).unwrap();
            let lines = take.recv().unwrap();
            assert!(lines.chunks(line.len()).all(|chunk| chunk == line), "lines are whole");
            written += lines.len();
        }
        assert!(queue.flush(Duration::from_secs(60)));
    }

    #[test]
    fn a_closed_place_is_no_reason_to_stop() {
        let (mut queue, give, _take) = stalled();
        drop(give);
        queue.write_all(b"into the void\n").unwrap();
        assert!(queue.flush(Duration::from_secs(60)));
        queue.write_all(b"and again\n").unwrap();
        assert!(queue.flush(Duration::from_secs(60)));
    }
}
