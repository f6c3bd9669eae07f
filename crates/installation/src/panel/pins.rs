//! The pins of a Raspberry Pi: the only user of rppal's GPIO.
//!
//! | what | by | why |
//! |---|---|---|
//! | the button | the kernel's character device ([`Input`]) | the kernel keeps other programs from it and reports its edges |
//! | the light's function | rppal | only the register tells whether the overlay has switched the pin to PWM |
//! | the light without PWM | rppal | an output whose change is one write to a register, and which gets its former function back at the end |
//! | the light with PWM | sysfs ([`pwm`]) | see there |

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Result, anyhow, bail};
use rppal::gpio::{Gpio, Mode, OutputPin};

use super::pulse::Means;
use super::pwm;
use super::settings::{PanelSettings, Pin};
use super::thread::{Coming, Contact, Lamp, Pins};
use crate::board::gpio::{Bias, Input};
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

/// Takes the pins that `settings` ask for, and with `verbose` says how the light is
/// driven. Fails when this is no Raspberry Pi, or its pins may not be used.
pub(super) fn take(settings: PanelSettings, verbose: bool) -> Result<Pins> {
    let mut pins = Pins::default();
    if let Some(pin) = settings.button {
        let number = pin.number();
        let input = Input::open(number, Bias::PullUp).map_err(|error| {
            anyhow!("cannot read --button {number} ({error:#}); leave it out to live without a button")
        })?;
        pins.button = Some(Box::new(input));
    }
    if let Some(pin) = settings.light {
        pins.claim = claim(pin)?;
        pins.coming = Some(coming(pin, verbose)?);
    }
    Ok(pins)
}

/// Claims the light's pin, so that no second program like this one drives it: the
/// kernel lets any number of programs map the pins' registers. It is a name in the
/// abstract namespace of unix(7), which only one process can have and which leaves
/// no file behind; `None` where the system has no such names.
pub(super) fn claim(pin: Pin) -> Result<Option<UnixListener>> {
    let number = pin.number();
    let address = SocketAddr::from_abstract_name(format!("torment-nexus GPIO {number}"));
    match address.and_then(|address| UnixListener::bind_addr(&address)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => bail!(
            "another torment-nexus uses GPIO {number}; end it (systemctl stop torment-nexus), or name another pin"
        ),
        socket => Ok(socket.ok()),
    }
}

/// The light on a pin that may get hardware PWM. The pin is left as it is until
/// that is known: if it were taken as an output first, rppal would give it its
/// former function back at the end, and the overlay's would be lost until the next
/// boot.
fn coming(pin: Pin, verbose: bool) -> Result<Coming> {
    let number = pin.number();
    let plain = Gpio::new().and_then(|gpio| gpio.get(number)).map_err(|error| {
        anyhow!(
            "cannot drive --led {number}, for which a Raspberry Pi and the group gpio are needed ({error}); \
             leave it out to live without a light"
        )
    })?;
    let mut plain = Some(plain);
    Ok(Box::new(move |waited| {
        let output = plain.as_ref()?;
        // Of the pins of a channel, hardware PWM reaches only the one that the
        // overlay has switched to it, which may be another pin than this.
        let switched = || matches!((number, output.mode()), (12 | 13, Mode::Alt0) | (18 | 19, Mode::Alt5));
        let (light, how): (Box<dyn Lamp>, _) =
            match pwm::look(pwm::ROOT.as_ref(), pwm::DEVICE_TREE.as_ref(), pin, waited, switched) {
                Ok(found) => (Box::new(found?), "dimmed by hardware PWM".to_owned()),
                Err(why) => {
                    (Box::new(Switch(plain.take()?.into_output_low())), format!("only on or off: {why}"))
                }
            };
        if verbose {
            say(format_args!("the light on GPIO {number} is {how}\n"));
        }
        Some(light)
    }))
}
