//! The options of the button and the light.

use std::ffi::OsString;

use clap::Args;

use crate::panel::{self, Pin};

/// The pins a visitor meets. Each is optional.
#[derive(Debug, Clone, Copy, Args)]
#[group(skip)]
pub struct HardwareArgs {
    /// Wait for a press: GPIO pin of a button to ground (23 in the wiring)
    #[arg(long, value_name = "BCM", value_parser = Pin::parse, allow_negative_numbers = true)]
    pub button: Option<Pin>,

    /// GPIO pin of the light (18 in the wiring, which can dim it)
    #[arg(long, value_name = "BCM", value_parser = Pin::parse, allow_negative_numbers = true)]
    pub led: Option<Pin>,
}

impl HardwareArgs {
    /// The pins that these options ask for.
    ///
    /// # Errors
    ///
    /// When both options name the same pin.
    pub(crate) fn settings(&self) -> Result<panel::Settings, String> {
        panel::Settings::new(self.button, self.led)
    }
}

/// The light's pin, from arguments and variables that need not all be right: for
/// showing on it that they are wrong. `None` as well if that pin may be the
/// button's.
#[must_use]
pub(super) fn light_of(
    arguments: impl Iterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<Pin> {
    let arguments: Vec<_> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let pin = |option: &str, name: &str| {
        let value = value_of(option, &arguments).or_else(|| variable(name))?;
        Pin::parse(&value).ok()
    };
    // An output on the button's wire would be shorted by a press.
    pin("--led", "TORMENT_LED").filter(|light| pin("--button", "TORMENT_BUTTON") != Some(*light))
}

/// The value that follows an option.
fn value_of(option: &str, arguments: &[String]) -> Option<String> {
    arguments.iter().enumerate().find_map(|(at, argument)| match argument.strip_prefix(option)? {
        "" => arguments.get(at + 1).cloned(),
        value => value.strip_prefix('=').map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lights_pin_is_found_among_wrong_arguments_unless_it_is_the_buttons() {
        let variable = |_: &str| None;
        for (arguments, pin) in [
            (&["--context-size", "x", "--led", "18"][..], Some(18)),
            (&["--led=18", "--wrong"], Some(18)),
            (&["--led", "18", "--button", "99"], Some(18)),
            (&["--led", "18", "--button", "23"], Some(18)),
            (&["--led", "18", "--button", "18"], None),
            (&["--led=18", "--button=18"], None),
            (&["--led", "14"], None),
            (&["--led", "x"], None),
            (&["--led"], None),
            (&["--ledge", "18"], None),
            (&[], None),
        ] {
            let found = light_of(arguments.iter().map(OsString::from), variable);
            assert_eq!(found.map(Pin::number), pin, "{arguments:?}");
        }
        let exhibition = |name: &str| match name {
            "TORMENT_LED" => Some("18".to_owned()),
            "TORMENT_BUTTON" => Some("23".to_owned()),
            _ => None,
        };
        for (arguments, pin) in
            [(&[][..], Some(18)), (&["--led", "12"], Some(12)), (&["--button", "18"], None)]
        {
            let found = light_of(arguments.iter().map(OsString::from), exhibition);
            assert_eq!(found.map(Pin::number), pin, "{arguments:?}");
        }
    }
}
