//! A printer of the USB printer class, `/dev/usb/lp0`: no terminal, and no baud
//! rate. The printer itself holds the bytes back that it has no room for, and
//! the kernel's driver tells whether it has paper.
//!
//! A named pipe is taken too, for trying a receipt without a printer.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::port::Port;

/// `LPGETSTATUS` of linux/lp.h: the printer's status lines, as a `c_int`.
const LPGETSTATUS: libc::c_ulong = 0x060b;
/// `LP_POUTPA`: the paper is out.
const OUT_OF_PAPER: libc::c_int = 0x20;

/// The device, locked and opened so that its calls do not wait.
#[derive(Debug)]
pub(super) struct LinePrinter(pub(super) File);

/// No bytes, instead of an error, where a call would have to wait.
fn now_or_none(done: io::Result<usize>) -> io::Result<usize> {
    match done {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

impl Port for LinePrinter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (&self.0).write(bytes) {
            // What usblp says while the paper is out, if it aborts at all.
            Err(error) if error.kind() == ErrorKind::StorageFull => Ok(0),
            done => now_or_none(done),
        }
    }

    /// The driver takes new bytes once the printer has taken the last ones: it
    /// gives no number, so one byte stands for any.
    fn unsent(&mut self) -> io::Result<usize> {
        let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
        poll(&mut ready, PollTimeout::ZERO)?;
        let ready = ready[0].revents().unwrap_or(PollFlags::empty());
        if ready.intersects(PollFlags::POLLERR | PollFlags::POLLHUP) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        Ok(usize::from(!ready.contains(PollFlags::POLLOUT)))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A printer that only listens has nothing to read from.
        Ok(now_or_none((&self.0).read(buffer)).unwrap_or(0))
    }

    /// The driver does so when the device is closed.
    fn discard(&mut self) {}

    fn is_out_of_paper(&mut self) -> Option<bool> {
        let mut status: libc::c_int = 0;
        // SAFETY: the driver writes one c_int; any other device refuses.
        let told = unsafe { libc::ioctl(self.0.as_raw_fd(), LPGETSTATUS, &raw mut status) };
        (told == 0).then_some(status & OUT_OF_PAPER != 0)
    }
}
