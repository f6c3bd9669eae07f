//! The options of the button and the light.

use clap::Args;

use installation::panel::{self, Pin};

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
    /// The pins that these options ask for. Fails when both options name the same pin.
    pub(crate) fn settings(&self) -> Result<panel::PanelSettings, String> {
        panel::PanelSettings::new(self.button, self.led)
    }
}

/// The light's pin, from variables that need not all be right: for showing on it that
/// they are wrong. `None` as well if that pin may be the button's.
pub(super) fn light_of(variable: impl Fn(&str) -> Option<String>) -> Option<Pin> {
    let pin = |name: &str| Pin::parse(&variable(name)?).ok();
    // An output on the button's wire would be shorted by a press.
    pin("TORMENT_LED").filter(|light| pin("TORMENT_BUTTON") != Some(*light))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lights_pin_is_found_among_wrong_variables_unless_it_is_the_buttons() {
        for (led, button, pin) in [
            (Some("18"), Some("23"), Some(18)),
            (Some("18"), Some("99"), Some(18)),
            (Some("18"), None, Some(18)),
            (Some("18"), Some("18"), None),
            (Some("14"), None, None),
            (Some("x"), None, None),
            (None, Some("23"), None),
        ] {
            let variable = |name: &str| if name == "TORMENT_LED" { led } else { button }.map(str::to_owned);
            assert_eq!(light_of(variable).map(Pin::number), pin, "{led:?} {button:?}");
        }
    }
}
