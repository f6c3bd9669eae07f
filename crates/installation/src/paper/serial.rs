//! A printer on a serial port: with `panel/pins.rs` the only user of rppal.
//!
//! Works with any serial device: the board's UART, a USB adapter, a
//! pseudo-terminal. 8 data bits, no parity, 1 stop bit. No call blocks: a write
//! takes as many bytes as the kernel has room for, and [`super::press`] watches
//! the deadline. RTS/CTS stays off: it would claim GPIO 16 and 17.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use rppal::uart::{self, Parity, Queue, Uart};

use super::port::Port;

/// The rates that rppal can set, in baud, without those below 1200.
pub const BAUD_RATES: [u32; 16] = [
    1200, 1800, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 500_000, 921_600,
    1_000_000, 2_000_000, 4_000_000,
];

/// A serial port, open and locked.
#[derive(Debug)]
pub(super) struct Serial {
    uart: Uart,
    /// Unlocks the device when it is closed.
    _lock: File,
}

impl Serial {
    /// Opens the port of a device that is locked. With `flow`, XON and XOFF from the
    /// printer are obeyed; without it, noise on an open RX line cannot hold the port.
    pub(super) fn open(lock: File, path: &Path, baud: u32, flow: bool) -> io::Result<Self> {
        let mut uart = Uart::with_path(path, baud, Parity::None, 8, 1).map_err(io_error)?;
        if flow {
            uart.set_software_flow_control(true).map_err(io_error)?;
        }
        Ok(Self { uart, _lock: lock })
    }
}

impl Port for Serial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.uart.write(bytes).map_err(io_error)
    }

    fn unsent(&mut self) -> io::Result<usize> {
        self.uart.output_len().map_err(io_error)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.uart.read(buffer).map_err(io_error)
    }

    fn discard(&mut self) {
        // rppal's `flush` discards the output queue. It fails only on a device
        // that is gone, and so has no queue.
        let _ = self.uart.flush(Queue::Output);
    }
}

fn io_error(error: uart::Error) -> io::Error {
    match error {
        uart::Error::Io(error) => error,
        other => io::Error::new(ErrorKind::InvalidInput, other.to_string()),
    }
}
