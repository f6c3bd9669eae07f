//! The traits through which the printer thread uses a port, the printer's BUSY
//! wire and a clock; the tests replace all of them.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// A port that a printer is on. No method blocks; an error says that the device is gone.
pub(super) trait Port {
    /// Writes as many of `bytes` as the kernel has room for, possibly none.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// The number of written bytes that have not left the port yet.
    fn unsent(&mut self) -> io::Result<usize>;

    /// Reads the bytes that have arrived; 0 if none have.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Discards the bytes that have not left the port yet.
    fn discard(&mut self);

    /// Whether the port itself says that the printer is out of paper; `None` if
    /// it does not tell.
    fn is_out_of_paper(&mut self) -> Option<bool> {
        None
    }
}

/// The printer's BUSY (or DTR) wire.
pub(super) trait Busy {
    /// Whether the printer takes no bytes now.
    fn is_busy(&mut self) -> bool;

    /// So many bytes were written to the printer.
    fn wrote(&mut self, _: usize) {}
}

/// Time, as the printer thread needs it.
pub(super) trait Clock {
    /// Time since an arbitrary fixed moment.
    fn now(&self) -> Duration;
    fn sleep(&self, time: Duration);
}

/// The system's monotonic clock, counted from the given moment.
pub(super) struct SystemClock(pub(super) Instant);

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}
