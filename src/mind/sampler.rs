//! How the next token is chosen: greedily, by the arg-max of the logits, or by
//! random sampling (the *dice*), with or without penalties.
//!
//! The greatest logits are found here, directly in what the model computed:
//! neither the arg-max nor sampling among the best few fills an array of 49,152
//! candidates. Penalties and random sampling are llama.cpp's own samplers in
//! the order of its own tools, which [`super::choice`] builds from a
//! [`Sampling`]. The penalties are given only the tokens that have occurred,
//! and the samplers only the best few.

use anyhow::{Result, anyhow};

/// What the sampling options ask for. Names and meanings are llama.cpp's. The default
/// is the arg-max of the model's own logits, without penalties.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// Temperature; 0 takes the most probable token.
    pub temp: f32,
    /// Number of most probable tokens kept; 0 keeps all.
    pub top_k: i32,
    /// Probability mass kept, 0 to 1.
    pub top_p: f32,
    /// Least probability kept, relative to the best token's, 0 to 1.
    pub min_p: f32,
    /// Divisor for the logits of tokens seen lately; 1 is off, as without a value.
    pub repeat_penalty: Option<f32>,
    /// Window of the repeat penalty in tokens; 0 is off, -1 the context.
    pub repeat_last_n: i32,
    /// Strength of DRY; 0 is off.
    pub dry_multiplier: f32,
    /// Base of DRY's exponential growth with the repetition's length.
    pub dry_base: f32,
    /// Longest repetition that DRY lets pass, in tokens.
    pub dry_allowed_length: i32,
    /// Window of DRY in tokens; 0 is off, -1 the context.
    pub dry_penalty_last_n: i32,
    /// Seed of the random sampling; see [`Sampling::with_seed`].
    pub seed: Option<u32>,
}

impl Sampling {
    /// Whether tokens are sampled at random: the temperature is above 0.
    pub(super) fn has_dice(&self) -> bool {
        self.temp > 0.0
    }

    /// These settings with a repeat penalty, if none was given: a voice holds the model
    /// near its subject, which a stronger penalty drives it away from; without one the
    /// weaker loops. `models/README.md` has the lives that both were chosen by.
    #[must_use]
    pub fn speaking(&self, with_voice: bool) -> Self {
        let penalty = if with_voice { 1.06 } else { 1.1 };
        Self { repeat_penalty: self.repeat_penalty.or(Some(penalty)), ..self.clone() }
    }

    /// These settings with a seed, drawn at random unless one was given; without
    /// random sampling they have none.
    ///
    /// # Errors
    ///
    /// When the system returns no random numbers for the seed.
    pub fn with_seed(&self) -> Result<Self> {
        let seed = match self.seed {
            _ if !self.has_dice() => None,
            Some(seed) => Some(seed),
            None => Some(random_seed()?),
        };
        Ok(Self { seed, ..self.clone() })
    }
}

fn random_seed() -> Result<u32> {
    let seed = getrandom::u32()
        .map_err(|error| anyhow!("no random seed to be had ({error}); give one with --seed"))?;
    // llama.cpp reads the greatest as "random".
    Ok(seed % u32::MAX)
}

/// The logits to choose from: the model's, without the banned tokens and with
/// the changes that the penalties made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Logits<'a> {
    /// The model's logits: one for each token of the vocabulary.
    pub(super) computed: &'a [f32],
    /// Tokens that the scan of `computed` skips: the banned ones and those of
    /// `changed`. Ascending, without repetitions.
    pub(super) apart: &'a [usize],
    /// Tokens whose logit a penalty has changed, with the changed logit.
    pub(super) changed: &'a [(usize, f32)],
}

/// Logits compared in one step: a few vector registers.
const LANES: usize = 16;

/// Whether a token can be sampled from these logits: no NaN and no +∞.
pub(super) fn are_sound(logits: &[f32]) -> bool {
    // Without an early return, so that the compiler vectorises the loop.
    let unsound = |unsound, &logit: &f32| unsound | logit.is_nan() | (logit == f32::INFINITY);
    !logits.iter().fold(false, unsound)
}

/// Whether any two logits differ. They do not where all weights are zero, as on a
/// card that lost its data.
pub(super) fn prefer_any(logits: &[f32]) -> bool {
    logits.iter().any(|&logit| logit != logits[0])
}

impl<'a> Logits<'a> {
    /// The ranges of `computed` between the tokens of `apart`, with the token
    /// each begins at.
    fn stretches(&self) -> impl Iterator<Item = (usize, &'a [f32])> {
        let computed = self.computed;
        let ends = self.apart.iter().copied().filter(move |&token| token < computed.len());
        let mut start = 0;
        ends.chain([computed.len()]).map(move |end| {
            let first = start;
            start = end + 1;
            (first, &computed[first..end])
        })
    }

