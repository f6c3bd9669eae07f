//! What every long wait and every long work answers to. It ends at SIGINT, SIGTERM or
//! SIGHUP, and until then it tells the [`Supervisor`] that the program is alive: a wait
//! may take as long as an exhibition, and wakes in between for that. The only user of
//! ctrlc.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, never, select};

use super::ending;
use super::supervisor::Supervisor;
use crate::text::stderr::{self, say};

/// Whether the process was asked to end. Cloning is cheap, every clone sees
/// the same answer, and once raised it stays so.
///
/// It is a channel that carries no messages and is closed when the signal
/// comes: unlike a flag, it can be waited for together with other channels.
#[derive(Debug, Clone)]
pub struct Interrupt {
    raised: Receiver<Infallible>,
    supervisor: Supervisor,
}

/// Raises its [`Interrupt`] when dropped.
#[derive(Debug)]
pub struct Raise(#[expect(dead_code, reason = "dropping it closes the channel")] Sender<Infallible>);

impl Interrupt {
    /// An interrupt, and the handle that raises it. No supervisor is told of its waits.
    #[must_use]
    pub fn new() -> (Raise, Self) {
        let (sender, raised) = bounded(0);
        (Raise(sender), Self { raised, supervisor: Supervisor::default() })
    }

    /// The same, whose waits are told to the supervisor of this one.
    #[must_use]
    pub fn another(&self) -> (Raise, Self) {
        let (raise, other) = Self::new();
        (raise, Self { supervisor: self.supervisor.clone(), ..other })
    }

    /// Work that is part of the start goes on: systemd gives the start more time.
    pub fn is_starting(&self) {
        self.supervisor.loading();
    }

    /// A step of this thread's long work is done, however small: tells the supervisor, and
    /// returns whether the work is to be broken off.
    #[must_use]
    pub fn breaks_off(&self) -> bool {
        self.supervisor.loading();
        self.supervisor.alive();
        self.is_raised()
    }

    /// An interrupt that the process's first signal raises (except one that it was
    /// started to ignore, as by nohup), which is reported with `verbose`; the second ends
    /// the process at once. Waits on this thread are told to the `supervisor`.
    ///
    /// # Errors
    ///
    /// When the system refuses the handler.
    pub fn on_signals(verbose: bool, supervisor: &Supervisor) -> Result<Self> {
        let mut ignored = vec![libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
        ignored.retain(|&signal| is_ignored(signal));
        let (raise, mut interrupt) = Self::new();
        interrupt.supervisor = supervisor.clone();
        let mut raise = Some(raise);
        ctrlc::set_handler(move || match raise.take() {
            Some(raise) => {
                stderr::hurry();
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
    /// first, no value can come any more, or `time` has gone by.
    pub fn or_next_within<T>(&self, receiver: &Receiver<T>, time: Duration) -> Option<T> {
        let end = Instant::now().checked_add(time);
        loop {
            let step = self.step(end);
            select! {
                recv(receiver) -> value => return value.ok(),
                recv(self.raised) -> _ => return None,
                default(step) => if is_over(end) { return None },
            }
        }
    }

    /// The same without a limit.
    pub fn or_next<T>(&self, receiver: &Receiver<T>) -> Option<T> {
        self.or_next_within(receiver, Duration::MAX)
    }

    /// Sends `value`, waiting until there is room.
    ///
    /// # Errors
    ///
    /// Gives `value` back when the interrupt is raised first, when nobody
    /// receives any more, or when `time` has gone by.
    pub fn or_send_within<T>(&self, sender: &Sender<T>, value: T, time: Duration) -> Result<(), T> {
        let end = Instant::now().checked_add(time);
        loop {
            let step = self.step(end);
            select! {
                send(sender, value) -> sent => return sent.map_err(|unsent| unsent.into_inner()),
                recv(self.raised) -> _ => return Err(value),
                default(step) => if is_over(end) { return Err(value) },
            }
        }
    }

    /// Whether it is raised now or within `time`.
    #[must_use]
    pub fn is_raised_within(&self, time: Duration) -> bool {
        self.or_next_within::<Infallible>(&never(), time);
        self.is_raised()
    }

    /// Tells the supervisor that this thread is alive, and returns how long it may
    /// wait until it says so again; no longer than until `end`.
    fn step(&self, end: Option<Instant>) -> Duration {
        self.supervisor.alive();
        let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        left.min(self.supervisor.period())
    }

    /// Whether it has been raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        matches!(self.raised.try_recv(), Err(TryRecvError::Disconnected))
    }
}

/// Whether a wait until `end` is over; one without an end never is.
fn is_over(end: Option<Instant>) -> bool {
    end.is_some_and(|end| Instant::now() >= end)
}

/// Whether the process that started this one had it ignore the signal.
fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: a `sigaction` of zeros is valid; with a null pointer for the new action,
    // the call only writes the present one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};
    use std::thread;
    use std::time::Duration;

    use crossbeam_channel::bounded;

    use super::super::supervisor::tests::{ARMED, listening, taken};
    use super::{Interrupt, Raise};

    /// An interrupt of an armed piece, whose supervisor expects a message every
    /// 4 ms; and what that is told.
    pub(crate) fn supervised() -> (Raise, Interrupt, Arc<Mutex<Vec<String>>>) {
        let (supervisor, told) = listening(Duration::from_millis(4));
        supervisor.armed(ARMED);
        let (raise, interrupt) = Interrupt::new();
        (raise, Interrupt { supervisor, ..interrupt }, told)
    }

    /// Whether the watchdog was fed again and again since this was asked last.
    pub(crate) fn was_fed(told: &Mutex<Vec<String>>) -> bool {
        taken(told).iter().filter(|told| *told == "WATCHDOG=1").count() > 2
    }

    #[test]
    fn every_long_wait_feeds_the_watchdog() {
        const LONG: Duration = Duration::from_millis(100);
        let (_raise, interrupt, told) = supervised();
        let (sender, receiver) = bounded(1);
        assert_eq!(interrupt.or_next_within(&receiver, LONG), None);
        assert!(was_fed(&told));
        interrupt.or_send_within(&sender, "first", LONG).expect("there is room");
        assert_eq!(interrupt.or_send_within(&sender, "second", LONG), Err("second"));
        assert!(was_fed(&told));
        assert!(!interrupt.is_raised_within(LONG));
        assert!(was_fed(&told));
        let (_raise, another) = interrupt.another();
        assert!(!another.is_raised_within(LONG));
        assert!(was_fed(&told), "nor does the wait for the last line stay untold");
        let late = thread::spawn(move || {
            thread::sleep(LONG);
            drop(sender);
        });
        assert_eq!(interrupt.or_next(&receiver), Some("first"));
        assert_eq!(interrupt.or_next(&receiver), None, "without a limit");
        assert!(was_fed(&told));
        late.join().expect("it ends");
    }

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
