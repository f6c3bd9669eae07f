//! What wakes the panel's thread: a phase, an edge of the button, or the time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// Pause after a wait that the kernel refuses.
const PAUSE: Duration = Duration::from_millis(10);

/// A bell that one thread waits for and any other rings. A ring that comes
/// before the wait ends it at once.
///
/// It is an eventfd(2): a channel cannot be waited for together with the
/// button's descriptor.
#[derive(Debug)]
pub(super) struct Bell(EventFd);

impl Bell {
    /// A bell that was not rung yet. Fails when the process has too many open files.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?))
    }

    pub(super) fn ring(&self) {
        // It fails only if it was rung 2^64 - 1 times and nobody has heard it.
        let _ = self.0.write(1);
    }

    /// Waits until it is rung, until `edges` can be read, or for `limit`; no
    /// limit is no end. Returns whether `edges` can be read.
    pub(super) fn wait(&self, edges: Option<BorrowedFd<'_>>, limit: Option<Duration>) -> bool {
        let mut ends: Vec<_> = [Some(self.0.as_fd()), edges]
            .into_iter()
            .flatten()
            .map(|end| PollFd::new(end, PollFlags::POLLIN))
            .collect();
        // A signal (EINTR) counts as the limit: the caller looks at its clock
        // again. Any other error (the kernel has no memory) is waited out, and is
        // no busy wait if it stays.
        if poll(&mut ends, milliseconds(limit)).is_err_and(|error| error != Errno::EINTR) {
            thread::sleep(PAUSE);
        }
        // It does not block: if nobody has rung, it fails.
        let _ = self.0.read();
        ends.get(1).is_some_and(|end| end.any().unwrap_or(false))
    }
}

/// Rounded up, so that a rest of less than a millisecond is no busy wait.
fn milliseconds(limit: Option<Duration>) -> PollTimeout {
    let Some(limit) = limit else { return PollTimeout::NONE };
    limit.saturating_add(Duration::from_nanos(999_999)).try_into().unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_before_the_wait_ends_it_and_is_heard_once() {
        let bell = Bell::new().expect("a bell");
        bell.ring();
        bell.ring();
        assert!(!bell.wait(None, None), "without a limit, it ends");
        assert!(!bell.wait(None, Some(Duration::from_millis(1))));
    }

    #[test]
    fn an_edge_ends_the_wait_and_is_told_from_a_ring() {
        let (bell, edge) = (Bell::new().expect("a bell"), Bell::new().expect("an edge"));
        bell.ring();
        assert!(!bell.wait(Some(edge.0.as_fd()), None));
        edge.ring();
        assert!(bell.wait(Some(edge.0.as_fd()), None));
    }

    #[test]
    fn no_time_but_none_is_waited_as_none() {
        assert_eq!(milliseconds(Some(Duration::ZERO)), PollTimeout::ZERO);
        assert_eq!(milliseconds(Some(Duration::from_nanos(1))), PollTimeout::from(1_u8));
        assert_eq!(milliseconds(Some(Duration::MAX)), PollTimeout::MAX);
        assert_eq!(milliseconds(None), PollTimeout::NONE);
    }
}
