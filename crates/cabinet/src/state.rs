//! What is known of the installation that is drawn, and what each event means for it.
//! Pure: events and the time in, actions out.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::machine::Out;
use super::roll::Roll;
use installation::life::status::{Printing, Status};
use installation::panel::HELD;

/// How long a press of a key holds the button down: terminals do not tell when a key is
/// let go. The program needs 80 ms.
const PRESS: Duration = Duration::from_millis(150);

/// How long after arming, and after the button was let go, a press begins at the earliest:
/// the program has to see the button up before it sees it go down, and a key can be faster.
const SETTLED: Duration = Duration::from_millis(200);

/// How long a held button stays down once the piece is armed: a moment more than it has to.
const HOLD: Duration = HELD.saturating_add(Duration::from_secs(1));

/// The paces of the printer, see [`Action::Pace`]; past the last one there is none.
const PACES: [u32; 6] = [1, 2, 4, 8, 16, 32];

/// The time over which the tokens a second are counted: the model speaks while the printer
/// prints a few lines, and then waits.
const WINDOW: Duration = Duration::from_secs(6);

/// The exit status of a life that came to its death.
const DEATH: i32 = 101;

/// Lines of stderr that are kept.
const WORDS: usize = 12;

/// What the life in the child process does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// It loads the model and the prompt.
    #[default]
    Loads,
    /// It waits for a press.
    Armed,
    /// What it says of itself: it lives, dies, rests, is closed.
    Says,
    /// It has ended, and the next one waits for a press.
    Over,
}

/// A key, or what stands for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyPress {
    Press,
    /// Holds the button, or lets it go.
    Hold,
    Faster,
    Slower,
    /// Unplugs the printer, or plugs it in.
    Plug,
    /// Ends the paper, or puts a new roll in.
    Paper,
    /// Saves the last receipt.
    Save,
    /// Scrolls by so many rows, back if positive.
    Rows(isize),
    Pages(isize),
    Leave,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    KeyPress(KeyPress),
    /// The mouse was clicked there.
    Click(u16, u16),
    Printed(Vec<Out>),
    /// The light has this luminance.
    Light(f32),
    /// So many tokens of so many are used.
    Fill(u32, u32),
    /// How the printer has to print: characters in a line, bits a second, and milliseconds
    /// that the paper needs for a line.
    Printer {
        columns: u32,
        baud: u32,
        line: u32,
    },
    /// What the life does.
    Status(Status),
    /// A line on stderr.
    Words(String),
    Ended(ExitStatus),
}

