//! What the dice draws: a fault from outside for each life, and a moment for each
//! life that is killed or stopped.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::dice::Dice;
use crate::support::fake_printer::Behaviour;

/// A fault from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Nothing,
    Unplugged,
    SwitchedOff,
    SwitchedOnLate,
    XoffUnwired,
    XoffHeld,
    Pauses,
    Garbage,
    PaperRefilled,
    PaperEnds,
    PaperNearEnd,
    Hangs,
    StdoutClosed,
    StdoutFull,
    StdoutUnread,
    ClockJumps,
    StateFull,
    StateReadOnly,
    HistoryCut,
    Interrupted,
}

/// Of 100 lives so many have the fault, in an order that the dice draws. XOFF that
/// is held and a hung printer cost 10 s each. In words: what happens.
pub const BAG: [(Fault, usize, &str); 20] = [
    (Fault::Nothing, 33, "none"),
    (Fault::Unplugged, 8, "printer unplugged during the receipt"),
    (Fault::SwitchedOff, 4, "printer absent"),
    (Fault::SwitchedOnLate, 5, "printer switched on during the life"),
    (Fault::XoffUnwired, 3, "XOFF on a wire that leads nowhere"),
    (Fault::XoffHeld, 1, "XOFF, never XON"),
    (Fault::Pauses, 5, "XOFF and XON again and again"),
    (Fault::Garbage, 6, "garbage from the printer without end"),
    (Fault::PaperRefilled, 2, "paper ends, a new roll comes in time"),
    (Fault::PaperEnds, 1, "paper ends, no new roll"),
    (Fault::PaperNearEnd, 2, "paper nearly at its end"),
    (Fault::Hangs, 1, "printer hangs: takes nothing, says nothing"),
    (Fault::StdoutClosed, 4, "stdout closed by its reader"),
    (Fault::StdoutFull, 4, "stdout on a full disk"),
    (Fault::StdoutUnread, 2, "stdout that nobody reads"),
    (Fault::ClockJumps, 5, "clock jumps by days to years"),
    (Fault::StateFull, 4, "state folder full"),
    (Fault::StateReadOnly, 3, "state folder read-only"),
    (Fault::HistoryCut, 3, "last line of the history cut short before the start"),
    (Fault::Interrupted, 4, "SIGTERM"),
];

/// The lives of a bag.
const IN_BAG: u64 = 100;

impl Fault {
    /// Whether the printer's receipt has to be whole.
    pub fn leaves_the_paper_whole(self) -> bool {
        use Fault::*;
        !matches!(self, Unplugged | SwitchedOff | SwitchedOnLate | XoffHeld | PaperEnds | Hangs | Interrupted)
    }

    /// Whether the life's number and line may be missing.
    pub fn is_of_the_state(self) -> bool {
        matches!(self, Self::StateFull | Self::StateReadOnly)
    }
}

/// The life of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    pub fault: Fault,
    /// Where in the receipt, in thousandths of its length.
    pub place: usize,
    /// What else is random about the fault.
    pub odd: usize,
    /// Which of the texts.
    pub text: usize,
}

/// Draws life `number` of a seed.
pub fn draw(seed: u64, number: u64, texts: usize) -> Draw {
    let mut bag: Vec<Fault> = BAG.iter().flat_map(|&(fault, count, _)| vec![fault; count]).collect();
    assert_eq!(bag.len() as u64, IN_BAG);
    Dice::of(seed, 0, number / IN_BAG).shuffle(&mut bag);
    let mut dice = Dice::of(seed, 1, number);
    Draw {
        fault: bag[(number % IN_BAG) as usize],
        place: dice.within(0..700),
        odd: dice.within(0..1_000_000),
        text: dice.within(0..texts),
    }
}

