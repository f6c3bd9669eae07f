//! Whole lives, most of them of ember, and every way they end.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::nexus::{LIMIT, wait};

mod never;
mod outside;
mod prompt;
mod real_model;
mod show;
mod signals;
mod terminal;
mod whole_life;

pub(super) fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).expect("it runs");
}

/// Waits until `is_so`; a test that waits for ever fails.
pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait(|| what, LIMIT, Duration::from_millis(5), || is_so().then_some(()));
}

fn start(mut command: Command, stdout: impl Into<Stdio>) -> Child {
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// The exit code of a child that must end by itself, and what is left of its stderr.
pub(super) fn ended(mut child: Child) -> (Option<i32>, String) {
    let end = || child.try_wait().expect("a child can be waited for");
    let status = wait(|| "the end", LIMIT, Duration::from_millis(5), end);
    let mut stderr = String::new();
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_string(&mut stderr).expect("UTF-8");
    }
    (status.code(), stderr)
}

/// Whether the main thread of a process waits for something. With one computing thread, a
/// life that has begun sleeps only when it cannot write.
pub(super) fn sleeps(child: &Child) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("it runs");
    // `pid (name) state …`
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
}
