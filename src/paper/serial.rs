//! The serial port: with `panel/pins.rs` the only user of rppal.
//!
//! Works with any serial device: the board's UART, a USB adapter, a
//! pseudo-terminal. 8 data bits, no parity, 1 stop bit. No call blocks: a write
//! takes as many bytes as the kernel has room for, and [`super::press`] watches
//! the deadline. RTS/CTS stays off: it would claim GPIO 16 and 17.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use rppal::uart::{self, Parity, Queue, Uart};

use super::port::Port;

/// The rates that rppal can set, in baud, without those below 1200.
pub(crate) const BAUD_RATES: [u32; 16] = [
    1200, 1800, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 500_000, 921_600,
    1_000_000, 2_000_000, 4_000_000,
];

/// A serial port, open.
#[derive(Debug)]
pub(crate) struct Serial(Uart);

impl Serial {
    /// Opens the port. With `flow`, XON and XOFF from the printer are obeyed;
    /// without it, noise on an RX line that is not connected cannot hold the
    /// port.
    ///
    /// # Errors
    ///
    /// When the device is absent, or is no serial port.
    pub(crate) fn open(path: &Path, baud: u32, flow: bool) -> io::Result<Self> {
        let mut uart = Uart::with_path(path, baud, Parity::None, 8, 1).map_err(io_error)?;
        if flow {
            uart.set_software_flow_control(true).map_err(io_error)?;
        }
        Ok(Self(uart))
    }
}

impl Port for Serial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(io_error)
    }

    fn unsent(&mut self) -> io::Result<usize> {
        self.0.output_len().map_err(io_error)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(io_error)
    }

    fn discard(&mut self) {
        // rppal's `flush` discards the output queue. It fails only on a device
        // that is gone, and so has no queue.
        let _ = self.0.flush(Queue::Output);
    }
}

fn io_error(error: uart::Error) -> io::Error {
    match error {
        uart::Error::Io(error) => error,
        other => io::Error::new(ErrorKind::InvalidInput, other.to_string()),
    }
}

/// Whether there is a serial device at `path`; an absent device is no error.
///
/// # Errors
///
/// When `path` is something else, when it may not be opened, and when the
/// system's console is on it. The message says what to do.
pub(crate) fn check(path: &Path) -> Result<bool> {
    let file_type = match fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(refused(path, &error)),
    };
    let device = if file_type.is_char_device() { open(path) } else { Err(ErrorKind::InvalidInput.into()) };
    match device {
        Ok(device) if device.is_terminal() => {}
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) if error.kind() != ErrorKind::InvalidInput => return Err(refused(path, &error)),
        _ => bail!(
            "printer {path:?} is no serial device; name one with --printer, as in --printer /dev/serial0"
        ),
    }
    let console = console_on(path, Path::new("/proc"));
    console.map_or(Ok(true), |console| {
        bail!(
            "the system's console is on printer {path:?} ({console}); disable it: raspi-config, Interface, \
             Serial Port, no login shell, and restart"
        )
    })
}

/// Opens a device without waiting for it or making it the controlling
/// terminal.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(path)
}

/// Whether an error says that the device is absent, or was removed.
fn is_absent(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    error.kind() == ErrorKind::NotFound || matches!(code, Some(libc::ENXIO | libc::ENODEV | libc::EIO))
}

fn refused(path: &Path, error: &io::Error) -> anyhow::Error {
    let next = match error.kind() {
        ErrorKind::PermissionDenied => {
            "add the user to group dialout (sudo usermod -aG dialout $USER) and log in again"
        }
        ErrorKind::ResourceBusy => "end the program that uses it",
        _ => "name another with --printer",
    };
    anyhow!("cannot open printer {path:?}: {error}; {next}")
}

/// What keeps the system's console on the device at `path`: a kernel option or
/// a process, as read from `proc`, which is /proc. `None` if nothing does.
fn console_on(path: &Path, proc: &Path) -> Option<String> {
    let device = fs::canonicalize(path).ok()?;
    let is_device =
        |name: &str| fs::canonicalize(Path::new("/dev").join(name)).is_ok_and(|other| other == device);
    let command_line = fs::read_to_string(proc.join("cmdline")).unwrap_or_default();
    let console = command_line
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("console="))
        .map(|console| console.split(',').next().unwrap_or(console))
        .find(|name| is_device(name));
    if let Some(name) = console {
        return Some(format!("console={name} on the kernel's command line"));
    }
    let processes = fs::read_dir(proc).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    processes.filter(|process| is_getty_on(process, is_device)).find_map(|process| {
        let id = process.file_name()?.to_str()?.to_owned();
        Some(format!("a login prompt, process {id}"))
    })
}

/// Whether the process described in folder `process` is a getty on the device.
fn is_getty_on(process: &Path, is_device: impl Fn(&str) -> bool) -> bool {
    let command = fs::read(process.join("cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command);
    let mut words = command.split('\0').filter(|word| !word.is_empty());
    let program = words.next().and_then(|program| program.rsplit('/').next()).unwrap_or_default();
    // agetty's command line is `/sbin/agetty [options] TTY TERM`. If its TTY is
    // `-`, standard input, it names no device.
    program.ends_with("getty") && words.any(|word| !word.starts_with('-') && is_device(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_serial_device_is_an_error_and_what_is_absent_is_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("printer");
        assert!(!check(&file).expect("absent"));
        fs::write(&file, "").expect("a file");
        for path in [file.as_path(), folder.path(), Path::new("/dev/null")] {
            let error = check(path).expect_err("no serial device").to_string();
            assert!(error.contains("no serial device") && error.contains("--printer"), "{error}");
        }
    }

    #[test]
    fn a_refusal_says_which_group_to_join() {
        let words = refused(Path::new("/dev/serial0"), &ErrorKind::PermissionDenied.into()).to_string();
        assert!(words.contains("/dev/serial0") && words.contains("dialout"), "{words}");
    }

    #[test]
    fn a_console_on_the_device_is_found_whether_the_kernels_or_a_login() {
        let proc = tempfile::tempdir().expect("a temporary folder");
        let command_line = proc.path().join("cmdline");
        // Any device will do, as long as it is there.
        let device = Path::new("/dev/null");
        fs::write(&command_line, "quiet console=tty7 console=null,115200 root=/dev/sda").expect("a file");
        let console = console_on(device, proc.path()).expect("the kernel's");
        assert!(console.contains("console=null"), "{console}");

        fs::write(&command_line, "quiet console=tty7").expect("a file");
        assert_eq!(console_on(device, proc.path()), None);
        let process = proc.path().join("123");
        fs::create_dir(&process).expect("a folder");
        fs::write(process.join("cmdline"), "/sbin/agetty\0-o\0-p\0--keep-baud\0null\0vt220\0")
            .expect("a file");
        let console = console_on(device, proc.path()).expect("a login");
        assert!(console.contains("123"), "{console}");
        fs::write(process.join("cmdline"), "/sbin/agetty\0tty1\0linux\0").expect("a file");
        assert_eq!(console_on(device, proc.path()), None);
    }
}