impl Draw {
    /// The printer, whose receipt would have this many bytes; `None` if there is
    /// none.
    pub fn printer(&self, length: usize) -> Option<Behaviour> {
        let at = 1 + length * self.place / 1000;
        Some(match self.fault {
            Fault::SwitchedOff => return None,
            Fault::Unplugged => Behaviour::Unplugged { at },
            Fault::SwitchedOnLate => Behaviour::PoweredAt(at),
            Fault::XoffUnwired | Fault::XoffHeld => Behaviour::Xoff { at },
            Fault::Pauses => Behaviour::Pauses {
                every: 100 + self.odd % 400,
                pause: Duration::from_millis(1 + self.odd as u64 % 60),
            },
            Fault::Garbage => Behaviour::Babbles,
            Fault::PaperRefilled => Behaviour::OutOfPaper { from: at, questions: 2 + self.odd % 3 },
            Fault::PaperEnds => Behaviour::OutOfPaper { from: at, questions: usize::MAX },
            Fault::PaperNearEnd => Behaviour::NearEnd,
            Fault::Hangs => Behaviour::Hangs { at },
            _ => Behaviour::Silent,
        })
    }

    /// Whether the wire from the printer is connected.
    pub fn hears(&self) -> bool {
        use Fault::*;
        match self.fault {
            XoffHeld | Pauses | PaperRefilled | PaperEnds | PaperNearEnd => true,
            Garbage => self.odd.is_multiple_of(2),
            _ => false,
        }
    }
}

/// A moment in the life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Load,
    Prefill,
    Life,
    Paper,
    Death,
    StateWrite,
}

pub const STAGES: [(Stage, &str); 6] = [
    (Stage::Load, "while the program loads"),
    (Stage::Prefill, "during the prompt"),
    (Stage::Life, "during the life"),
    (Stage::Paper, "during the last two fifths of the receipt"),
    (Stage::Death, "after the first line of the death"),
    (Stage::StateWrite, "at a write to the state folder"),
];

/// A signal at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blow {
    pub signal: Signal,
    pub stage: Stage,
    /// How long after the beginning of the stage.
    pub after: Duration,
    /// In [`Stage::Life`] and [`Stage::Paper`], once so many bytes are printed; in
    /// [`Stage::StateWrite`] at which event.
    pub at: usize,
}

/// Draws the end of start `number`; `None` if it may live.
pub fn blow(seed: u64, signal: Signal, number: u64, length: usize) -> Option<Blow> {
    let mut dice = Dice::of(seed, 2 + signal as u64, number);
    if dice.within(0..5) == 0 {
        return None;
    }
    use Stage::*;
    // Writes are short and many things can be torn there.
    let stage = dice.one_of(&[Load, Prefill, Life, Paper, Death, StateWrite, StateWrite, StateWrite]);
    let (micros, at) = match stage {
        Load => (dice.within(0..60_000), 0),
        Prefill => (dice.within(0..20_000), 0),
        Life => (0, dice.within(1..length * 3 / 5)),
        Paper => (0, dice.within(length * 3 / 5..length + 1)),
        Death => (dice.within(0..3_000), 0),
        StateWrite => (dice.within(0..200), dice.within(1..5)),
    };
    Some(Blow { signal, stage, after: Duration::from_micros(micros as u64), at })
}

#[test]
fn the_same_seed_draws_the_same_faults_and_a_short_run_is_the_beginning_of_a_long_one() {
    let lives = |seed, count| (0..count).map(|number| draw(seed, number, 8)).collect::<Vec<_>>();
    assert_eq!(lives(7, 100), lives(7, 1000)[..100]);
    assert_ne!(lives(7, 100), lives(8, 100));
    let drawn = lives(7, 100);
    for (fault, count, _) in BAG {
        let is_it = |draw: &&Draw| draw.fault == fault;
        assert_eq!(drawn.iter().filter(is_it).count(), count, "each bag has {fault:?} so often");
    }
    let blows = |count| (0..count).map(|number| blow(7, Signal::SIGKILL, number, 2000)).collect::<Vec<_>>();
    assert_eq!(blows(50), blows(250)[..50]);
    let stages: Vec<_> = blows(100).into_iter().flatten().map(|blow| blow.stage).collect();
    assert!(STAGES.iter().all(|(stage, _)| stages.contains(stage)), "{stages:?}");
}
