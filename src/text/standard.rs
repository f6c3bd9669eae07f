//! The process's stdout as a writer that never waits for its reader.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the process was started without a stdout (`>&-`).
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Looks at stdout before Rust's runtime opens /dev/null in place of a closed
/// one: the loader calls the functions of this section before `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = {
    extern "C" fn look() {
        // SAFETY: this asks for the flags of a file descriptor, open or not.
        let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
        CLOSED.store(flags == -1, Ordering::Relaxed);
    }
    look
};

/// The most bytes that are written at once to a shared descriptor: a terminal that
/// takes any takes so many without a wait, and a pipe `PIPE_BUF`, which is more.
const AT_ONCE: usize = 64;

/// Whether a write to `file` would not wait.
fn takes_some(file: &File) -> bool {
    let mut file = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one `pollfd` is passed, and the call does not wait.
    unsafe { libc::poll(&raw mut file, 1, 0) != 0 }
}

/// Stdout. A write that would wait for a reader returns
/// [`ErrorKind::WouldBlock`].
#[derive(Debug)]
pub enum Standard {
    /// A pipe or a terminal, opened anew so that it does not block: the flag of
    /// the stdout that is shared with other processes is left alone. Or a
    /// regular file, which never waits for a reader.
    File(File),
    /// A pipe or a terminal that could not be opened anew, as another user's: it
    /// is written to only while it takes something.
    Shared(File),
    /// A socket, such as the journal.
    Socket(OwnedFd),
    /// There is none.
    Closed,
}

impl Standard {
    /// The process's stdout.
    ///
    /// # Errors
    ///
    /// When it cannot be duplicated.
    pub(super) fn open() -> io::Result<Self> {
        if CLOSED.load(Ordering::Relaxed) {
            return Ok(Self::Closed);
        }
        let own = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let kind = own.metadata()?.file_type();
        if kind.is_socket() {
            return Ok(Self::Socket(own.into()));
        }
        if kind.is_fifo() || kind.is_char_device() {
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
            let anew = OpenOptions::new().write(true).custom_flags(flags).open("/proc/self/fd/1");
            return Ok(anew.map_or(Self::Shared(own), Self::File));
        }
        Ok(Self::File(own))
    }
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Shared(file) if takes_some(file) => file.write(&bytes[..bytes.len().min(AT_ONCE)]),
            Self::Shared(_) => Err(ErrorKind::WouldBlock.into()),
            Self::Socket(socket) => {
                let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
                // SAFETY: the bytes can be read for the length that is given.
                let sent =
                    unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
                usize::try_from(sent).map_err(|_| io::Error::last_os_error())
            }
            Self::Closed => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
