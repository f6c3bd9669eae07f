//! How far the piece is ready: told on stderr and to whoever else listens, such as the
//! light.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::text::stderr;

/// Without a terminal, the time after which a load is told, and told again: a start
/// of ember says nothing, and one that takes a minute on the board five lines.
const SILENCE: Duration = Duration::from_secs(10);

/// The share of the way to armed that the model takes; the prompt takes the rest. On
/// the board the prompt is the longer part, at 10 to 18 tokens/s.
const MODEL_SHARE: f32 = 0.25;

/// A step of getting ready.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LoadStep {
    /// The model is loaded, of which this share is there, 0 to 1.
    Model(f32),
    /// So many tokens of the prompt are computed, of so many.
    Prompt {
        /// Tokens that are computed.
        done: u32,
        /// Tokens of the prompt.
        of: u32,
    },
}

impl LoadStep {
    /// How far the piece is ready with this step, 0 to 1.
    pub fn share(self) -> f32 {
        match self {
            Self::Model(share) => MODEL_SHARE * share.clamp(0.0, 1.0),
            Self::Prompt { done, of } => {
                MODEL_SHARE + (1.0 - MODEL_SHARE) * (done as f32 / of.max(1) as f32).min(1.0)
            }
        }
    }
}

/// What a load reports its steps to; by default to nobody. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Fn(LoadStep) + Send + Sync>>);

impl Progress {
    /// Reports each step to `told`, which may be called on any thread.
    pub fn new(told: impl Fn(LoadStep) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    /// Reports a step.
    pub fn at(&self, step: LoadStep) {
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

/// Tells on stderr how far a model is loaded: on a terminal at each step, elsewhere
/// after [`SILENCE`] and every [`SILENCE`] again.
#[derive(Debug)]
pub struct Load {
    model: String,
    begun: Instant,
    /// Seconds from then to when it was told last.
    told: AtomicU64,
}

impl Load {
    /// The load of `model`, which begins now.
    pub fn of(model: String) -> Self {
        Self { model, begun: Instant::now(), told: AtomicU64::new(0) }
    }

    /// Tells how far it is.
    pub fn at(&self, step: LoadStep) {
        if !(stderr::passes() || self.is_due(self.begun.elapsed())) {
            return;
        }
        let model = &self.model;
        stderr::show(&match step {
            LoadStep::Model(share) => format!("loading {model}: {:.0} %", share * 100.0),
            LoadStep::Prompt { done, of } => format!("loading {model}: {done} of {of} tokens of the prompt"),
        });
    }

    /// Whether a line that stays is due, so long after its beginning.
    fn is_due(&self, now: Duration) -> bool {
        let due = now >= Duration::from_secs(self.told.load(Ordering::Relaxed)) + SILENCE;
        if due {
            self.told.store(now.as_secs(), Ordering::Relaxed);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_load_is_silent_and_a_slow_one_has_a_line_every_ten_seconds() {
        let lines = |seconds: u64| {
            let load = Load::of("ember".to_owned());
            (0..seconds * 20).filter(|&tick| load.is_due(Duration::from_millis(tick * 50))).count()
        };
        assert_eq!(lines(9), 0);
        assert_eq!(lines(61), 6);
    }

    #[test]
    fn the_way_to_armed_only_goes_forward() {
        let model = (0..=10).map(|tenth| LoadStep::Model(tenth as f32 / 10.0));
        let prompt = (0..=4).map(|done| LoadStep::Prompt { done, of: 4 });
        let shares: Vec<_> = model.chain(prompt).map(LoadStep::share).collect();
        assert!(shares.is_sorted(), "{shares:?}");
        assert_eq!((shares[0], shares.last()), (0.0, Some(&1.0)));
    }
}
