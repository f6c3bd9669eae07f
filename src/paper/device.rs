//! The printer's device: what kind it is, and whether it may be used.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Result, anyhow, bail};

use super::lock::Lock;
use super::lp::LinePrinter;
use super::port::Port;
use super::serial::Serial;

/// Major numbers of line printers (linux, devices.txt): on the parallel port,
/// and of the USB class, which `usblp` makes under the number of USB devices.
const LINE_PRINTERS: [u32; 2] = [6, 180];

/// The kinds of device that a printer can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A serial port, or anything else that is a terminal.
    Serial,
    /// A printer of the USB class.
    LinePrinter,
    /// A named pipe.
    Pipe,
}

impl Kind {
    /// The kind of a device; a character device counts as serial. `None` if it
    /// cannot be a printer.
    fn of(metadata: &Metadata) -> Option<Self> {
        let is_line_printer = LINE_PRINTERS.contains(&libc::major(metadata.rdev()));
        match metadata.file_type() {
            kind if kind.is_fifo() => Some(Self::Pipe),
            kind if kind.is_char_device() && is_line_printer => Some(Self::LinePrinter),
            kind if kind.is_char_device() => Some(Self::Serial),
            _ => None,
        }
    }
}

/// Opens the printer's device, and locks it. `flow`: XON and XOFF from a printer
/// on a serial port are obeyed.
///
/// # Errors
///
/// When the device is absent, cannot be a printer, or another program uses it.
pub(super) fn open(path: &Path, baud: u32, flow: bool) -> io::Result<Box<dyn Port>> {
    let kind = Kind::of(&fs::metadata(path)?).ok_or(ErrorKind::InvalidInput)?;
    let lock = Lock::take(open_as(path, kind)?)?;
    Ok(match kind {
        Kind::Serial => Box::new(Serial::open(lock, path, baud, flow)?),
        Kind::LinePrinter | Kind::Pipe => Box::new(LinePrinter::new(lock)),
    })
}

/// Whether there is a device at `path` that can be a printer; an absent one is
/// no error.
///
/// # Errors
///
/// When `path` is something else, when it may not be opened, and when the
/// system's console is on it. The message says what to do.
pub(crate) fn check(path: &Path) -> Result<bool> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(refused(path, &error)),
    };
    let Some(kind) = Kind::of(&metadata) else { return Err(no_printer(path)) };
    if kind == Kind::Pipe {
        // Its reader would take an open and a close for the end of the receipt.
        return Ok(true);
    }
    match open_as(path, kind) {
        Ok(device) if kind == Kind::Serial && !device.is_terminal() => return Err(no_printer(path)),
        Ok(device) => {
            Lock::take(device).map_err(|error| anyhow!("cannot use printer {path:?}: {error}"))?;
        }
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(refused(path, &error)),
    }
    let console = console_on(path, Path::new("/proc"));
    console.map_or(Ok(true), |console| {
        bail!(
            "the system's console is on printer {path:?} ({console}); disable it: raspi-config, Interface, \
             Serial Port, no login shell, and restart"
        )
    })
}

fn no_printer(path: &Path) -> anyhow::Error {
    anyhow!(
        "printer {path:?} is no serial device and no USB printer; name one with --printer, as in \
         --printer /dev/serial0 or --printer /dev/usb/lp0"
    )
}

/// Opens a device without waiting for it or making it the controlling
/// terminal. A named pipe is only written to: reading would take back what was
/// written.
fn open_as(path: &Path, kind: Kind) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(kind != Kind::Pipe).write(true);
    options.custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(path)
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
        ErrorKind::ResourceBusy => "another program has it for itself; end that first",
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
    let number = fs::metadata(&device).ok()?.rdev();
    processes.filter(|process| is_getty_on(process, number, is_device)).find_map(|process| {
        let id = process.file_name()?.to_str()?.to_owned();
        Some(format!("a login prompt, process {id}"))
    })
}

/// Whether the process described in folder `process` is a getty on the device,
/// which has this device `number`.
fn is_getty_on(process: &Path, number: u64, is_device: impl Fn(&str) -> bool) -> bool {
    let command = fs::read(process.join("cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command);
    let mut words = command.split('\0').filter(|word| !word.is_empty());
    let program = words.next().and_then(|program| program.rsplit('/').next()).unwrap_or_default();
    // agetty's command line is `/sbin/agetty [options] TTY TERM`. Where TTY is
    // `-`, as in systemd's serial-getty, the device is its terminal.
    program.ends_with("getty")
        && words.any(|word| match word {
            "-" => terminal_of(process).is_some_and(|terminal| terminal == number),
            _ => !word.starts_with('-') && is_device(word),
        })
}

/// The device number of the terminal of the process in folder `process`.
fn terminal_of(process: &Path) -> Option<u64> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // proc_pid_stat(5): after the name in parentheses come state, parent,
    // group, session and terminal. Its major number is in the bits 8 to 19, its
    // minor number in the others.
    let (_, after) = stat.rsplit_once(") ")?;
    let number: u32 = after.split(' ').nth(4)?.parse().ok()?;
    Some(libc::makedev((number >> 8) & 0xFFF, (number & 0xFF) | ((number >> 12) & 0xF_FF00)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_printer_is_an_error_and_what_is_absent_is_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("printer");
        assert!(!check(&file).expect("absent"));
        fs::write(&file, "").expect("a file");
        for path in [file.as_path(), folder.path(), Path::new("/dev/null")] {
            let error = check(path).expect_err("no printer").to_string();
            assert!(error.contains("no USB printer") && error.contains("--printer"), "{error}");
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
        // As of Debian 12's serial-getty@.service.
        let words = ["/sbin/agetty", "-o", "-p -- \\u", "--keep-baud", "115200,57600", "-", "vt220", ""];
        fs::write(process.join("cmdline"), words.join("\0")).expect("a file");
        assert_eq!(console_on(device, proc.path()), None, "its terminal is not known");
        // /dev/null is device 1:3, which is 259 here.
        fs::write(process.join("stat"), "123 (agetty (x)) S 1 123 123 259 123 0").expect("a file");
        assert!(console_on(device, proc.path()).expect("a login").contains("123"));
        fs::write(process.join("stat"), "123 (agetty) S 1 123 123 1025 123 0").expect("a file");
        assert_eq!(console_on(device, proc.path()), None, "another terminal");
        fs::write(process.join("cmdline"), "/sbin/agetty\0tty1\0linux\0").expect("a file");
        assert_eq!(console_on(device, proc.path()), None);
    }
}
