//! A line of the 40-pin header as an input, through the kernel's GPIO character
//! device: the only user of gpiocdev.
//!
//! Unlike registers that are mapped into memory (rppal), the kernel gives a line
//! to one program at a time, frees it however that program ends, and wakes the
//! reader when the level changes.
//!
//! The kernel could debounce the line too. It is not asked to: it would then
//! report the level as of the last interrupt, and on the emulated board, which
//! has no interrupts of pins, the level would never change.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result, bail};
/// The resistor inside the chip that gives an open line a level: `PullUp` for a contact
/// to ground, `PullDown` for a wire that something drives high.
pub(crate) use gpiocdev::line::Bias;
use gpiocdev::line::{EdgeDetection, Value};
use gpiocdev::{Chip, Request};

/// The labels of the chips that drive the 40-pin header, where a line's offset
/// is its BCM number: Raspberry Pi Zero to 3, 4, and 5 (their drivers
/// pinctrl-bcm2835.c and pinctrl-rp1.c).
const HEADERS: [&str; 3] = ["pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1"];

/// What other programs see as the user of a line.
const CONSUMER: &str = "torment-nexus";

/// Events that the kernel keeps for one line until they are read (its default).
const KEPT_EVENTS: usize = 16;

/// A line, read by this program alone until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Input(Request);

impl Input {
    /// Takes the line with this BCM number as an input.
    ///
    /// # Errors
    ///
    /// When this is no Raspberry Pi, the kernel refuses, or the line is in use: the
    /// cause, without what to do if it stays.
    pub(crate) fn open(number: u8, bias: Bias) -> Result<Self> {
        let chip = header()?;
        let offset = u32::from(number);
        let request = Request::builder()
            .on_chip(chip.path())
            .with_consumer(CONSUMER)
            .with_line(offset)
            .as_input()
            .with_bias(bias)
            .with_edge_detection(EdgeDetection::BothEdges)
            .request();
        match (request, chip.line_info(offset)) {
            (Ok(request), _) => Ok(Self(request)),
            (Err(_), Ok(info)) if info.used => bail!("{:?} uses it: stop that first", info.consumer),
            (Err(error), _) => Err(error).context(format!("line {number} of {:?}", chip.path())),
        }
    }

    /// Its level now.
    ///
    /// # Errors
    ///
    /// When the kernel no longer reads it.
    pub(crate) fn is_high(&self) -> io::Result<bool> {
        self.0.lone_value().map(|value| value == Value::Active).map_err(io::Error::other)
    }

    /// Forgets the edges that came until now. The descriptor can be waited on
    /// again afterwards.
    ///
    /// # Errors
    ///
    /// When the kernel no longer reports them.
    pub(crate) fn drain(&self) -> io::Result<()> {
        for _ in 0..KEPT_EVENTS {
            if !self.0.has_edge_event().map_err(io::Error::other)? {
                break;
            }
            self.0.read_edge_event().map_err(io::Error::other)?;
        }
        Ok(())
    }
}

impl AsFd for Input {
    /// A descriptor that is readable when the level has changed since
    /// [`Input::drain`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The chip that drives the header.
fn header() -> Result<Chip> {
    let chips = gpiocdev::chip::chips().unwrap_or_default().into_iter();
    let drives = |chip: &Chip| chip.info().is_ok_and(|info| HEADERS.contains(&info.label.as_str()));
    chips.filter_map(|path| Chip::from_path(path).ok()).find(drives).context(
        "no /dev/gpiochip* that may be opened drives the pins of a Raspberry Pi; those of the group gpio may",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_header_has_no_line_and_says_why() {
        if gpiocdev::chip::chips().is_ok_and(|chips| !chips.is_empty()) {
            // No test may take a line of a real board.
            return;
        }
        let why = Input::open(23, Bias::PullUp).expect_err("no line").to_string();
        assert!(why.contains("gpiochip"), "{why}");
    }
}
