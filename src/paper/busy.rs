//! The printer's BUSY (or DTR) wire on a pin of the header.

use super::port::Busy;
use crate::board::gpio::{Bias, Input, Refusal};

/// Takes the pin with this BCM number. The wire is pulled to ground: one that is
/// not connected says that the printer is ready.
///
/// # Errors
///
/// When this is no Raspberry Pi, or the pin is in use.
pub(super) fn busy_wire(number: u8) -> Result<Input, Refusal> {
    Input::open(number, Bias::PullDown)
}

impl Busy for Input {
    fn is_busy(&mut self) -> bool {
        // A wire that can no longer be read holds nothing up.
        self.is_high().unwrap_or(false)
    }
}
