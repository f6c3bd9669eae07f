//! The serial port: with `panel/pins.rs` the only user of rppal.
//!
//! Works with any serial device: the board's UART, a USB adapter, a
//! pseudo-terminal. 8 data bits, no parity, 1 stop bit. No call blocks: a write
//! takes as many bytes as the kernel has room for, and [`super::press`] watches
//! the deadline. RTS/CTS stays off: it would claim GPIO 16 and 17.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, IsTerminal};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use rppal::uart::{self, Parity, Queue, Uart};

use super::port::Port;

/// The rates that rppal can set, in baud, without those below 1200.
pub(crate) const BAUD_RATES: [u32; 16] = [
    1200, 1800, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 500_000, 921_600,
    1_000_000, 2_000_000, 4_000_000,
];

/// A serial port, open, which no other program can use meanwhile.
#[derive(Debug)]
pub(crate) struct Serial {
    uart: Uart,
    /// Unlocks the device when it is closed.
    _lock: Lock,
}

impl Serial {
    /// Opens the port. With `flow`, XON and XOFF from the printer are obeyed;
    /// without it, noise on an RX line that is not connected cannot hold the
    /// port.
    ///
    /// # Errors
    ///
    /// When the device is absent, is no serial port, or another program uses
    /// it.
    pub(crate) fn open(path: &Path, baud: u32, flow: bool) -> io::Result<Self> {
        let lock = Lock::take(open(path)?)?;
        let mut uart = Uart::with_path(path, baud, Parity::None, 8, 1).map_err(io_error)?;
        if flow {
            uart.set_software_flow_control(true).map_err(io_error)?;
        }
        lock.exclude();
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

/// Exclusive use of a device: a lock (flock) that programs like this one
/// respect, and TIOCEXCL, with which the kernel refuses all programs but root's.
#[derive(Debug)]
struct Lock(File);

impl Lock {
    /// Locks the device.
    ///
    /// # Errors
    ///
    /// When another program has locked it; the message names the process.
    fn take(device: File) -> io::Result<Self> {
        match device.try_lock() {
            Ok(()) => Ok(Self(device)),
            Err(TryLockError::Error(error)) => Err(error),
            Err(TryLockError::WouldBlock) => {
                let holder = device.metadata().ok().and_then(|device| {
                    holder_of(&fs::read_to_string("/proc/locks").ok()?, device.dev(), device.ino())
                });
                let holder =
                    holder.map_or("another program".to_owned(), |process| format!("process {process}"));
                Err(io::Error::new(ErrorKind::ResourceBusy, format!("{holder} prints on it; end that first")))
            }
        }
    }

    /// Has the kernel refuse to open the device again, until this is dropped.
    fn exclude(&self) {
        // SAFETY: the call takes no argument. Where it fails, the lock remains.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCEXCL) };
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // SAFETY: as above. Without it the device would stay refused as long as
        // any program has it open.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCNXCL) };
    }
}

/// The process that has locked a file with flock, from the text of /proc/locks.
fn holder_of(locks: &str, device: u64, inode: u64) -> Option<u32> {
    let (major, minor) = (libc::major(device), libc::minor(device));
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        // As `1: FLOCK  ADVISORY  WRITE 708 00:18:23 0 EOF`.
        (words.get(1) == Some(&"FLOCK") && words.get(5) == Some(&file.as_str()))
            .then(|| words[4].parse().ok())?
    })
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
        Ok(device) if device.is_terminal() => {
            Lock::take(device).map_err(|error| anyhow!("cannot use printer {path:?}: {error}"))?;
        }
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
    fn the_process_that_holds_a_lock_is_found_in_the_kernels_list() {
        let locks = "1: FLOCK  ADVISORY  WRITE 708 00:18:23 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 9 00:06:23 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 4711 00:06:23 0 EOF\n";
        assert_eq!(holder_of(locks, libc::makedev(0, 6), 23), Some(4711));
        assert_eq!(holder_of(locks, libc::makedev(0, 6), 24), None);
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
