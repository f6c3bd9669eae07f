//! How the next token is chosen: greedily, by the arg-max of the logits, or by
//! random sampling (the *dice*), with or without penalties.
//!
//! The greatest logits are found here, directly in what the model computed:
//! neither the arg-max nor sampling among the best few fills an array of 49,152
//! candidates. Penalties and random sampling are llama.cpp's own samplers in
//! the order of its own tools, which [`super::choice`] builds from a
//! [`Sampling`]. The penalties are given only the tokens that have occurred,
//! and the samplers only the best few.

use std::fmt;

use crate::text::shell;

/// What the sampling options ask for. Names and meanings are llama.cpp's.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Temperature; 0 takes the most probable token.
    pub temp: f32,
    /// Number of most probable tokens kept; 0 keeps all.
    pub top_k: i32,
    /// Probability mass kept, 0 to 1.
    pub top_p: f32,
    /// Least probability kept, relative to the best token's, 0 to 1.
    pub min_p: f32,
    /// Divisor for the logits of tokens seen lately; 1 is off.
    pub repeat_penalty: f32,
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
    /// Words that the text comes back to; see `super::subject`.
    pub subject: Vec<String>,
    /// What is added to their logits at the most; 0 is off.
    pub subject_bias: f32,
    /// Characters that are never written: no token with one of them is chosen.
    pub ban: String,
    /// Seed of the random sampling.
    pub seed: u32,
}

/// The program's defaults: greedy, with penalties that keep a small model from
/// looping (`models/README.md` has the measurements).
impl Default for Sampling {
    fn default() -> Self {
        Self {
            temp: 0.0,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.1,
            repeat_last_n: 256,
            dry_multiplier: 0.8,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_penalty_last_n: -1,
            subject: Vec::new(),
            subject_bias: 2.5,
            ban: String::new(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// The arg-max of the model's own logits, without penalties.
    #[must_use]
    pub fn greedy() -> Self {
        Self { repeat_penalty: 1.0, dry_multiplier: 0.0, ..Self::default() }
    }

    /// Whether tokens are sampled at random: the temperature is above 0.
    #[must_use]
    pub fn has_dice(&self) -> bool {
        self.temp > 0.0
    }

    /// Whether the repeat penalty changes any logit.
    #[must_use]
    pub fn has_repeat_penalty(&self) -> bool {
        self.repeat_penalty != 1.0 && self.repeat_last_n != 0
    }

    /// Whether DRY changes any logit.
    #[must_use]
    pub fn has_dry(&self) -> bool {
        self.dry_multiplier > 0.0 && self.dry_penalty_last_n != 0
    }
}

/// The options that ask for this sampling, those at their default left out; with
/// random sampling the seed is always among them.
impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Self::default();
        let subject = self.subject.join(",");
        let options: [(&str, &dyn fmt::Display, bool); 14] = [
            ("temp", &self.temp, self.temp != default.temp),
            ("top-k", &self.top_k, self.top_k != default.top_k),
            ("top-p", &self.top_p, self.top_p != default.top_p),
            ("min-p", &self.min_p, self.min_p != default.min_p),
            ("repeat-penalty", &self.repeat_penalty, self.repeat_penalty != default.repeat_penalty),
            ("repeat-last-n", &self.repeat_last_n, self.repeat_last_n != default.repeat_last_n),
            ("dry-multiplier", &self.dry_multiplier, self.dry_multiplier != default.dry_multiplier),
            ("dry-base", &self.dry_base, self.dry_base != default.dry_base),
            (
                "dry-allowed-length",
                &self.dry_allowed_length,
                self.dry_allowed_length != default.dry_allowed_length,
            ),
            (
                "dry-penalty-last-n",
                &self.dry_penalty_last_n,
                self.dry_penalty_last_n != default.dry_penalty_last_n,
            ),
            ("subject", &subject, self.subject != default.subject),
            ("subject-bias", &self.subject_bias, self.subject_bias != default.subject_bias),
            ("ban", &self.ban, self.ban != default.ban),
            ("seed", &self.seed, self.has_dice()),
        ];
        let given = options.iter().filter(|(.., given)| *given);
        for (index, (name, value, _)) in given.enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}", shell::option(name, &value.to_string()))?;
        }
        Ok(())
    }
}

/// The logits to choose from: the model's, without the banned tokens and with
/// the changes that the penalties made.
#[derive(Debug, Clone, Copy)]
pub struct Logits<'a> {
    /// The model's logits: one for each token of the vocabulary.
    pub computed: &'a [f32],
    /// Tokens that the scan of `computed` skips: the banned ones and those of
    /// `changed`. Ascending, without repetitions.
    pub apart: &'a [usize],
    /// Tokens whose logit a penalty has changed, with the changed logit.
    pub changed: &'a [(usize, f32)],
}