/// How a life's process ended, and what that means.
pub(super) fn words_of(exit: ExitStatus) -> String {
    let Some(code) = exit.code() else {
        return format!("ended by signal {}", exit.signal().unwrap_or_default());
    };
    let meaning = match code {
        DEATH => "the death",
        70 => "a bug",
        130 => "interrupted",
        0 => "nobody listened",
        _ => "a fault",
    };
    format!("exit {code}: {meaning}")
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Action {
    /// The button goes down or up.
    Button(bool),
    /// The printer's pace, in multiples of the real one; without one it prints as fast as
    /// the model speaks.
    Pace(Option<u32>),
    /// Whether there is paper.
    Paper(bool),
    /// Bits a second of the printer, and the time that its paper needs for a line.
    Speed(u32, Duration),
    /// Whether the printer is plugged in.
    Plug(bool),
    /// The next life's process is to be started.
    Start,
    /// The present one is to be ended.
    End,
    /// The last receipt is to be saved.
    Save,
    Leave,
}

/// The installation; at first as it is when it is switched on.
#[derive(Debug, Default)]
pub(super) struct Cabinet {
    pub(super) phase: Phase,
    /// What the life says of itself, but for its fill.
    pub(super) says: String,
    /// The number of the life, once it is known.
    pub(super) life: Option<u64>,
    /// The number of the last life that began: that of its receipt.
    pub(super) begun: Option<u64>,
    pub(super) used: u32,
    pub(super) size: u32,
    pub(super) light: f32,
    pub(super) roll: Roll,
    /// Characters in a line of paper; 0 before the first life has said it.
    pub(super) columns: u16,
    pub(super) is_out_of_paper: bool,
    pub(super) is_unplugged: bool,
    /// How the last life ended.
    pub(super) ended: Option<ExitStatus>,
    /// The last lines of stderr.
    pub(super) words: VecDeque<String>,
    /// What was saved last.
    pub(super) saved: Option<String>,
    pace: usize,
    /// From when to when a press holds the button.
    pressed: Option<(Duration, Duration)>,
    is_held: bool,
    /// When the piece was armed.
    armed: Option<Duration>,
    /// When the button went up last.
    let_go: Option<Duration>,
    /// When it was started.
    started: Duration,
    is_down: bool,
    /// The piece is switched off, and goes on at once.
    is_restarted: bool,
    /// The fill at some times of the last [`WINDOW`].
    heard: VecDeque<(Duration, u32)>,
    /// Where the button is, and the rows of paper that are shown: of the last frame.
    pub(super) button: (u16, u16, u16, u16),
    pub(super) height: usize,
}

impl Cabinet {
    /// Takes what happened at the time `now`.
    pub(super) fn take(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match event {
            Event::KeyPress(key) => return self.key(key, now),
            Event::Click(x, y) => {
                let (left, top, width, height) = self.button;
                if (left..left + width).contains(&x) && (top..top + height).contains(&y) {
                    return self.key(KeyPress::Press, now);
                }
            }
            Event::Printed(printed) => printed.into_iter().for_each(|out| self.roll.take(out)),
            Event::Light(luminance) => self.light = luminance,
            Event::Fill(used, size) => {
                (self.used, self.size) = (used, size);
                self.heard.push_back((now, used));
                self.forget(now);
            }
            Event::Printer { columns, baud, line } => {
                self.columns = columns as u16;
                return vec![Action::Speed(baud, Duration::from_millis(line.into()))];
            }
            Event::Status(status) => self.status(status, now),
            Event::Words(words) => {
                self.words.push_back(words);
                if self.words.len() > WORDS {
                    self.words.pop_front();
                }
            }
            Event::Ended(exit) => return self.end(exit, now),
        }
        Vec::new()
    }

    /// What is due at the time `now`.
    pub(super) fn tick(&mut self, now: Duration) -> Vec<Action> {
        self.forget(now);
        if self.pressed.is_some_and(|(_, until)| now >= until) {
            self.pressed = None;
        }
        if self.is_held && self.armed.is_some_and(|armed| now.saturating_sub(armed) >= HOLD) {
            self.is_held = false;
        }
        self.button(now)
    }

    fn key(&mut self, key: KeyPress, now: Duration) -> Vec<Action> {
        match key {
            KeyPress::Press if self.phase == Phase::Over => return self.start(now),
            KeyPress::Press => {
                // A button that is held cannot be pressed: it is let go.
                let since = self.armed.max(self.let_go);
                let settled = since.map_or(now, |since| now.max(since + SETTLED));
                self.pressed = (!self.is_held).then_some((settled, settled + PRESS));
                self.is_held = false;
                self.saved = None;
                return self.button(now);
            }
            KeyPress::Hold => return self.hold(now),
            KeyPress::Faster => self.pace = (self.pace + 1).min(PACES.len()),
            KeyPress::Slower => self.pace = self.pace.saturating_sub(1),
            KeyPress::Plug => {
                self.is_unplugged = !self.is_unplugged;
                return vec![Action::Plug(!self.is_unplugged)];
            }
            KeyPress::Paper => {
                self.is_out_of_paper = !self.is_out_of_paper;
                return vec![Action::Paper(!self.is_out_of_paper)];
            }
            KeyPress::Save => return vec![Action::Save],
            KeyPress::Rows(rows) => self.roll.scroll(rows, self.height),
            KeyPress::Pages(pages) => {
                let rows = pages * self.height.saturating_sub(1).max(1) as isize;
                self.roll.scroll(rows, self.height);
            }
            KeyPress::Leave => return vec![Action::Leave],
        }
        if matches!(key, KeyPress::Faster | KeyPress::Slower) {
            vec![Action::Pace(self.pace())]
        } else {
            Vec::new()
        }
    }

    /// The slip is printed if the button is down when the piece is armed: a piece that is
    /// armed already is switched off and on.
    fn hold(&mut self, now: Duration) -> Vec<Action> {
        self.pressed = None;
        self.is_held = !self.is_held;
        if self.is_held && self.phase == Phase::Armed {
            self.is_restarted = true;
            return vec![Action::End];
        }
        if self.is_held && self.phase == Phase::Over {
            return self.start(now);
        }
        self.button(now)
    }

    /// The button's level, if it has changed.
    fn button(&mut self, now: Duration) -> Vec<Action> {
        let is_down = self.is_held || self.pressed.is_some_and(|(from, _)| now >= from);
        if std::mem::replace(&mut self.is_down, is_down) == is_down {
            return Vec::new();
        }
        if !is_down {
            self.let_go = Some(now);
        }
        vec![Action::Button(is_down)]
    }

    fn start(&mut self, now: Duration) -> Vec<Action> {
        (self.phase, self.started) = (Phase::Loads, now);
        self.pressed = None;
        self.is_down = self.is_held;
        self.armed = None;
        self.heard.clear();
        (self.used, self.light) = (0, 0.0);
        // The new process finds the button as it is now.
        vec![Action::Start, Action::Button(self.is_held)]
    }

    fn end(&mut self, exit: ExitStatus, now: Duration) -> Vec<Action> {
        self.light = 0.0;
        if std::mem::take(&mut self.is_restarted) {
            self.words.clear();
            return self.start(now);
        }
        self.ended = Some(exit);
        if exit.code() == Some(DEATH) {
            return self.start(now);
        }
        self.phase = Phase::Over;
        Vec::new()
    }

    fn status(&mut self, status: Status, now: Duration) {
        if self.phase == Phase::Over {
            return;
        }
        self.phase = match &status {
            Status::Loading => Phase::Loads,
            Status::Armed { lives } => {
                self.life = lives.map(|lives| lives + 1);
                self.armed.get_or_insert(now);
                Phase::Armed
            }
            Status::Living { number, .. } => {
                self.life = number.or(self.life);
                self.begun = self.life;
                if matches!(self.phase, Phase::Armed | Phase::Loads) {
                    self.ended = None;
                    self.words.clear();
                    self.roll.forward();
                }
                Phase::Says
            }
            // Its exit status says how.
            Status::Ended(_) => return,
            Status::Dying { .. } | Status::Resting | Status::Closed => Phase::Says,
        };
        self.says = match status {
            // The gauge has the fill, and paper is seen to be printed.
            Status::Living { number, printer, .. } => {
                let number = number.map(|number| format!(" {number}")).unwrap_or_default();
                let printer = if printer == Printing::Prints { Printing::None } else { printer };
                format!("life{number}{printer}")
            }
            other => other.to_string(),
        };
    }

    /// The printer's pace, as in [`Action::Pace`].
    pub(super) fn pace(&self) -> Option<u32> {
        PACES.get(self.pace).copied()
    }

    pub(super) fn is_down(&self) -> bool {
        self.is_down
    }

    /// For how long the button is held from the moment of arming, of how long.
    pub(super) fn held(&self, now: Duration) -> Option<(Duration, Duration)> {
        let armed = self.armed.filter(|_| self.is_held && self.phase == Phase::Armed)?;
        Some((now.saturating_sub(armed).min(HELD), HELD))
    }

    /// For how long it has run.
    pub(super) fn time(&self, now: Duration) -> Duration {
        now.saturating_sub(self.started)
    }

    /// The share of the context that is used, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        f64::from(self.used) / f64::from(self.size.max(1))
    }

    /// Tokens a second, if there are any.
    pub(super) fn rate(&self) -> Option<f64> {
        let ((first, from), (last, to)) = (self.heard.front()?, self.heard.back()?);
        let time = last.saturating_sub(*first).as_secs_f64();
        (time > 0.0).then(|| f64::from(to.saturating_sub(*from)) / time)
    }

    fn forget(&mut self, now: Duration) {
        while self.heard.front().is_some_and(|(at, _)| now.saturating_sub(*at) > WINDOW) {
            self.heard.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A process that has ended with this exit status.
    fn ended(code: i32) -> Event {
        Event::Ended(ExitStatus::from_raw(code << 8))
    }

    const ARMED: Status = Status::Armed { lives: None };

    /// Life 7, so full.
    fn life(percent: u32) -> Status {
        Status::Living { number: Some(7), percent, printer: Printing::Prints }
    }

    fn told(status: Status) -> Cabinet {
        let mut cabinet = Cabinet::default();
        cabinet.take(Event::Status(status), Duration::ZERO);
        cabinet
    }

    /// Presses a key after a second.
    fn press(cabinet: &mut Cabinet, key: KeyPress) -> Vec<Action> {
        cabinet.take(Event::KeyPress(key), SECOND)
    }

    #[test]
    fn what_the_life_does_is_what_is_shown() {
        let living = |number, printer| Status::Living { number, percent: 10, printer };
        for (status, phase, says, life) in [
            (Status::Loading, Phase::Loads, "loads the model", None),
            (ARMED, Phase::Armed, "armed", None),
            (Status::Armed { lives: Some(6) }, Phase::Armed, "armed, 6 lives so far", Some(7)),
            (living(Some(7), Printing::Prints), Phase::Says, "life 7", Some(7)),
            (living(None, Printing::None), Phase::Says, "life", None),
            (living(Some(7), Printing::WaitsForPaper), Phase::Says, "life 7, waits for paper", Some(7)),
            (Status::Dying { out_of_paper: true }, Phase::Says, "dies, waits for paper", None),
            (Status::Resting, Phase::Says, "rests after a life", None),
            (Status::Closed, Phase::Says, "is closed", None),
            (Status::Ended("error".to_owned()), Phase::Loads, "", None),
        ] {
            let cabinet = told(status.clone());
            let seen = (cabinet.phase, cabinet.says.as_str(), cabinet.life);
            assert_eq!(seen, (phase, says, life), "{status:?}");
        }
    }

    #[test]
    fn the_printer_is_the_one_that_the_life_prints_on() {
        let mut cabinet = Cabinet::default();
        let printer = Event::Printer { columns: 42, baud: 19_200, line: 350 };
        let speed = Action::Speed(19_200, Duration::from_millis(350));
        assert_eq!((cabinet.take(printer, SECOND), cabinet.columns), (vec![speed], 42));
    }

    #[test]
    fn a_key_presses_the_button_and_time_lets_it_go() {
        let mut cabinet = told(ARMED);
        assert_eq!(press(&mut cabinet, KeyPress::Press), [Action::Button(true)]);
        assert_eq!(cabinet.tick(SECOND + PRESS / 2), []);
        assert_eq!(cabinet.tick(SECOND + PRESS), [Action::Button(false)]);
        let mut cabinet = told(ARMED);
        assert_eq!(cabinet.take(Event::KeyPress(KeyPress::Press), SETTLED / 2), [], "as fast as no hand is");
        assert_eq!(cabinet.tick(SETTLED), [Action::Button(true)]);
        assert_eq!(cabinet.tick(SETTLED + PRESS), [Action::Button(false)]);
        cabinet.button = (10, 5, 4, 2);
        assert_eq!(cabinet.take(Event::Click(14, 5), SECOND), [], "beside it");
        assert_eq!(cabinet.take(Event::Click(13, 6), SECOND), [Action::Button(true)]);
    }

    #[test]
    fn a_death_is_followed_by_the_next_life_and_any_other_end_by_a_press() {
        let mut cabinet = told(life(90));
        let next = [Action::Start, Action::Button(false)];
        assert_eq!(cabinet.take(ended(101), SECOND), next);
        assert_eq!(cabinet.ended.map(words_of).as_deref(), Some("exit 101: the death"));
        let killed = Event::Ended(ExitStatus::from_raw(9));
        for exit in [ended(1), ended(70), ended(130), ended(0), killed] {
            let how = format!("{exit:?}");
            assert_eq!(cabinet.take(exit, SECOND), []);
            assert_eq!(cabinet.phase, Phase::Over);
            // A message of the one that has ended may come late.
            cabinet.take(Event::Status(Status::Dying { out_of_paper: false }), SECOND);
            assert_eq!(press(&mut cabinet, KeyPress::Press), next, "{how}");
        }
    }

    #[test]
    fn a_button_is_held_from_the_moment_of_arming_until_the_slip_is_asked_for() {
        let mut cabinet = told(ARMED);
        assert_eq!(press(&mut cabinet, KeyPress::Hold), [Action::End], "it is switched off and on");
        let held = [Action::Start, Action::Button(true)];
        assert_eq!(cabinet.take(ended(130), SECOND), held);
        assert_eq!(cabinet.ended, None, "nothing that has to be told");
        assert_eq!(cabinet.tick(60 * SECOND), [], "however long it loads");
        cabinet.take(Event::Status(ARMED), 60 * SECOND);
        assert_eq!(cabinet.held(63 * SECOND), Some((3 * SECOND, HELD)));
        assert_eq!(cabinet.tick(60 * SECOND + HELD), []);
        assert_eq!(cabinet.tick(60 * SECOND + HOLD), [Action::Button(false)]);
        // And by hand.
        let mut cabinet = told(life(10));
        assert_eq!(press(&mut cabinet, KeyPress::Hold), [Action::Button(true)]);
        assert_eq!(press(&mut cabinet, KeyPress::Press), [Action::Button(false)]);
    }

    #[test]
    fn the_pace_ends_at_the_real_printers_and_at_the_models() {
        let mut cabinet = Cabinet::default();
        assert_eq!(press(&mut cabinet, KeyPress::Slower), [Action::Pace(Some(1))]);
        let faster = [2, 4, 8, 16, 32].map(Some).into_iter().chain([None, None]);
        for pace in faster {
            assert_eq!(press(&mut cabinet, KeyPress::Faster), [Action::Pace(pace)]);
        }
        assert_eq!(press(&mut cabinet, KeyPress::Slower), [Action::Pace(Some(32))]);
    }

    #[test]
    fn printer_and_paper_are_broken_and_mended_by_the_same_key() {
        let mut cabinet = Cabinet::default();
        for on in [false, true] {
            assert_eq!(press(&mut cabinet, KeyPress::Plug), [Action::Plug(on)]);
            assert_eq!(press(&mut cabinet, KeyPress::Paper), [Action::Paper(on)]);
        }
    }

    #[test]
    fn tokens_a_second_are_those_of_the_last_seconds() {
        let mut cabinet = told(life(10));
        assert_eq!(cabinet.rate(), None);
        for step in 0..100_u32 {
            cabinet.take(Event::Fill(100 + step, 1000), SECOND * step / 10);
        }
        assert_eq!(cabinet.rate().map(f64::round), Some(10.0));
        assert_eq!(cabinet.share(), 0.199);
        cabinet.tick(60 * SECOND);
        assert_eq!(cabinet.rate(), None);
    }
}
