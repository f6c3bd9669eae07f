//! The pins of a Raspberry Pi: the only user of rppal's GPIO.
//!
//! | what | by | why |
//! |---|---|---|
//! | the button | the kernel's character device ([`Input`]) | the kernel keeps other programs from it and reports its edges; it needs no /dev/gpiomem |
//! | the button, if that cannot be opened | rppal | it reads the pin's register: old kernels, and containers with /dev/gpiomem only |
//! | the light's function | rppal | only the register tells whether the overlay has switched the pin to PWM |
//! | the light without PWM | rppal | an output whose change is one write to a register, and which gets its former function back at the end |
//! | the light with PWM | sysfs ([`pwm`]) | see there |

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use anyhow::{Error, Result, anyhow};
use rppal::gpio::{self as rp, InputPin, Mode, OutputPin};

use super::claim::Claim;
use super::pulse::Means;
use super::pwm::{self, Look, Pwm, Search};
use super::settings::{Pin, Settings};
use super::thread::{Coming, Contact, Lamp, Pins};
use crate::board::gpio::{Bias, Input, Refusal};
use crate::text::stderr::say;

impl Contact for Input {
    fn is_down(&mut self) -> bool {
        // A level that cannot be read counts as up: it must begin no life.
        !self.is_high().unwrap_or(true)
    }

    fn edges(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn forget_edges(&mut self) {
        // If it fails, edges wake the thread for nothing, which it limits.
        let _ = self.drain();
    }
}

impl Contact for InputPin {
    fn is_down(&mut self) -> bool {
        self.is_low()
    }
}

impl Lamp for Pwm {
    fn means(&self) -> Means {
        Means::Dimmed
    }

    fn set(&mut self, luminance: f64) -> io::Result<()> {
        Pwm::set(self, luminance)
    }
}

/// A plain pin: on or off. rppal's software PWM would busy-wait and take time
/// from the compute threads.
struct Switch(OutputPin);

impl Lamp for Switch {
    fn means(&self) -> Means {
        Means::OnOff
    }

    fn set(&mut self, luminance: f64) -> io::Result<()> {
        self.0.write((luminance > 0.0).into());
        Ok(())
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.0.set_low();
    }
}

/// A pin that may get hardware PWM. It is left as it is until that is known: if
/// it were taken as an output first, rppal would give it its former function back
/// at the end, and the overlay's would be lost until the next boot.
struct Undecided {
    /// `None` once it is decided.
    pin: Option<rp::Pin>,
    search: Search,
    verbose: bool,
}

impl Coming for Undecided {
    fn look(&mut self, waited: Duration) -> Option<Box<dyn Lamp>> {
        let pin = self.pin.as_ref()?;
        let number = pin.pin();
        // Of the pins of a channel, hardware PWM reaches only the one that the
        // overlay has switched to it, which may be another pin than this.
        let switched = || matches!((number, pin.mode()), (12 | 13, Mode::Alt0) | (18 | 19, Mode::Alt5));
        let (light, how): (Box<dyn Lamp>, _) = match self.search.look(waited, switched) {
            Look::NotYet => return None,
            Look::Found(pwm) => (Box::new(pwm), "dimmed by hardware PWM".to_owned()),
            Look::Never(why) => {
                let pin = self.pin.take()?;
                (Box::new(Switch(pin.into_output_low())), format!("only on or off: {why}"))
            }
        };
        if self.verbose {
            say(format_args!("the light on GPIO {number} is {how}\n"));
        }
        Some(light)
    }
}

/// Takes the pins of a Raspberry Pi that `settings` ask for, and with `verbose`
/// says how.
///
/// # Errors
///
/// When this is no Raspberry Pi, or its pins may not be used.
pub(super) fn take(settings: Settings, verbose: bool) -> Result<Pins> {
    let Settings { button, light } = settings;
    let options = options(settings);
    let mut pins = Pins::default();
    let mut mapped = None;
    let tell = |how: fmt::Arguments<'_>| {
        if verbose {
            say(format_args!("{how}\n"));
        }
    };
    if let Some(button) = button {
        pins.button = Some(match Input::open(button.number(), Bias::PullUp) {
            Ok(input) => {
                tell(format_args!(
                    "the button on GPIO {} is read by the kernel's GPIO device",
                    button.number()
                ));
                Box::new(input)
            }
            Err(in_use @ Refusal::InUse { .. }) => return Err(in_use.into()),
            Err(Refusal::Unavailable(why)) => {
                let pin = map(button, &mut mapped, &options)?;
                pins.claims.push(Claim::of(button)?);
                tell(format_args!("the button on GPIO {} is polled in its register: {why}", button.number()));
                Box::new(pin.into_input_pullup())
            }
        });
    }
    if let Some(light) = light {
        let pin = map(light, &mut mapped, &options)?;
        pins.claims.push(Claim::of(light)?);
        let search = Search::new(Path::new(pwm::ROOT), Path::new(pwm::DEVICE_TREE), light);
        pins.coming = Some(Box::new(Undecided { pin: Some(pin), search, verbose }));
    }
    Ok(pins)
}

/// A pin by way of its registers, which `mapped` holds from the first call on.
fn map(pin: Pin, mapped: &mut Option<rp::Gpio>, options: &str) -> Result<rp::Pin> {
    let refused = |error| refused(&error, options);
    let gpio = match mapped {
        Some(gpio) => gpio,
        none => none.insert(rp::Gpio::new().map_err(refused)?),
    };
    gpio.get(pin.number()).map_err(refused)
}

/// The options that name pins, as the user gave them.
pub(super) fn options(settings: Settings) -> String {
    [("--button", settings.button), ("--led", settings.light)]
        .into_iter()
        .filter_map(|(option, pin)| Some(format!("{option} {}", pin?.number())))
        .collect::<Vec<_>>()
        .join(" and ")
}

pub(super) fn refused(error: &rp::Error, options: &str) -> Error {
    match error {
        rp::Error::UnknownModel => anyhow!(
            "{options} needs the pins of a Raspberry Pi, and this machine is not known as one; \
             leave {options} out to live without"
        ),
        rp::Error::PermissionDenied(path) => anyhow!(
            "no permission to open {path}, which {options} needs; add the user to the group gpio \
             (sudo usermod -aG gpio NAME) and log in again"
        ),
        other => anyhow!("cannot use the GPIO pins: {other}; leave {options} out to live without"),
    }
}
