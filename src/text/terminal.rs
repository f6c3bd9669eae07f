//! The terminal behind stdin, stdout or stderr: its width, its colours, and a key
//! that is read without Enter.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::mem;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use libc::{c_int, c_void, siginfo_t};

/// Pause between two looks at whether a key is still waited for.
const LOOK: Duration = Duration::from_millis(100);

/// The signals that end the process, or stop it, without running a destructor:
/// the terminal is set back first. SIGINT, SIGTERM and SIGHUP end a life in
/// order, and SIGKILL leaves no time.
const WITHOUT_DESTRUCTORS: [c_int; 7] =
    [libc::SIGQUIT, libc::SIGTSTP, libc::SIGABRT, libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGBUS];

/// The settings of the terminal before they were changed.
static BEFORE: OnceLock<libc::termios> = OnceLock::new();

/// Whether they are changed now.
static CHANGED: AtomicBool = AtomicBool::new(false);

/// What the signals of [`WITHOUT_DESTRUCTORS`] did before.
static ACTIONS: OnceLock<[libc::sigaction; WITHOUT_DESTRUCTORS.len()]> = OnceLock::new();

/// The width of a terminal in columns; `None` if it is none, or does not say.
#[must_use]
pub(crate) fn columns(stream: impl AsFd) -> Option<usize> {
    // SAFETY: a `winsize` of zeros is valid, and the call writes one.
    let (told, size) = unsafe {
        let mut size: libc::winsize = mem::zeroed();
        let told = libc::ioctl(stream.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size);
        (told, size)
    };
    (told == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Whether stderr is a terminal that knows escape sequences.
#[must_use]
pub(crate) fn stderr_has_escapes() -> bool {
    io::stderr().is_terminal() && knows_escapes(env::var_os("TERM").as_deref())
}

/// Whether stderr is a terminal that has colours, and nobody has asked for none
/// (<https://no-color.org>).
#[must_use]
pub(crate) fn stderr_has_colour() -> bool {
    stderr_has_escapes() && is_colour_wanted(env::var_os("NO_COLOR").as_deref())
}

fn knows_escapes(term: Option<&OsStr>) -> bool {
    term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

fn is_colour_wanted(no_color: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty)
}

/// While this exists, the terminal of stdin gives each key at once and does not
/// show it. Dropping it sets the terminal back; so does each signal that ends the
/// process. After a stop (Ctrl-Z) the terminal stays as the shell has set it, and
/// Enter is the key.
#[derive(Debug)]
pub(crate) struct Keys {
    pressed: Receiver<()>,
    ended: Arc<AtomicBool>,
}

impl Keys {
    /// Waits for a key on stdin. `None` if stdin is no terminal, or this process is
    /// in its background: then the terminal is not touched.
    #[must_use]
    pub(crate) fn of_stdin() -> Option<Self> {
        if !io::stdin().is_terminal() || !is_in_foreground() || !read_single_keys() {
            return None;
        }
        let (press, pressed) = bounded(1);
        let ended = Arc::new(AtomicBool::new(false));
        let keys = Self { pressed, ended: Arc::clone(&ended) };
        // Without a thread nothing is read, and the terminal is set back at once.
        thread::Builder::new().name("keys".to_owned()).spawn(move || wait_for_key(&press, &ended)).ok()?;
        Some(keys)
    }

    /// Gets a message when a key is pressed.
    #[must_use]
    pub(crate) fn pressed(&self) -> &Receiver<()> {
        &self.pressed
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if CHANGED.load(Ordering::Relaxed) && is_in_foreground() {
            // The keys that were pressed to hurry are not for the shell.
            // SAFETY: this takes a descriptor and a number.
            unsafe { libc::tcflush(libc::STDIN_FILENO, libc::TCIFLUSH) };
        }
        set_back();
    }
}

/// Sets the terminal back, if it was changed and is still this process's. Safe in a
/// signal handler.
pub(crate) fn set_back() {
    if CHANGED.swap(false, Ordering::Relaxed)
        && is_in_foreground()
        && let Some(before) = BEFORE.get()
    {
        // Not TCSADRAIN: output that Ctrl-S holds back would be waited for.
        // SAFETY: the settings are those that tcgetattr gave.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, before) };
    }
}

/// Whether this process's group is the one that the terminal of stdin listens to. In
/// the background a change of its settings would stop the process.
fn is_in_foreground() -> bool {
    // SAFETY: both calls only ask.
    unsafe { libc::tcgetpgrp(libc::STDIN_FILENO) == libc::getpgrp() }
}

/// Turns off the editing of lines and the echo; signals by Ctrl-C stay. Returns
/// whether the terminal took it.
fn read_single_keys() -> bool {
    // SAFETY: a `termios` of zeros is valid, and the call writes one.
    let (told, before) = unsafe {
        let mut before: libc::termios = mem::zeroed();
        let told = libc::tcgetattr(libc::STDIN_FILENO, &raw mut before);
        (told, before)
    };
    if told != 0 {
        return false;
    }
    let before = BEFORE.get_or_init(|| before);
    set_back_before_signals();
    let mut changed = *before;
    changed.c_lflag &= !(libc::ICANON | libc::ECHO);
    CHANGED.store(true, Ordering::Relaxed);
    // SAFETY: the settings are those that tcgetattr gave, but for two flags.
    let set = unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw const changed) };
    if set != 0 {
        CHANGED.store(false, Ordering::Relaxed);
        return false;
    }
    // What was typed before hurries nothing.
    // SAFETY: this takes a descriptor and a number.
    unsafe { libc::tcflush(libc::STDIN_FILENO, libc::TCIFLUSH) };
    true
}

