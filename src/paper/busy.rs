//! The printer's BUSY (or DTR) wire: on a pin of the header, or in an installation
//! that is drawn.

#[cfg(feature = "cabinet")]
use std::io;

use super::port::{Busy, Port};
use crate::board::gpio::{Bias, Input, Refusal};
#[cfg(feature = "cabinet")]
use crate::board::link::Link;

/// Where the wire ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// On the pin with this BCM number.
    Pin(u8),
    /// In the program that draws the installation.
    #[cfg(feature = "cabinet")]
    Drawn(Link),
}

impl Wire {
    /// Takes the wire. A pin is pulled to ground: a wire that is not connected says
    /// that the printer is ready.
    ///
    /// # Errors
    ///
    /// When this is no Raspberry Pi, or the pin is in use.
    pub(super) fn take(&self) -> Result<Box<dyn Busy>, Refusal> {
        match self {
            Self::Pin(number) => Ok(Box::new(Input::open(*number, Bias::PullDown)?)),
            #[cfg(feature = "cabinet")]
            Self::Drawn(link) => Ok(Box::new(link.clone())),
        }
    }
}

/// The port of a printer whose wire is this one: in an installation that is drawn, what
/// is written is counted.
pub(super) fn counted(port: Box<dyn Port>, wire: Option<&Wire>) -> Box<dyn Port> {
    match wire {
        #[cfg(feature = "cabinet")]
        Some(Wire::Drawn(link)) => Box::new(Counted { port, link: link.clone() }),
        _ => port,
    }
}

#[cfg(feature = "cabinet")]
struct Counted {
    port: Box<dyn Port>,
    link: Link,
}

#[cfg(feature = "cabinet")]
impl Port for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.port.write(bytes)?;
        self.link.wrote(written);
        Ok(written)
    }

    fn unsent(&mut self) -> io::Result<usize> {
        self.port.unsent()
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.port.read(buffer)
    }

    fn discard(&mut self) {
        self.port.discard();
    }
}

impl Busy for Input {
    fn is_busy(&mut self) -> bool {
        // A wire that can no longer be read holds nothing up.
        self.is_high().unwrap_or(false)
    }
}

#[cfg(feature = "cabinet")]
impl Busy for Link {
    fn is_busy(&mut self) -> bool {
        Self::is_busy(self)
    }
}
