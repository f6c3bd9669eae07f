//! Every way a life can end, its text on stderr and its exit code.
//!
//! | ending | stderr | exit |
//! |---|---|---|
//! | [`Death`]: 95 % of the context is used | the three lines | 101 |
//! | a fault | one `error:` line with the next step | 1 |
//! | [`Ending::Usage`]: wrong usage | clap's message | 2 |
//! | [`Ending::Failed`]: what failed was told already, by a check or before the light showed it | nothing more | 1 |
//! | [`Ending::Done`]: what was asked for instead of a life is done | nothing | 0 |
//! | a bug: any other panic, or a crash without a user's model | Rust's message or an `error:` line, and one that says that it is a bug, not the artwork | 70 |
//! | [`Ending::Interrupted`] | `interrupted`, and how far it got | 130 |
//! | [`Ending::Unheard`] | nothing | 0 |
//!
//! 101 means the death and nothing else: a supervisor tells a life that was
//! lived to its end from one that failed by this number alone.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::convert::Infallible;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;

use anyhow::Error;

use crate::text::fault::one_line;
use crate::text::stderr::{self, say};
use crate::text::terminal;

/// A fault: something failed.
pub const FAULT: u8 = 1;
/// Wrong usage, as clap ends with it.
const USAGE: u8 = 2;
/// `EX_SOFTWARE` of sysexits.h: an internal error.
pub const BUG: u8 = 70;
/// 128 + SIGINT, the exit status by which shells report that signal.
const INTERRUPTED: u8 = 130;

const WARNING: &str = "WARNING: Context window exhausted!\n\
                       The torment nexus has consumed all available memory.\n";
const PANIC: &str = "thread 'main' panicked at 'Context overflow - terminating.'\n";
const NOT_THE_WORK: &str = "error: this is a bug in torment-nexus, not the artwork; \
                            please report the lines above\n";

/// The panic's payload at the end of a life; a panic with any other payload is
/// a bug.
#[derive(Debug)]
pub struct Death;

/// Every ending except the death and bugs, which are panics.
///
/// Not a `std::error::Error`, so that no ending can be mistaken for an ordinary
/// error and be wrapped in one.
#[derive(Debug)]
pub enum Ending {
    /// A signal asked for the end; the text says how far the life had come.
    Interrupted(String),
    /// Nobody reads stdout any more.
    Unheard,
    /// Wrong usage, of which clap has told.
    Usage,
    /// What was asked for instead of a life is done: help, a check that found all well.
    Done,
    /// Something failed, and was told.
    Failed,
    /// Something failed; the error names it and the next step.
    Fault(Error),
}

impl From<Error> for Ending {
    fn from(fault: Error) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted(place) => write!(f, "interrupted {place}"),
            Self::Unheard => f.write_str("stdout was closed by its reader"),
            Self::Usage => f.write_str("wrong usage"),
            Self::Done => f.write_str("done"),
            Self::Failed => f.write_str("failed"),
            Self::Fault(fault) => f.write_str(&one_line(fault)),
        }
    }
}

/// Prints the warning, and panics with [`Death`].
///
/// # Panics
///
/// Always: this panic is how the piece ends.
pub fn die() -> ! {
    match terminal::stderr_has_colour() {
        true => stderr::say_as_it_is(&coloured(WARNING)),
        false => say(WARNING),
    }
    panic::panic_any(Death)
}

/// A text whose first line is bold and red (ECMA-48, SGR 1 and 31).
fn coloured(text: &str) -> String {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    format!("\x1b[1;31m{first}\x1b[0m\n{rest}")
}

/// The three lines of the death, for the paper.
pub fn last_words() -> impl Iterator<Item = &'static str> {
    WARNING.lines().chain(PANIC.lines())
}

/// Installs the panic hook: for the death it writes the last of the three lines, for any
/// other panic Rust's message and that this is a bug and not the artwork.
pub fn install_last_words() {
    // Not by Rust's own hook: it waits for ever for whoever reads stderr.
    panic::set_hook(Box::new(|info| {
        if info.payload().is::<Death>() {
            say(PANIC);
        } else {
            let this = thread::current();
            let trace = Backtrace::capture();
            let trace =
                if trace.status() == BacktraceStatus::Captured { trace.to_string() } else { String::new() };
            say(format_args!("thread '{}' {info}\n{trace}{NOT_THE_WORK}", this.name().unwrap_or("unnamed")));
        }
    }));
}

