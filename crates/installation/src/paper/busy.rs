//! The printer's BUSY (or DTR) wire: on a pin of the header, or in an installation
//! that is drawn.

use anyhow::Result;

use super::port::Busy;
use crate::board::gpio::{Bias, Input};
use crate::life::link::Link;

/// Where the wire ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// On the pin with this BCM number.
    Pin(u8),
    /// In the program that draws the installation.
    Drawn(Link),
}

impl Wire {
    /// Takes the wire. A pin is pulled to ground: a wire that is not connected says that
    /// the printer is ready. Fails when the pin is in use, or this is no Raspberry Pi.
    pub(super) fn take(&self) -> Result<Box<dyn Busy>> {
        match self {
            Self::Pin(number) => Ok(Box::new(Input::open(*number, Bias::PullDown)?)),
            Self::Drawn(link) => Ok(Box::new(link.clone())),
        }
    }
}

impl Busy for Input {
    fn is_busy(&mut self) -> bool {
        // A wire that can no longer be read holds nothing up.
        self.is_high().unwrap_or(false)
    }
}

impl Busy for Link {
    fn is_busy(&mut self) -> bool {
        Self::is_busy(self)
    }

    fn wrote(&mut self, bytes: usize) {
        Self::wrote(self, bytes);
    }
}