    /// Calls `found` with each token whose logit is above `bar`, in the order
    /// of the vocabulary; what `found` returns is the next `bar`. Then calls it
    /// with every token of `changed`.
    fn above(&self, mut bar: f32, mut found: impl FnMut(usize, f32) -> f32) {
        for (first, stretch) in self.stretches() {
            for (index, logits) in stretch.chunks(LANES).enumerate() {
                // A NaN compares false with everything and is never chosen.
                if !logits.iter().fold(false, |any, &logit| any | (logit > bar)) {
                    continue;
                }
                for (offset, &logit) in logits.iter().enumerate() {
                    if logit > bar {
                        bar = found(first + index * LANES + offset, logit);
                    }
                }
            }
        }
        for &(token, logit) in self.changed {
            found(token, logit);
        }
    }

    /// Puts the `count` tokens of the greatest logits into `best`, at least one, the
    /// greatest first; on a tie, the first in the vocabulary.
    pub(super) fn top(&self, count: usize, best: &mut Vec<(usize, f32)>) {
        best.clear();
        self.above(f32::NEG_INFINITY, |token, logit| {
            if best.len() < count || precedes((token, logit), best[best.len() - 1]) {
                best.truncate(count - 1);
                let at = best.partition_point(|&other| precedes(other, (token, logit)));
                best.insert(at, (token, logit));
            }
            if best.len() < count { f32::NEG_INFINITY } else { best[best.len() - 1].1 }
        });
    }

    /// Puts all tokens that may be chosen into `all`, in no particular order.
    pub(super) fn all(&self, all: &mut Vec<(usize, f32)>) {
        all.clear();
        for (first, stretch) in self.stretches() {
            all.extend(stretch.iter().enumerate().map(|(offset, &logit)| (first + offset, logit)));
        }
        all.extend(self.changed);
    }
}

/// Whether `a` comes before `b` among the greatest.
fn precedes(a: (usize, f32), b: (usize, f32)) -> bool {
    a.1 > b.1 || a.1 == b.1 && a.0 < b.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn argmax(computed: &[f32], banned: &[usize]) -> Option<usize> {
        let mut best = Vec::new();
        Logits { computed, apart: banned, changed: &[] }.top(1, &mut best);
        best.first().map(|&(token, _)| token)
    }

    #[test]
    fn a_banned_token_is_never_chosen_wherever_it_stands() {
        let computed = [9.0, 1.0, 8.0, 2.0, 7.0];
        assert_eq!(argmax(&computed, &[0, 2, 4]), Some(3));
        assert_eq!(argmax(&computed, &[0]), Some(2));
        assert_eq!(argmax(&computed, &[0, 1, 2, 3, 4]), None);
        assert_eq!(argmax(&computed, &[0, 2, 4, 99]), Some(3));
    }

    #[test]
    fn logits_that_are_no_numbers_choose_nothing_and_are_not_sound() {
        for unsound in [[f32::NAN, f32::NAN], [f32::INFINITY, 0.0], [f32::NAN, -3.0]] {
            assert!(!are_sound(&unsound), "{unsound:?}");
        }
        assert_eq!(argmax(&[f32::NAN, f32::NAN], &[]), None);
        assert_eq!(argmax(&[f32::NEG_INFINITY, f32::NEG_INFINITY], &[]), None);
        assert_eq!(argmax(&[f32::NAN, -3.0], &[]), Some(1));
        assert!(are_sound(&[1.0, f32::NEG_INFINITY]));
    }

    proptest! {
        #[test]
        fn the_best_are_those_of_a_sorted_list(
            computed in prop::collection::vec((-50i8..50).prop_map(f32::from), 1..200),
            changed in prop::collection::btree_map(0usize..200, -50i8..50, 0..20),
            banned in prop::collection::btree_set(0usize..200, 0..20),
            count in 1usize..60,
        ) {
            let changed: Vec<_> = changed
                .into_iter()
                .filter(|(token, _)| *token < computed.len() && !banned.contains(token))
                .map(|(token, logit)| (token, f32::from(logit)))
                .collect();
            let mut apart: Vec<_> = banned.iter().copied().chain(changed.iter().map(|c| c.0)).collect();
            apart.sort_unstable();
            let logits = Logits { computed: &computed, apart: &apart, changed: &changed };

            let mut sorted: Vec<_> =
                computed.iter().copied().enumerate().filter(|(token, _)| !apart.contains(token)).collect();
            sorted.extend(&changed);
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));

            let mut all = Vec::new();
            logits.all(&mut all);
            prop_assert_eq!(all.len(), sorted.len());
            sorted.truncate(count);
            let mut best = Vec::new();
            logits.top(count, &mut best);
            prop_assert_eq!(best, sorted);
        }
    }
}
