//! What the program tells of itself while it runs: the systemd that started it hears
//! that it is armed, what it does, and that it makes progress; the cabinet, what it does.
//! The only user of sd-notify.
//!
//! | message | when |
//! |---|---|
//! | `EXTEND_TIMEOUT_USEC` | before it is armed, at progress: of the download, of the prompt |
//! | `READY=1` | once it is armed |
//! | `WATCHDOG=1` | from then on (a unit without a watchdog ignores it), from the main thread only: at each operation within a token, and in each wait of [`super::interrupt::Interrupt`] |
//! | `STATUS` | when its text has changed |
//!
//! Started by anything but a unit with `Type=notify` or the cabinet it sends nothing. A
//! process that it started would not be listened to: the unit has `NotifyAccess=main`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::link::{Link, Message};
use super::status::Status;

/// The shortest time between two messages of progress.
const PERIOD: Duration = Duration::from_secs(1);

/// How many messages of progress fit into the time after which systemd takes the
/// program for hung: one that is late must not end it.
const PER_WATCHDOG: u32 = 4;

/// The time within which the next progress of a start has to come. No step takes
/// longer: five tries to reach a server, each with 30 s for its name, its
/// connection and its answer, and 15 s of pauses between them, take 465 s.
const START: Duration = Duration::from_secs(600);

/// The systemd or the cabinet that started this process, if it listens. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Supervisor(Option<Arc<Shared>>);

struct Shared {
    /// Only the progress of the thread that asked first counts.
    main: ThreadId,
    /// The pause between two messages of progress.
    period: Duration,
    send: Box<Tell>,
    /// The cabinet that draws this life.
    cabinet: Option<Link>,
    state: Mutex<Announced>,
}

#[derive(Default)]
struct Announced {
    armed: bool,
    /// When the next message of progress is due.
    next: Option<Instant>,
    /// The status sent last.
    said: Option<Status>,
    /// What the status is while it changes by itself.
    describe: Option<Describe>,
}

