//! Starts threads, and says what to do where the system refuses one.

use std::convert::Infallible;
use std::thread::{self, Builder, JoinHandle};

use anyhow::{Context, Result};
use crossbeam_channel::bounded;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// Starts a thread that does `work`.
///
/// # Errors
///
/// When the system starts no more threads.
pub fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .with_context(|| format!("cannot start the {name} thread; free some memory, or end other programs"))
}

/// Whether `count` threads can run beside this one at the same time, each with
/// the stack that C programs give theirs. (OpenMP ends the process without an
/// error of ours where it cannot start its threads.)
pub fn can_run(count: u16) -> bool {
    // The threads wait until the channel is closed, and then end.
    let (running, released) = bounded::<Infallible>(0);
    thread::scope(|scope| {
        let started = (0..count).all(|_| {
            let released = released.clone();
            let wait = move || released.recv();
            Builder::new().stack_size(stack_size()).spawn_scoped(scope, wait).is_ok()
        });
        drop(running);
        started
    })
}

/// The stack of a thread of a C program, in bytes: the soft limit of the
/// process's own stack (pthread_attr_init(3)), or 2 MiB where there is no limit.
fn stack_size() -> usize {
    match getrlimit(Resource::RLIMIT_STACK) {
        Ok((soft, _)) if soft != RLIM_INFINITY => soft as usize,
        _ => 2 << 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_threads_can_run_and_none_can_always() {
        assert!(can_run(0) && can_run(3));
    }
}