/// Runs `life` and turns its ending into a message on stderr and an exit code.
///
/// # Panics
///
/// With [`Death`], resumed after destructors have run: Rust's own runtime then
/// ends the process with 101.
pub fn conclude(life: impl FnOnce() -> Result<Infallible, Ending>) -> ExitCode {
    let ended = panic::catch_unwind(AssertUnwindSafe(life));
    // What it was waiting for.
    stderr::clear();
    match ended {
        Ok(Ok(never)) => match never {},
        Ok(Err(Ending::Unheard | Ending::Done)) => ExitCode::SUCCESS,
        Ok(Err(Ending::Usage)) => USAGE.into(),
        Ok(Err(Ending::Failed)) => FAULT.into(),
        Ok(Err(ending @ Ending::Interrupted(_))) => {
            say(format_args!("{ending}\n"));
            INTERRUPTED.into()
        }
        Ok(Err(Ending::Fault(fault))) => {
            say_fault(&fault);
            FAULT.into()
        }
        Err(payload) if payload.is::<Death>() => panic::resume_unwind(payload),
        Err(_) => BUG.into(),
    }
}

/// Says a fault on stderr, in one line.
pub fn say_fault(fault: &Error) {
    stderr::clear();
    say(format_args!("error: {}\n", one_line(fault)));
}

/// Ends the process with 130 at once: for a second signal.
pub fn exit_at_once() -> ! {
    // SAFETY: `_exit` has no preconditions and may be called on any thread.
    // (`process::exit` would run C++'s static destructors while the main thread
    // is still computing.)
    unsafe { libc::_exit(INTERRUPTED.into()) }
}

/// Says these parts of a line and ends the process at once, with [`FAULT`] or
/// [`BUG`]: without the light's blinks, without closing the receipt and without
/// resetting the pins. Safe in a signal handler.
pub fn end_at_once(code: u8, line: &[&str]) -> ! {
    static ENDS: AtomicBool = AtomicBool::new(false);
    static CODE: AtomicU8 = AtomicU8::new(0);
    extern "C" fn exit_with_code(_: libc::c_int) {
        // SAFETY: as below.
        unsafe { libc::_exit(CODE.load(Ordering::Relaxed).into()) }
    }
    if ENDS.swap(true, Ordering::Relaxed) {
        // Another thread says what it has to say, and ends the process.
        // SAFETY: this takes a number.
        unsafe { libc::sleep(2) };
    } else {
        // Where nobody reads stderr, the line is lost and the code is not.
        CODE.store(code, Ordering::Relaxed);
        // SAFETY: the handler only calls `_exit`, which may be called anywhere; both calls
        // may be made in a signal handler.
        unsafe {
            libc::signal(libc::SIGALRM, exit_with_code as *const () as libc::sighandler_t);
            libc::alarm(1);
        }
        let bug = if code == BUG { NOT_THE_WORK } else { "" };
        stderr::say_at_once(line.iter().copied().chain([bug]));
    }
    // SAFETY: `_exit` has no preconditions and may be called on any thread. It
    // runs no destructors: other threads may still compute.
    unsafe { libc::_exit(code.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_colour_the_death_has_the_same_words() {
        let coloured = coloured(WARNING);
        assert!(
            coloured.starts_with("\x1b[1;31mWARNING: Context window exhausted!\x1b[0m\n"),
            "{coloured:?}"
        );
        assert_eq!(coloured.replace("\x1b[1;31m", "").replace("\x1b[0m", ""), WARNING);
    }

    #[test]
    fn only_the_death_leaves_as_a_panic() {
        let bug = panic::catch_unwind(|| conclude(|| panic!("a bug"))).expect("no panic");
        assert_eq!(bug, ExitCode::from(BUG));
        let death = panic::catch_unwind(|| conclude(|| die())).expect_err("the death unwinds");
        assert!(death.is::<Death>());
    }
}
