//! How the next token is chosen: the arg-max, or dice, with or without
//! penalties.
//!
//! The plain greedy choice is made here, straight over the logits: no array of
//! 49,152 candidates is filled for it. Everything else is a chain of
//! llama.cpp's own samplers in the order of its own tools, which
//! [`crate::llm`] builds from a [`Sampling`].

use std::fmt;

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
    /// Seed of the dice.
    pub seed: u32,
}

impl Sampling {
    /// Whether dice are thrown at all.
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

    /// Whether the choice is the bare arg-max.
    #[must_use]
    pub fn is_plain_greedy(&self) -> bool {
        !self.has_dice() && !self.has_repeat_penalty() && !self.has_dry()
    }
}

/// The line that `--verbose` prints about the dice; empty without dice.
impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_dice() {
            writeln!(f, "seed {}: --temp {} --seed {} lives this life again", self.seed, self.temp, self.seed)
        } else {
            Ok(())
        }
    }
}

/// The index of the greatest logit that is not banned; the lowest such index
/// on a tie.
///
/// `banned` is sorted and without repetitions. Returns `None` where no logit
/// is left that is a finite number: the weights are broken, or all is banned.
#[must_use]
pub fn argmax(logits: &[f32], banned: &[usize]) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    let mut consider = |start: usize, end: usize| {
        for (offset, &logit) in logits[start..end].iter().enumerate() {
            // A NaN compares false with everything and is never chosen.
            if logit > best.map_or(f32::NEG_INFINITY, |(_, greatest)| greatest) {
                best = Some((start + offset, logit));
            }
        }
    };
    let mut start = 0;
    for &ban in banned.iter().filter(|&&ban| ban < logits.len()) {
        consider(start, ban);
        start = ban + 1;
    }
    consider(start, logits.len());
    best.filter(|(_, logit)| logit.is_finite()).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::argmax;

    #[test]
    fn the_greatest_logit_wins_and_a_tie_goes_to_the_first() {
        assert_eq!(argmax(&[0.5, 2.0, -1.0, 2.0], &[]), Some(1));
    }

    #[test]
    fn a_banned_token_is_never_chosen_wherever_it_stands() {
        let logits = [9.0, 1.0, 8.0, 2.0, 7.0];
        assert_eq!(argmax(&logits, &[0, 2, 4]), Some(3));
        assert_eq!(argmax(&logits, &[0]), Some(2));
        assert_eq!(argmax(&logits, &[0, 1, 2, 3, 4]), None);
        assert_eq!(argmax(&logits, &[0, 2, 4, 99]), Some(3));
    }

    #[test]
    fn logits_that_are_no_numbers_choose_nothing() {
        assert_eq!(argmax(&[f32::NAN, f32::NAN], &[]), None);
        assert_eq!(argmax(&[f32::NEG_INFINITY, f32::NEG_INFINITY], &[]), None);
        assert_eq!(argmax(&[f32::INFINITY, 0.0], &[]), None);
        assert_eq!(argmax(&[f32::NAN, -3.0], &[]), Some(1));
    }
}
