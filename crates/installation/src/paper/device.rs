//! The printer's device: what kind it is, and whether it may be used.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, IsTerminal};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Result, anyhow, bail};

use super::lp::LinePrinter;
use super::port::Port;
use super::serial::Serial;

/// Major numbers of line printers (linux, devices.txt): on the parallel port,
/// and of the USB class, which `usblp` makes under the number of USB devices.
const LINE_PRINTERS: [u32; 2] = [6, 180];

/// The kinds of device that a printer can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeviceKind {
    /// A serial port, or anything else that is a terminal.
    Serial,
    /// A printer of the USB class.
    LinePrinter,
    Pipe,
}

impl DeviceKind {
    /// The kind of the device at `path`; a character device counts as serial. What
    /// cannot be a printer is [`ErrorKind::InvalidInput`].
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let is_line_printer = LINE_PRINTERS.contains(&libc::major(metadata.rdev()));
        match metadata.file_type() {
            kind if kind.is_fifo() => Ok(Self::Pipe),
            kind if kind.is_char_device() && is_line_printer => Ok(Self::LinePrinter),
            kind if kind.is_char_device() => Ok(Self::Serial),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }
}

/// Opens the printer's device, and locks it. `flow`: XON and XOFF from a printer on a
/// serial port are obeyed.
pub(super) fn open(path: &Path, baud: u32, flow: bool) -> io::Result<Box<dyn Port>> {
    let kind = DeviceKind::of(path)?;
    let device = open_as(path, kind)?;
    Ok(match kind {
        DeviceKind::Serial => Box::new(Serial::open(device, path, baud, flow)?),
        DeviceKind::LinePrinter | DeviceKind::Pipe => Box::new(LinePrinter(device)),
    })
}

/// Whether there is a device at `path` that can be a printer; an absent one is no
/// error. Fails when `path` is something else, when it may not be opened, and when the
/// system's console is on it. The message says what to do.
pub(crate) fn check(path: &Path) -> Result<bool> {
    let kind = DeviceKind::of(path);
    // The reader of a pipe would take an open and a close for the end of the receipt.
    if let Ok(DeviceKind::Pipe) = kind {
        return Ok(true);
    }
    match kind.and_then(|kind| open_as(path, kind)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::InvalidInput => bail!(
            "printer {path:?} is no serial device and no USB printer; name one with --printer, as in \
             --printer /dev/serial0 or --printer /dev/usb/lp0"
        ),
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(refused(path, &error)),
    }
    match console_on(path, Path::new("/proc")) {
        None => Ok(true),
        Some(console) => bail!(
            "the system's console is on printer {path:?} ({console}); disable it: raspi-config, Interface, \
             Serial Port, no login shell, and restart"
        ),
    }
}

/// Opens a device without waiting for it or making it the controlling terminal,
/// and locks it (flock), so that a second program like this one is refused. A named
/// pipe is only written to: reading would take back what was written.
fn open_as(path: &Path, kind: DeviceKind) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(kind != DeviceKind::Pipe).write(true);
    let device = options.custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(path)?;
    if kind == DeviceKind::Serial && !device.is_terminal() {
        return Err(ErrorKind::InvalidInput.into());
    }
    match device.try_lock() {
        Ok(()) => Ok(device),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(ErrorKind::ResourceBusy, "another program prints on it"))
        }
    }
}

/// Whether an error says that the device is absent, or was removed.
fn is_absent(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    error.kind() == ErrorKind::NotFound || matches!(code, Some(libc::ENXIO | libc::ENODEV | libc::EIO))
}

fn refused(path: &Path, error: &io::Error) -> anyhow::Error {
    let next = match error.kind() {
        ErrorKind::PermissionDenied => {
            "add the user to the groups dialout and lp (sudo usermod -aG dialout,lp $USER) and log in again"
        }
        ErrorKind::ResourceBusy => "end that first (systemctl stop torment-nexus cups ipp-usb)",
        _ => "name another with --printer",
    };
    anyhow!("cannot use printer {path:?}: {error}; {next}")
}

/// What keeps the system's console on the device at `path`: the kernel, or a process
/// whose terminal it is, as a login prompt's. `proc` is /proc.
fn console_on(path: &Path, proc: &Path) -> Option<String> {
    let number = fs::metadata(path).ok()?.rdev();
    // As `ttyS0                -W- (EC   p a)    4:64`.
    let end = format!(" {}:{}", libc::major(number), libc::minor(number));
    let consoles = fs::read_to_string(proc.join("consoles")).unwrap_or_default();
    if let Some(console) = consoles.lines().find(|line| line.ends_with(&end)) {
        return Some(format!("the kernel's, {}", console.split(' ').next()?));
    }
    let processes = fs::read_dir(proc).ok()?.flatten();
    let process = processes.into_iter().find(|process| terminal_of(&process.path()) == Some(number))?;
    Some(format!("a login prompt, process {}", process.file_name().display()))
}

/// The device number of the terminal of the process in folder `process`.
fn terminal_of(process: &Path) -> Option<u64> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // proc_pid_stat(5): after the name in parentheses come state, parent, group, session
    // and terminal, whose major number is in the bits 8 to 19.
    let (_, after) = stat.rsplit_once(") ")?;
    let number: u32 = after.split(' ').nth(4)?.parse().ok()?;
    Some(libc::makedev((number >> 8) & 0xFFF, (number & 0xFF) | ((number >> 12) & 0xF_FF00)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_which_group_to_join() {
        let words = refused(Path::new("/dev/serial0"), &ErrorKind::PermissionDenied.into()).to_string();
        assert!(words.contains("/dev/serial0") && words.contains("dialout"), "{words}");
    }

    #[test]
    fn a_console_on_the_device_is_found_whether_the_kernels_or_a_login() {
        let proc = tempfile::tempdir().expect("a temporary folder");
        // Any device will do, as long as it is there: /dev/null is 1:3.
        let console = || console_on(Path::new("/dev/null"), proc.path());
        let consoles = |lines: &str| fs::write(proc.path().join("consoles"), lines).expect("a file");
        consoles("tty0 -WU (EC  p  ) 4:1\nnull -W- (EC p a) 1:3\n");
        assert!(console().expect("the kernel's").contains("null"));
        consoles("tty0 -WU (EC  p  ) 4:1\nttyS0 -W- (EC p a) 1:35\n");
        assert_eq!(console(), None);
        let process = proc.path().join("123");
        fs::create_dir(&process).expect("a folder");
        // In the encoding of the kernel, 1:3 is 259.
        fs::write(process.join("stat"), "123 (agetty (x)) S 1 123 123 259 123 0").expect("a file");
        assert!(console().expect("a login").contains("123"));
        fs::write(process.join("stat"), "123 (agetty) S 1 123 123 1025 123 0").expect("a file");
        assert_eq!(console(), None, "another terminal");
    }
}
