//! Limits the light to three flashes in any second, whatever is to be shown.

use std::time::Duration;

/// Lets no more than three flashes pass in any second.
///
/// A flash is defined as in WCAG 2, with the LED's full light as the greatest
/// luminance: a pair of opposing changes of at least 10 % of it, where the
/// darker luminance is below 80 % of it. Here rises and falls are each limited
/// to three in any second, which is stricter than limiting the pairs.
#[derive(Debug, Clone)]
pub(super) struct FlashLimit {
    /// After a rise that counted, the greatest luminance since then; after a
    /// fall that counted, the least.
    extreme: f64,
    /// Whether the last change that counted was a rise.
    risen: bool,
    /// The ages of the last three rises and of the last three falls, latest first.
    ages: [[Duration; 3]; 2],
}

/// A change of at least this share of full luminance may be half of a flash.
const CHANGE: f64 = 0.10;
/// It is one only if the darker luminance is below this share.
const DARKER: f64 = 0.80;
/// The time in which there may be at most three flashes.
const SECOND: Duration = Duration::from_secs(1);

impl Default for FlashLimit {
    fn default() -> Self {
        Self { extreme: 0.0, risen: false, ages: [[Duration::MAX; 3]; 2] }
    }
}

impl FlashLimit {
    /// Whether the light may have this luminance, 0 to 1, `elapsed` after the
    /// last call; if not, it must stay as it is.
    pub(super) fn admits(&mut self, elapsed: Duration, luminance: f64) -> bool {
        self.ages = self.ages.map(|ages| ages.map(|age| age.saturating_add(elapsed)));
        let (low, high) = if self.risen { (luminance, self.extreme) } else { (self.extreme, luminance) };
        if high - low >= CHANGE && low < DARKER {
            let ages = &mut self.ages[usize::from(self.risen)];
            if ages[2] <= SECOND {
                return false;
            }
            *ages = [Duration::ZERO, ages[0], ages[1]];
            self.risen = !self.risen;
            self.extreme = luminance;
        } else {
            self.extreme = if self.risen { high.max(low) } else { low.min(high) };
        }
        true
    }
}