/// Logits compared in one step: a few vector registers.
const LANES: usize = 16;

impl<'a> Logits<'a> {
    /// Whether a token can be sampled from them: no NaN and no +∞.
    #[must_use]
    pub fn are_sound(&self) -> bool {
        // Without an early return, so that the compiler vectorises the loop.
        let unsound = |unsound, &logit: &f32| unsound | logit.is_nan() | (logit == f32::INFINITY);
        !self.computed.iter().fold(false, unsound)
    }

    /// Whether any two logits differ. They do not where all weights are zero,
    /// as on a card that lost its data.
    #[must_use]
    pub fn prefer_any(&self) -> bool {
        self.computed.iter().any(|&logit| logit != self.computed[0])
    }

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

    /// The token of the greatest logit; the first such token on a tie.
    ///
    /// Returns `None` where the greatest logit is not finite or no token is
    /// left: the weights are broken, or all tokens are banned.
    #[must_use]
    pub fn greatest(&self) -> Option<usize> {
        let mut best: Option<(usize, f32)> = None;
        self.above(f32::NEG_INFINITY, |token, logit| {
            let better = best.is_none_or(|best| precedes((token, logit), best));
            if better && logit > f32::NEG_INFINITY {
                best = Some((token, logit));
            }
            best.map_or(f32::NEG_INFINITY, |(_, greatest)| greatest)
        });
        best.filter(|(_, logit)| logit.is_finite()).map(|(token, _)| token)
    }

    /// Puts the `count` tokens of the greatest logits into `best`, the greatest
    /// first; on a tie, the first in the vocabulary.
    pub fn top(&self, count: usize, best: &mut Vec<(usize, f32)>) {
        best.clear();
        if count == 0 {
            return;
        }
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
    pub fn all(&self, all: &mut Vec<(usize, f32)>) {
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

    fn logits<'a>(computed: &'a [f32], apart: &'a [usize], changed: &'a [(usize, f32)]) -> Logits<'a> {
        Logits { computed, apart, changed }
    }

    fn argmax(computed: &[f32], banned: &[usize]) -> Option<usize> {
        logits(computed, banned, &[]).greatest()
    }

    #[test]
    fn the_greatest_logit_wins_and_a_tie_goes_to_the_first() {
        assert_eq!(argmax(&[0.5, 2.0, -1.0, 2.0], &[]), Some(1));
        assert_eq!(logits(&[0.5, 2.0, -1.0, 2.0], &[1], &[(1, 2.0)]).greatest(), Some(1));
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
    fn a_penalised_token_counts_with_its_penalty() {
        let computed = [9.0, 1.0, 8.0];
        assert_eq!(logits(&computed, &[0], &[(0, 7.0)]).greatest(), Some(2));
        assert_eq!(logits(&computed, &[0], &[(0, 8.5)]).greatest(), Some(0));
    }

    #[test]
    fn logits_that_are_no_numbers_choose_nothing_and_are_not_sound() {
        for unsound in [[f32::NAN, f32::NAN], [f32::INFINITY, 0.0], [f32::NAN, -3.0]] {
            assert!(!logits(&unsound, &[], &[]).are_sound(), "{unsound:?}");
        }
        assert_eq!(argmax(&[f32::NAN, f32::NAN], &[]), None);
        assert_eq!(argmax(&[f32::NEG_INFINITY, f32::NEG_INFINITY], &[]), None);
        assert_eq!(argmax(&[f32::INFINITY, 0.0], &[]), None);
        assert_eq!(argmax(&[f32::NAN, -3.0], &[]), Some(1));
        assert!(logits(&[1.0, f32::NEG_INFINITY], &[], &[]).are_sound());
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
            let logits = logits(&computed, &apart, &changed);

            let mut sorted: Vec<_> =
                computed.iter().copied().enumerate().filter(|(token, _)| !apart.contains(token)).collect();
            sorted.extend(&changed);
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));

            let mut all = Vec::new();
            logits.all(&mut all);
            prop_assert_eq!(all.len(), sorted.len());
            prop_assert_eq!(logits.greatest(), sorted.first().map(|best| best.0));
            sorted.truncate(count);
            let mut best = Vec::new();
            logits.top(count, &mut best);
            prop_assert_eq!(best, sorted);
        }
    }
}