/// From now on the signals of [`WITHOUT_DESTRUCTORS`] set the terminal back before
/// they do what they did; one that is ignored stays ignored.
fn set_back_before_signals() {
    if ACTIONS.get().is_some() {
        return;
    }
    let actions = WITHOUT_DESTRUCTORS.map(|signal| {
        // SAFETY: a `sigaction` of zeros is valid; with a null pointer for the new
        // action, the call only writes the present one.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            libc::sigaction(signal, ptr::null(), &raw mut action);
            action
        }
    });
    let actions = ACTIONS.get_or_init(|| actions);
    for (signal, action) in WITHOUT_DESTRUCTORS.into_iter().zip(actions) {
        if action.sa_sigaction == libc::SIG_IGN {
            continue;
        }
        // SAFETY: the handler calls only functions that are safe in one.
        unsafe {
            let mut own: libc::sigaction = mem::zeroed();
            own.sa_sigaction =
                set_back_and_pass_on as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
            // On the stack that Rust's runtime has for its overflow handler.
            own.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const own, ptr::null_mut());
        }
    }
}

extern "C" fn set_back_and_pass_on(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    set_back();
    let at = WITHOUT_DESTRUCTORS.iter().position(|&other| other == signal);
    let Some((action, at)) = ACTIONS.get().zip(at).map(|(actions, at)| (&actions[at], at)) else { return };
    // SAFETY: the kernel passes a valid `siginfo_t`; the other functions are safe in a
    // handler.
    unsafe {
        libc::sigaction(signal, action, ptr::null_mut());
        // An instruction that faulted is repeated when this returns, and faults again.
        // The first three are sent; the terminal's count as the kernel's too.
        if at < 3 || (*info).si_code <= 0 {
            libc::raise(signal);
        }
    }
}

/// Sends a message when a key is pressed on stdin, and ends then, or once `ended`.
fn wait_for_key(press: &Sender<()>, ended: &AtomicBool) {
    // In the background a read fails with EIO instead of stopping the process.
    // SAFETY: a `sigset_t` of zeros is valid, and the calls only change this thread's
    // mask.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTTIN);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
    }
    while !ended.load(Ordering::Relaxed) {
        if !is_in_foreground() {
            thread::sleep(LOOK);
            continue;
        }
        let mut stdin = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
        // SAFETY: one `pollfd` is passed.
        let ready = unsafe { libc::poll(&raw mut stdin, 1, LOOK.as_millis() as c_int) };
        if ready <= 0 || ended.load(Ordering::Relaxed) {
            continue;
        }
        let mut keys = [0_u8; 64];
        // SAFETY: the buffer is as long as is said.
        let read = unsafe { libc::read(libc::STDIN_FILENO, keys.as_mut_ptr().cast(), keys.len()) };
        if read > 0 {
            let _ = press.try_send(());
            return;
        }
        // The end of the input, or a terminal that is gone: no key comes any more.
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_that_have_it_and_people_who_want_it() {
        let term = |name: &str| knows_escapes(Some(OsStr::new(name)));
        assert!(term("xterm-256color") && term("linux"));
        assert!(!term("dumb") && !term("") && !knows_escapes(None));
        assert!(is_colour_wanted(None) && is_colour_wanted(Some(OsStr::new(""))));
        assert!(!is_colour_wanted(Some(OsStr::new("1"))));
    }

    #[test]
    fn what_is_no_terminal_has_no_columns() {
        let file = tempfile::tempfile().expect("a file");
        assert_eq!(columns(&file), None);
    }
}
