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

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

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

/// The resistor inside the chip that gives an open line a level: `PullUp` for a contact
/// to ground, `PullDown` for a wire that something drives high.
pub(crate) use gpiocdev::line::Bias;

/// A line, read by this program alone until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Input(Request);

/// Why a line cannot be had; without a next step, except where another program
/// has it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is no such chip, or the kernel does not let this program use it.
    Unavailable(String),
    /// Another program, or a driver, has the line.
    InUse {
        /// The line's BCM number.
        number: u8,
        /// What it is called by its user.
        consumer: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => f.write_str(why),
            Self::InUse { number, consumer } if consumer == CONSUMER => write!(
                f,
                "another torment-nexus uses GPIO {number}; end it (systemctl stop torment-nexus), or name \
                 another pin"
            ),
            Self::InUse { number, consumer } if consumer.is_empty() => {
                write!(f, "GPIO {number} is in use; end the program that uses it, or name another pin")
            }
            Self::InUse { number, consumer } => write!(
                f,
                "GPIO {number} is in use by {consumer:?}; end that program or remove its overlay, or name \
                 another pin"
            ),
        }
    }
}

impl std::error::Error for Refusal {}

impl Input {
    /// Takes the line with this BCM number as an input.
    ///
    /// # Errors
    ///
    /// When this is no Raspberry Pi, the kernel refuses, or the line is in use.
    pub(crate) fn open(number: u8, bias: Bias) -> Result<Self, Refusal> {
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
            (Err(_), Ok(info)) if info.used => Err(Refusal::InUse { number, consumer: info.consumer }),
            (Err(error), _) => {
                Err(Refusal::Unavailable(format!("line {number} of {:?}: {error}", chip.path())))
            }
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
fn header() -> Result<Chip, Refusal> {
    let unavailable = |error: gpiocdev::Error| Refusal::Unavailable(format!("/dev/gpiochip*: {error}"));
    let mut refused = None;
    for path in gpiocdev::chip::chips().map_err(unavailable)? {
        let chip = Chip::from_path(path).and_then(|chip| Ok((chip.info()?.label, chip)));
        match chip {
            Ok((label, chip)) if HEADERS.contains(&label.as_str()) => return Ok(chip),
            Ok(_) => {}
            Err(error) => refused = Some(error),
        }
    }
    Err(match refused {
        Some(error) => unavailable(error),
        None => Refusal::Unavailable("no /dev/gpiochip* drives a Raspberry Pi's header".to_owned()),
    })
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
        let Err(Refusal::Unavailable(why)) = Input::open(23, Bias::PullUp) else { panic!("a line") };
        assert!(why.contains("gpiochip"), "{why}");
    }

    #[test]
    fn a_line_in_use_names_its_user_and_the_next_step() {
        for (consumer, part) in
            [("torment-nexus", "another torment-nexus"), ("gpio-keys", "\"gpio-keys\""), ("", "in use; end")]
        {
            let words = Refusal::InUse { number: 23, consumer: consumer.to_owned() }.to_string();
            assert!(words.contains("GPIO 23") && words.contains(part), "{words}");
            assert!(words.ends_with("or name another pin"), "{words}");
        }
    }
}