type Tell = dyn Fn(&[NotifyState<'_>]) + Send + Sync;

type Describe = Box<dyn Fn() -> Status + Send>;

impl Supervisor {
    /// The supervisor that this process's environment names, and the `cabinet` that draws
    /// it. To be called on the main thread.
    #[must_use]
    pub fn of_this_process(cabinet: Option<Link>) -> Self {
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some();
        if !listens && cabinet.is_none() {
            return Self::default();
        }
        // A message that cannot be sent is not worth a life.
        let send = |states: &[NotifyState<'_>]| drop(sd_notify::notify(states));
        Self::new(sd_notify::watchdog_enabled(), cabinet, send)
    }

    fn new(
        watchdog: Option<Duration>,
        cabinet: Option<Link>,
        send: impl Fn(&[NotifyState<'_>]) + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(Shared {
            main: thread::current().id(),
            period: watchdog.map_or(PERIOD, |time| PERIOD.min(time / PER_WATCHDOG)),
            send: Box::new(send),
            cabinet,
            state: Mutex::default(),
        })))
    }

    /// The longest that the main thread may wait between two calls of
    /// [`Supervisor::alive`].
    #[must_use]
    pub fn period(&self) -> Duration {
        self.0.as_ref().map_or(Duration::MAX, |shared| shared.period)
    }

    /// The start makes progress: systemd gives it more time. Any thread may say
    /// so; nothing is sent once the piece is armed.
    pub fn loading(&self) {
        let Some(shared) = &self.0 else { return };
        let mut state = shared.state();
        if !state.armed && state.is_due(Instant::now(), shared.period) {
            (shared.send)(&[NotifyState::ExtendTimeoutUsec(START.as_micros() as u32)]);
        }
    }

    /// The piece is armed, with this status: systemd expects it to be alive from now on.
    pub fn armed(&self, status: Status) {
        let Some(shared) = &self.0 else { return };
        let mut state = shared.state();
        if !state.armed {
            state.armed = true;
            (shared.send)(&[NotifyState::Ready]);
            state.say(status, shared);
        }
    }

    /// The calling thread makes progress, or waits for something that may take long. Counts
    /// on the main thread only, and once the piece is armed.
    pub fn alive(&self) {
        self.alive_at(Instant::now);
    }

    fn alive_at(&self, now: impl FnOnce() -> Instant) {
        let Some(shared) = self.0.as_ref().filter(|shared| shared.main == thread::current().id()) else {
            return;
        };
        let mut state = shared.state();
        if !state.armed || !state.is_due(now(), shared.period) {
            return;
        }
        (shared.send)(&[NotifyState::Watchdog]);
        if let Some(status) = state.describe.as_ref().map(|describe| describe()) {
            state.say(status, shared);
        }
    }

    /// The piece does this from now on.
    pub fn status(&self, status: Status) {
        let Some(shared) = &self.0 else { return };
        let mut state = shared.state();
        state.describe = None;
        state.say(status, shared);
    }

    /// The status is what `describe` returns, now and at each message of progress.
    pub(super) fn status_of(&self, describe: impl Fn() -> Status + Send + 'static) {
        let Some(shared) = &self.0 else { return };
        let mut state = shared.state();
        state.say(describe(), shared);
        state.describe = Some(Box::new(describe));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Announced> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Announced {
    fn is_due(&mut self, now: Instant, period: Duration) -> bool {
        let due = self.next.is_none_or(|next| now >= next);
        if due {
            self.next = now.checked_add(period);
        }
        due
    }

    /// Sends a status that is not the last one's; on one line, as systemd reads it.
    fn say(&mut self, status: Status, shared: &Shared) {
        if self.said.as_ref() != Some(&status) {
            (shared.send)(&[NotifyState::Status(&status.to_string().replace(char::is_control, " "))]);
            if let Some(cabinet) = &shared.cabinet {
                // If it is gone, the life is interrupted.
                let _ = cabinet.tell(Message::Status(status.clone()));
            }
            self.said = Some(status);
        }
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Supervisor").field(&self.0.as_ref().map(|shared| shared.period)).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Of a piece that counts no lives.
    pub(crate) const ARMED: Status = Status::Armed { lives: None };

    /// A supervisor with a `watchdog`, and what it was told.
    pub(crate) fn listening(watchdog: Duration) -> (Supervisor, Arc<Mutex<Vec<String>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let supervisor = Supervisor::new(Some(watchdog), None, move |states| {
            let mut told = told.lock().expect("no test fails while it holds this");
            told.extend(states.iter().map(ToString::to_string));
        });
        (supervisor, heard)
    }

    /// What it was told since this was asked last.
    pub(crate) fn taken(told: &Mutex<Vec<String>>) -> Vec<String> {
        std::mem::take(&mut *told.lock().expect("no test fails while it holds this"))
    }

    #[test]
    fn progress_extends_the_start_until_the_piece_is_armed_and_feeds_the_watchdog_from_then_on() {
        let (supervisor, told) = listening(20 * SECOND);
        supervisor.alive();
        assert!(taken(&told).is_empty(), "a wait is no progress of the start");
        supervisor.loading();
        assert_eq!(taken(&told), ["EXTEND_TIMEOUT_USEC=600000000"]);
        supervisor.armed(ARMED);
        supervisor.armed(ARMED);
        supervisor.loading();
        assert_eq!(taken(&told), ["READY=1", "STATUS=armed"]);
        supervisor.alive_at(|| Instant::now() + SECOND);
        assert_eq!(taken(&told), ["WATCHDOG=1"]);
    }

    #[test]
    fn a_message_goes_out_once_a_second_however_many_tokens_there_are() {
        let (supervisor, told) = listening(20 * SECOND);
        supervisor.armed(ARMED);
        let start = Instant::now();
        // 10 s of 100 tokens a second.
        (0..1000).for_each(|token| supervisor.alive_at(|| start + token * SECOND / 100));
        assert_eq!(taken(&told).iter().filter(|told| *told == "WATCHDOG=1").count(), 10);
        let short = Supervisor::new(Some(2 * SECOND), None, |_| {});
        assert_eq!(short.period(), SECOND / 2, "a quarter of a short watchdog");
    }

    #[test]
    fn the_watchdog_is_not_fed_by_another_thread() {
        let (supervisor, told) = listening(20 * SECOND);
        supervisor.armed(ARMED);
        let helper = supervisor.clone();
        thread::spawn(move || helper.alive()).join().expect("it ends");
        assert_eq!(taken(&told), ["READY=1", "STATUS=armed"]);
    }

    #[test]
    fn a_status_is_sent_when_it_changes_and_is_one_line() {
        let (supervisor, told) = listening(20 * SECOND);
        supervisor.armed(ARMED);
        supervisor.status(Status::Resting);
        supervisor.status(Status::Resting);
        supervisor.status(Status::Ended("it broke;\nmend it".to_owned()));
        let told_so_far =
            ["READY=1", "STATUS=armed", "STATUS=rests after a life", "STATUS=it broke; mend it"];
        assert_eq!(taken(&told), told_so_far);
        let start = Instant::now();
        supervisor.status_of(|| Status::Closed);
        supervisor.alive_at(|| start);
        supervisor.alive_at(|| start + SECOND);
        assert_eq!(taken(&told), ["STATUS=is closed", "WATCHDOG=1", "WATCHDOG=1"]);
    }
}
