//! The wait for a press, within the hours and the rest of a show.

use std::time::{Duration, Instant};

use crate::stick::{Offer, Stick};
use installation::board::clock;
use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;
use installation::life::schedule::{self, Availability, Moment, Schedule};
use installation::life::status::Status;
use installation::life::supervisor::Supervisor;
use installation::panel::{Gesture, Panel, Pin};
use installation::paper::printing::Paper;
use installation::text::stderr::{show, warn};

/// The status of a piece that waits for a press.
pub(crate) fn armed(paper: &Paper) -> Status {
    let record = paper.lives().and_then(|lives| lives.read().ok());
    Status::Armed { lives: record.map(|record| record.lives) }
}

/// Whether this is the first start since the system's, as the record has it: without one
/// each start counts as one after a life.
pub(crate) fn is_first(paper: &Paper) -> bool {
    paper.lives().is_some_and(|lives| lives.read().is_ok_and(|record| record.starts == 0))
}

/// What the wait ends with.
pub(crate) enum Asked {
    /// The button asks.
    Gesture(Gesture),
    /// A stick is there.
    Offer(Offer),
}

/// How often it is looked whether there is a stick.
const LOOK: Duration = Duration::from_secs(2);

/// The armed piece.
pub(crate) struct Waiting<'a> {
    pub(crate) schedule: Schedule,
    pub(crate) button: Option<Pin>,
    /// When the program started, which is when the life before it ended; `None` where no
    /// life has ended since the system started.
    pub(crate) life_before: Option<Instant>,
    pub(crate) panel: &'a Panel,
    pub(crate) paper: &'a Paper,
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) interrupt: &'a Interrupt,
    /// Where sticks are shown, if any are looked at.
    pub(crate) stick: Option<&'a Stick>,
}

impl Waiting<'_> {
    /// Waits for a press while the schedule lets the piece live; while it does not,
    /// the light shows that and no press is answered. A stick may come first.
    pub(crate) fn for_a_press(&self) -> Result<Asked, Ending> {
        let Self { schedule, button, life_before, panel, paper, supervisor, interrupt, stick } = *self;
        let arm = || {
            supervisor.status(armed(paper));
            if let Some(pin) = button {
                show(&format!("waiting for a press of the button on GPIO {}", pin.number()));
            }
        };
        let glance = stick.map_or(schedule::GLANCE, |_| LOOK);
        let asked = || match stick.and_then(Stick::offer) {
            Some(offer) => Ok(Some(Asked::Offer(offer))),
            None => panel.wait_for_press_within(glance).map(|gesture| gesture.map(Asked::Gesture)),
        };
        if schedule == Schedule::default() {
            arm();
            loop {
                if let Some(asked) = asked()? {
                    return Ok(asked);
                }
            }
        }
        let today = || {
            schedule.lives_per_day?;
            paper.lives()?.on(&clock::now("%Y-%m-%d")?).ok()
        };
        if schedule.lives_per_day.is_some() && paper.lives().is_none() {
            warn(
                "--lives-per-day is ignored: lives are counted only with a button or a printer, and \
                 where the state directory can be written",
            );
        }
        let mut told = false;
        loop {
            let minute = clock::minute_of_day();
            if minute.is_none() && schedule.needs_a_clock() && !told {
                warn("the clock is not set: --open and --lives-per-day are ignored until it is");
                told = true;
            }
            let since_life = life_before.map(|ended| ended.elapsed());
            let wait = match schedule.at(Moment { since_life, minute, today: today() }) {
                Availability::Open => {
                    arm();
                    match asked()? {
                        Some(asked) => return Ok(asked),
                        None => continue,
                    }
                }
                Availability::Rests(left) => {
                    panel.rest();
                    supervisor.status(Status::Resting);
                    show("resting after a life");
                    left.min(schedule::GLANCE)
                }
                Availability::Closed => {
                    panel.close();
                    supervisor.status(Status::Closed);
                    show("closed: no press is answered now");
                    schedule::GLANCE
                }
            };
            if interrupt.is_raised_within(wait) {
                return Err(Ending::Interrupted("while the piece rests".to_owned()));
            }
        }
    }
}
