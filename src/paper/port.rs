//! A serial port and the time, as the printer thread needs them: what the tests
//! replace.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// A serial port, as the printer thread needs it. Nothing in it waits.
pub(super) trait Port {
    /// Takes as many of `bytes` as there is room for, none included.
    ///
    /// # Errors
    ///
    /// When the device is gone.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Bytes taken that have not left yet.
    ///
    /// # Errors
    ///
    /// When the device is gone.
    fn unsent(&mut self) -> io::Result<usize>;

    /// Gives out what has come in, 0 bytes where nothing has.
    ///
    /// # Errors
    ///
    /// When the device is gone.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Forgets the bytes that have not left yet.
    fn discard(&mut self);
}

/// Time, as the printer thread needs it.
pub(super) trait Clock {
    /// Time since any one moment.
    fn now(&self) -> Duration;

    /// Lets `time` go by.
    fn sleep(&self, time: Duration);
}

/// The system's monotonic clock, from its making on.
pub(super) struct SystemClock(pub(super) Instant);

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}
