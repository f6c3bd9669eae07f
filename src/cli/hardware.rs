//! The options of the button and the light.

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
