//! SIGINT, SIGTERM and SIGHUP, as something that can be polled and waited for.
//! The only user of ctrlc.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, select};

use super::ending;
use crate::text::stderr::say;

/// Whether the process was asked to end. Cloning is cheap, every clone sees
/// the same answer, and once raised it stays so.
///
/// It is a channel that carries no messages and is closed when the signal
/// comes: unlike a flag, it can be waited for together with other channels.
#[derive(Debug, Clone)]
pub struct Interrupt(Receiver<Infallible>);

/// Raises its [`Interrupt`] when dropped.
#[derive(Debug)]
pub struct Raise(#[expect(dead_code, reason = "dropping it closes the channel")] Sender<Infallible>);

impl Interrupt {
    /// An interrupt, and the handle that raises it.
    #[must_use]
    pub fn new() -> (Raise, Self) {
        let (sender, receiver) = bounded(0);
        (Raise(sender), Self(receiver))
    }

    /// An interrupt that the process's first signal raises (except a signal
    /// that the process was started to ignore, as by nohup); the second ends the
    /// process at once, whatever it is doing. With `verbose`, the first one is
    /// reported on stderr when it comes.
    ///
    /// # Errors
    ///
    /// When the system refuses the handler.
    pub fn on_signals(verbose: bool) -> Result<Self> {
        let ignored = ignored_signals();
        let (raise, interrupt) = Self::new();
        let mut raise = Some(raise);
        ctrlc::set_handler(move || match raise.take() {
            Some(raise) => {
                drop(raise);
                if verbose {
                    say("signal received: ending after this step; a second one ends at once\n");
                }
            }
            None => ending::exit_at_once(),
        })
        .context("cannot listen for SIGINT and SIGTERM; start it again, and report this if it stays so")?;
        for signal in ignored {
            // SAFETY: ignoring a signal runs no code of ours.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        Ok(interrupt)
    }

    /// The next value of `receiver`, or `None` when the interrupt is raised
    /// first or no value can come any more.
    pub fn or_next<T>(&self, receiver: &Receiver<T>) -> Option<T> {
        select! {
            recv(receiver) -> value => value.ok(),
            recv(self.0) -> _ => None,
        }
    }

    /// The next value of `receiver`, or `None` when the interrupt is raised
    /// first, no value can come any more, or `time` has gone by.
    pub fn or_next_within<T>(&self, receiver: &Receiver<T>, time: Duration) -> Option<T> {
        select! {
            recv(receiver) -> value => value.ok(),
            recv(self.0) -> _ => None,
            default(time) => None,
        }
    }

    /// Sends `value`, waiting until there is room.
    ///
    /// # Errors
    ///
    /// Gives `value` back when the interrupt is raised first, or when nobody
    /// receives any more.
    pub fn or_send<T>(&self, sender: &Sender<T>, value: T) -> Result<(), T> {
        select! {
            send(sender, value) -> sent => sent.map_err(|unsent| unsent.into_inner()),
            recv(self.0) -> _ => Err(value),
        }
    }

    /// Whether it is raised now or within `time`.
    #[must_use]
    pub fn is_raised_within(&self, time: Duration) -> bool {
        matches!(self.0.recv_timeout(time), Err(RecvTimeoutError::Disconnected))
    }

    /// Whether it has been raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        matches!(self.0.try_recv(), Err(TryRecvError::Disconnected))
    }
}

/// Those of the three signals that the process that started this one had it
/// ignore.
fn ignored_signals() -> Vec<libc::c_int> {
    let is_ignored = |&signal: &libc::c_int| {
        // SAFETY: a `sigaction` of zeros is valid; with a null pointer for the
        // new action, the call only writes the present one.
        let action = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &mut action) != 0 {
                return false;
            }
            action
        };
        action.sa_sigaction == libc::SIG_IGN
    };
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].into_iter().filter(is_ignored).collect()
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::Interrupt;

    #[test]
    fn one_that_comes_while_it_is_waited_for_is_seen() {
        let (raise, interrupt) = Interrupt::new();
        assert!(!interrupt.is_raised_within(Duration::ZERO));
        let other = thread::spawn(move || drop(raise));
        assert!(interrupt.is_raised_within(Duration::from_secs(240)));
        other.join().expect("it raised");
    }

    #[test]
    fn every_clone_sees_it_and_it_stays_raised() {
        let (raise, interrupt) = Interrupt::new();
        let clone = interrupt.clone();
        assert!(!interrupt.is_raised());
        drop(raise);
        assert!(interrupt.is_raised() && interrupt.is_raised() && clone.is_raised());
    }
}
