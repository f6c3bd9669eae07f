//! Limits of the process (setrlimit(2)) that would end it without a word.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The stack that a thread of the program has at the least, in bytes, and the usual one.
const LEAST_STACK: u64 = 1 << 20;
const STACK: u64 = 8 << 20;

/// Makes a file that becomes too long an error of its write, and gives the main thread and
/// those of OpenMP, which take the limit that the program starts with, a stack of some size:
/// for that the program starts again.
///
/// # Errors
///
/// When the stack may not have it.
pub fn loosen() -> Result<()> {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let (soft, hard) = getrlimit(Resource::RLIMIT_STACK)?;
    if soft >= LEAST_STACK {
        return Ok(());
    }
    let next = format!("ulimit -s {}, as root if need be", STACK / 1024);
    ensure!(hard >= LEAST_STACK, "a stack may have {} KB only; {next}", hard / 1024);
    setrlimit(Resource::RLIMIT_STACK, STACK.min(hard), hard)?;
    Err(Command::new(env::current_exe()?).args(env::args_os().skip(1)).exec().into())
}
