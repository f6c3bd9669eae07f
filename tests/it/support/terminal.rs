//! A terminal: a pseudo-terminal that a program is started in, and an emulator that draws
//! what it writes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{Termios, tcgetattr};

/// The longest that a test waits for a frame or for the end; this only turns a hang into
/// a failure.
const LIMIT: Duration = Duration::from_secs(120);

/// Pause between two looks at the screen.
const GLANCE: Duration = Duration::from_millis(10);

/// A terminal with a program in it. The program is killed when this is dropped.
pub struct Terminal {
    master: File,
    slave: File,
    before: Termios,
    seen: Arc<Mutex<Seen>>,
    reader: Option<JoinHandle<()>>,
    pub child: Child,
}

/// What the program has written.
pub struct Seen {
    pub parser: vt100::Parser,
    /// All of it, and when it came.
    pub written: Vec<(Instant, Vec<u8>)>,
}

impl Terminal {
    /// Starts `command` in a terminal of that size.
    pub fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("a terminal");
        grantpt(&master).expect("a terminal");
        unlockpt(&master).expect("a terminal");
        let name = ptsname_r(&master).expect("it has a name");
        let slave = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(name);
        let slave = slave.expect("a terminal");
        let master = File::from(master.as_fd().try_clone_to_owned().expect("a descriptor"));
        set_size(&master, columns, rows);
        let before = tcgetattr(&slave).expect("a terminal");
        let stdio = || Stdio::from(slave.try_clone().expect("a descriptor"));
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        // It does not become the program's controlling terminal, which the kernel would hang
        // up with the program's end, and its settings would be lost.
        let child = command.spawn().expect("the program starts");
        let parser = vt100::Parser::new(rows, columns, 0);
        let seen = Arc::new(Mutex::new(Seen { parser, written: Vec::new() }));
        let (mut output, shared) = (master.try_clone().expect("a descriptor"), seen.clone());
        let reader = thread::spawn(move || {
            let mut buffer = [0; 65_536];
            // It fails once the other end is closed.
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                let mut seen = shared.lock().expect("nobody failed with it");
                seen.parser.process(&buffer[..length]);
                seen.written.push((Instant::now(), buffer[..length].to_vec()));
            }
        });
        Self { master, slave, before, seen, reader: Some(reader), child }
    }

    /// Types these keys.
    pub fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Makes it larger or smaller.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.look(|seen| seen.parser.screen_mut().set_size(rows, columns));
        self.set_size(columns, rows);
    }

    /// The same, as long as nothing is read of what is written.
    pub fn set_size(&self, columns: u16, rows: u16) {
        set_size(&self.master, columns, rows);
    }

    /// Looks at what was written.
    pub fn look<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().expect("nobody failed with it"))
    }

    /// The screen as text.
    pub fn text(&self) -> String {
        self.look(|seen| seen.parser.screen().contents())
    }

    /// Waits until the screen is as asked, and returns it.
    #[track_caller]
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let text = self.text();
            if is_so(&text) {
                return text;
            }
            assert!(start.elapsed() < LIMIT, "there is never {what} on\n{text}");
            thread::sleep(GLANCE);
        }
    }

    /// Waits until the screen has these words.
    #[track_caller]
    pub fn wait_for(&self, words: &str) -> String {
        self.wait_until(words, |text| text.contains(words))
    }

    /// Waits for the program's end, and returns its exit status, what it has left on the
    /// terminal, and whether that is as it was.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String, bool) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is a child") {
                break status;
            }
            assert!(start.elapsed() < LIMIT, "it never ends:\n{}", self.text());
            thread::sleep(GLANCE);
        };
        // Until all that it has written is read.
        thread::sleep(10 * GLANCE);
        let after = tcgetattr(&self.slave).expect("a terminal");
        let is_restored = after == self.before
            && self.look(|seen| {
                let screen = seen.parser.screen();
                !screen.alternate_screen()
                    && !screen.hide_cursor()
                    && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
            });
        (status.code(), self.text(), is_restored)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The reader ends once the last user of the other end is gone; it is not waited
        // for, since a test that has failed may have left one.
        drop(self.reader.take());
    }
}

fn set_size(master: &File, columns: u16, rows: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request reads a `winsize`, and the descriptor is open.
    let set = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &size) };
    assert_eq!(set, 0, "the terminal has no size");
}
