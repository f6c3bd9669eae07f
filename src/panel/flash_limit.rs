//! Limits the light to three flashes in any second, whatever is to be shown.

use std::time::Duration;

/// Lets no more than three flashes pass in any second.
///
/// A flash is defined as in WCAG 2, with the LED's full light as the greatest
/// luminance: a pair of opposing changes of at least 10 % of it, where the
/// darker luminance is below 80 % of it. Here rises and falls are each limited
/// to three in any second, which is stricter than limiting the pairs.
#[derive(Debug, Clone, Default)]
pub(super) struct FlashLimit {
    /// After a rise that counted, the greatest luminance since then; after a
    /// fall that counted, the least.
    extreme: f64,
    /// Whether the last change that counted was a rise.
    risen: bool,
    rises: Changes,
    falls: Changes,
}

/// A change of at least this share of full luminance may be half of a flash.
const CHANGE: f64 = 0.10;
/// It is one only if the darker luminance is below this share.
const DARKER: f64 = 0.80;
/// The time in which there may be at most three flashes.
const SECOND: Duration = Duration::from_secs(1);

/// The ages of the last three changes of one direction, latest first.
#[derive(Debug, Clone)]
struct Changes([Duration; 3]);

impl Default for Changes {
    fn default() -> Self {
        Self([Duration::MAX; 3])
    }
}

impl Changes {
    fn grow(&mut self, elapsed: Duration) {
        self.0 = self.0.map(|age| age.saturating_add(elapsed));
    }

    /// Whether a change may happen now; if so, counts it.
    fn admits(&mut self) -> bool {
        let [first, second, third] = self.0;
        let admitted = third > SECOND;
        if admitted {
            self.0 = [Duration::ZERO, first, second];
        }
        admitted
    }
}

impl FlashLimit {
    /// Whether the light may have this luminance, 0 to 1, `elapsed` after the
    /// last call; if not, it must stay as it is.
    pub(super) fn admits(&mut self, elapsed: Duration, luminance: f64) -> bool {
        self.rises.grow(elapsed);
        self.falls.grow(elapsed);
        if self.risen {
            if self.extreme - luminance >= CHANGE && luminance < DARKER {
                if !self.falls.admits() {
                    return false;
                }
                (self.risen, self.extreme) = (false, luminance);
            }
            self.extreme = self.extreme.max(luminance);
        }
        if !self.risen {
            if luminance - self.extreme >= CHANGE && self.extreme < DARKER {
                if !self.rises.admits() {
                    return false;
                }
                (self.risen, self.extreme) = (true, luminance);
            }
            self.extreme = self.extreme.min(luminance);
        }
        true
    }
}
