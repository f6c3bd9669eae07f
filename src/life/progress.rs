//! How far the piece is ready, and what it waits for: told as a line on stderr and
//! to whoever else listens, such as the light.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::text::{stderr, terminal};

/// Without a terminal, the time after which a load is told, and told again: a start
/// of ember says nothing, and one that takes a minute on the board five lines.
const SILENCE: Duration = Duration::from_secs(10);

/// The share of the way to armed that the model takes; the prompt takes the rest. On
/// the board the prompt is the longer part, at 10 to 18 tokens/s.
const MODEL_SHARE: f32 = 0.25;

/// A step of getting ready.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    /// The model is loaded, of which this share is there, 0 to 1.
    Model(f32),
    /// So many tokens of the prompt are computed, of so many.
    Prompt { done: u32, of: u32 },
}

impl Step {
    /// How far the piece is ready with this step, 0 to 1.
    #[must_use]
    pub(crate) fn share(self) -> f32 {
        match self {
            Self::Model(share) => MODEL_SHARE * share.clamp(0.0, 1.0),
            Self::Prompt { done, of } => {
                MODEL_SHARE + (1.0 - MODEL_SHARE) * (done as f32 / of.max(1) as f32).min(1.0)
            }
        }
    }
}

/// Whom long work tells how far it is; nobody by default. Cloning is cheap.
#[derive(Clone, Default)]
pub(crate) struct Progress(Option<Arc<dyn Fn(Step) + Send + Sync>>);

impl Progress {
    /// Tells each step to `told`.
    pub(crate) fn new(told: impl Fn(Step) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    /// Tells this step.
    pub(crate) fn at(&self, step: Step) {
        if let Some(told) = &self.0 {
            told(step);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.0.is_some()).finish()
    }
}

/// How stderr is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// In one line that passes, on a terminal.
    Passing,
    /// In lines that stay, and few of them.
    Lines,
}

/// The line on stderr until a life begins. Dropping it erases the line, if it passes.
#[derive(Debug)]
pub(crate) struct Notice {
    model: String,
    /// The pin of the button, if there is one.
    button: Option<u8>,
    manner: Manner,
    begun: Instant,
    told: Mutex<Told>,
}

impl Notice {
    /// The notice of a piece that loads `model` and waits for the `button` on this
    /// pin, if it has one. Where llama.cpp `logs` to stderr too,
    /// no line passes.
    #[must_use]
    pub(crate) fn new(model: &str, button: Option<u8>, logs: bool) -> Self {
        let manner = match terminal::stderr_has_escapes() && !logs {
            true => Manner::Passing,
            false => Manner::Lines,
        };
        Self { model: model.to_owned(), button, manner, begun: Instant::now(), told: Mutex::default() }
    }

    /// Tells how far the piece is ready.
    pub(crate) fn at(&self, step: Step) {
        let line = match step {
            Step::Model(share) => format!("loading {}: {:.0} %", self.model, share * 100.0),
            Step::Prompt { done, of } => {
                format!("loading {}: {done} of {of} tokens of the prompt", self.model)
            }
        };
        match self.manner {
            Manner::Passing => stderr::show(&line),
            Manner::Lines if self.told().is_due(self.begun.elapsed()) => stderr::say(line + "\n"),
            Manner::Lines => {}
        }
    }

    /// Tells that a press is waited for, where there is a button.
    pub(crate) fn armed(&self) {
        match self.button {
            Some(pin) => self.waits(&format!("waiting for a press of the button on GPIO {pin}")),
            None => self.clear(),
        }
    }

    /// Tells what is waited for: in lines that stay, only when that changes.
    pub(crate) fn waits(&self, what: &str) {
        match self.manner {
            Manner::Passing => stderr::show(what),
            Manner::Lines if self.told().is_new(what) => stderr::say(format_args!("{what}\n")),
            Manner::Lines => {}
        }
    }

    /// Erases the line that passes.
    pub(crate) fn clear(&self) {
        stderr::clear();
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What was told in lines that stay.
#[derive(Debug, Default)]
struct Told {
    /// When a load was told last.
    load: Duration,
    /// What was waited for last.
    wait: String,
}

impl Told {
    /// Whether a line about a load is due, so long after its beginning.
    fn is_due(&mut self, now: Duration) -> bool {
        let due = now >= self.load + SILENCE;
        if due {
            self.load = now;
        }
        due
    }

    /// Whether something else was waited for before.
    fn is_new(&mut self, what: &str) -> bool {
        let new = self.wait != what;
        if new {
            what.clone_into(&mut self.wait);
        }
        new
    }
}

/// Whether a person sees stdout as it comes.
#[must_use]
pub(crate) fn stdout_is_a_terminal() -> bool {
    io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_load_is_silent_and_a_slow_one_has_a_line_every_ten_seconds() {
        let lines = |seconds: u64| {
            let mut told = Told::default();
            (0..seconds * 20).filter(|&tick| told.is_due(Duration::from_millis(tick * 50))).count()
        };
        assert_eq!(lines(9), 0);
        assert_eq!(lines(61), 6);
    }

    #[test]
    fn a_wait_is_told_once_until_another_takes_its_place() {
        let mut told = Told::default();
        let waits = ["press", "press", "closed", "closed", "press"];
        let new: Vec<_> = waits.into_iter().filter(|what| told.is_new(what)).collect();
        assert_eq!(new, ["press", "closed", "press"]);
    }

    #[test]
    fn the_way_to_armed_only_goes_forward() {
        let model = (0..=10).map(|tenth| Step::Model(tenth as f32 / 10.0));
        let prompt = (0..=4).map(|done| Step::Prompt { done, of: 4 });
        let shares: Vec<_> = model.chain(prompt).map(Step::share).collect();
        assert!(shares.is_sorted(), "{shares:?}");
        assert_eq!((shares[0], shares.last()), (0.0, Some(&1.0)));
    }
}
