//! A terminal: a pseudo-terminal whose other end is read into a screen. The program
//! runs in it as a shell would start it, in the foreground.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::nexus::{LIMIT, with_default_signals};

/// The shell that leads the session. It outlives the program, as a user's does, so that
/// the terminal can be looked at after the program; Enter ends it.
const SHELL: &str =
    "trap : INT QUIT TSTP; \"$@\"; code=$?; echo >\"$TERMINAL_ENDED\"; read -r enter; exit $code";

/// A terminal with a program in it.
pub struct Terminal {
    master: File,
    slave: File,
    seen: Arc<Mutex<Vec<u8>>>,
    shell: Child,
    /// How it was before the program.
    before: Termios,
    /// Has a file once the program has ended.
    folder: TempDir,
}

/// Waits until `is_so`; a test that waits for ever fails.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what} does not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Terminal {
    /// Runs `program` in a terminal of this size. A stream of `elsewhere` (0, 1, 2) is
    /// /dev/null instead.
    pub fn run(program: &Command, rows: u16, columns: u16, elsewhere: &[i32]) -> Self {
        let pty = openpty(&size(rows, columns), None).expect("a pseudo-terminal");
        let (master, slave) = (File::from(pty.master), File::from(pty.slave));
        let before = tcgetattr(&slave).expect("a terminal");
        let mut shell = Command::new("sh");
        shell.args(["-c", SHELL, "sh"]).arg(program.get_program()).args(program.get_args());
        if let Some(folder) = program.get_current_dir() {
            shell.current_dir(folder);
        }
        let folder = TempDir::new().expect("a temporary folder");
        shell.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        shell.env("TERMINAL_ENDED", folder.path().join("ended"));
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let stream = |number: i32| match elsewhere.contains(&number) {
            true => Stdio::null(),
            false => slave.try_clone().expect("a descriptor").into(),
        };
        shell.stdin(stream(0)).stdout(stream(1)).stderr(stream(2));
        with_default_signals(&mut shell);
        let terminal = slave.as_raw_fd();
        // SAFETY: both calls are safe between fork and exec.
        unsafe {
            shell.pre_exec(move || {
                libc::setsid();
                libc::ioctl(terminal, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        let shell = shell.spawn().expect("a shell");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&seen);
        let mut reader = master.try_clone().expect("a descriptor");
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It ends when the terminal hangs up.
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                into.lock().expect("nobody failed with it").extend(&buffer[..length]);
            }
        });
        Self { master, slave, seen, shell, before, folder }
    }

    /// All bytes that came so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("nobody failed with it")).into_owned()
    }

    /// What a screen of this size shows.
    pub fn screen(&self, rows: u16, columns: u16) -> String {
        let mut screen = vt100::Parser::new(rows, columns, 0);
        screen.process(self.text().as_bytes());
        screen.screen().contents()
    }

    /// Waits until these bytes have come.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let start = Instant::now();
        while !self.text().contains(text) {
            assert!(start.elapsed() < LIMIT, "{text:?} does not come: {}", self.text());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Presses these keys.
    pub fn press(&mut self, keys: &[u8]) {
        self.master.write_all(keys).expect("a terminal");
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        let size = size(rows, columns);
        // SAFETY: the call reads the size.
        let set = unsafe { libc::ioctl(self.master.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(set, 0);
    }

    /// Whether a key is given to the program at once, and not shown.
    pub fn gives_single_keys(&self) -> bool {
        let now = tcgetattr(&self.slave).expect("a terminal").local_flags;
        !now.intersects(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    /// Asserts that the terminal is set as before the program.
    #[track_caller]
    pub fn is_as_before(&self) {
        assert_eq!(tcgetattr(&self.slave).expect("a terminal"), self.before);
    }

    /// The process of the program, once it runs, while it runs.
    pub fn program(&self) -> Option<Pid> {
        let shell = self.shell.id();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
    }

    /// Sends the program a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(self.program().expect("it runs"), signal).expect("it runs");
    }

    /// Waits for the end of the program, whose terminal must be as before then. Returns
    /// its exit code, as a shell tells it, and all bytes that came.
    #[track_caller]
    pub fn ended(mut self) -> (Option<i32>, String) {
        wait_until("the end", || self.folder.path().join("ended").exists());
        self.is_as_before();
        // After Ctrl-S nothing is shown any more.
        self.press(b"\x11");
        self.press(b"\n");
        let mut code = None;
        wait_until("the end of the shell", || {
            code = self.shell.try_wait().expect("a child can be waited for");
            code.is_some()
        });
        // The last bytes are in the reader's hand.
        let mut length = usize::MAX;
        while length != self.text().len() {
            length = self.text().len();
            thread::sleep(Duration::from_millis(20));
        }
        (code.and_then(|status| status.code()), self.text())
    }
}

impl Drop for Terminal {
    /// The end of the session hangs the terminal up, so that whatever still runs in it
    /// ends too.
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
