//! Which pins the button and the light are on.

/// A GPIO pin, by its BCM number, that may be used for the button or the light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin(u8);

/// The highest BCM number on the 40-pin header.
const LAST_PIN: u8 = 27;

impl Pin {
    /// The pin of a BCM number. Fails when the header has no such pin, or the serial
    /// port uses it.
    pub fn new(number: u8) -> Result<Self, String> {
        let port = match number {
            14 | 15 => "TXD and RXD, the wires to the printer, are GPIO 14 and 15",
            // rppal's RTS/CTS flow control would claim both, wired or not.
            16 | 17 => "CTS and RTS, its flow control, are GPIO 16 and 17",
            0..=LAST_PIN => return Ok(Self(number)),
            _ => return Err(format!("not a BCM number from 0 to {LAST_PIN}")),
        };
        Err(format!(
            "it belongs to the serial port ({port}); 23 for the button and 18 for the light are free"
        ))
    }

    /// The BCM number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Parses a BCM number; fails as [`Pin::new`].
    pub fn parse(text: &str) -> Result<Self, String> {
        // Text that is no u8 is no pin either: 255 is refused.
        Self::new(text.parse().unwrap_or(u8::MAX))
    }
}

/// The pins of the button and the light. Each is optional.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PanelSettings {
    /// The button's pin.
    pub button: Option<Pin>,
    /// The light's pin.
    pub light: Option<Pin>,
}

impl PanelSettings {
    /// A light alone.
    pub fn light(pin: Pin) -> Self {
        Self { button: None, light: Some(pin) }
    }

    /// The two pins, which must differ. Fails when both are the same pin.
    pub fn new(button: Option<Pin>, light: Option<Pin>) -> Result<Self, String> {
        match button {
            Some(pin) if light == button => Err(format!(
                "--button and --led are both GPIO {}; give each a pin of its own (23 and 18 in the wiring)",
                pin.number()
            )),
            _ => Ok(Self { button, light }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_on_the_header_and_not_the_serial_ports() {
        let refusal = |pin| Pin::parse(pin).expect_err("refused");
        for pin in ["14", "15", "16", "17"] {
            let refusal = refusal(pin);
            assert!(refusal.contains("serial port") && refusal.contains(pin), "{refusal}");
        }
        for pin in ["28", "256", "-1", "", "GPIO18"] {
            assert!(refusal(pin).contains("from 0 to 27"), "{pin}");
        }
        let pins = (0..=LAST_PIN).filter(|&pin| Pin::new(pin).is_ok()).count();
        assert_eq!(pins, 24);
    }

    #[test]
    fn one_pin_is_not_both_button_and_light() {
        let pin = |number| Some(Pin::new(number).expect("a pin"));
        assert!(PanelSettings::new(pin(18), pin(18)).is_err());
        assert!(PanelSettings::new(pin(23), pin(18)).is_ok());
        assert!(PanelSettings::new(None, None).is_ok());
    }
}
