//! The content of the technician's slip: version, lives so far, model, prompt,
//! and the board's health.

use crate::board::health::Health;
use crate::text::wrap::Wrapper;

/// The content of the technician's slip, without the board's health.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slip<'a> {
    /// Lives so far, if they are counted.
    pub lives: Option<u64>,
    /// The model's name.
    pub model: &'a str,
    /// The whole prompt; the slip shows its first words.
    pub prompt: &'a str,
    /// Tokens a second of the last life, if known.
    pub rate: Option<f64>,
}

/// The width of the column of names, in characters.
const NAME: usize = 12;
/// The most lines for one value.
const LINES: usize = 2;
const NOT_KNOWN: &str = "not known";

impl Slip<'_> {
    /// The slip's lines, each at most `columns` wide.
    #[must_use]
    pub(super) fn lines(&self, health: &Health, columns: usize) -> Vec<String> {
        let throttled = health.throttled.map(|throttled| throttled.slowed().to_owned());
        let facts = [
            ("version", Some(env!("CARGO_PKG_VERSION").to_owned())),
            ("lives", self.lives.map(|lives| lives.to_string())),
            ("model", Some(self.model.to_owned())),
            ("prompt", Some(self.prompt.split_whitespace().collect::<Vec<_>>().join(" "))),
            ("last life", self.rate.map(|rate| format!("{rate:.1} tokens/s"))),
            ("temperature", health.celsius.map(|celsius| format!("{celsius:.1} °C"))),
            ("throttled", throttled),
            ("low voltage", health.voltage().map(str::to_owned)),
            ("free memory", health.free.map(|free| format!("{} MB", free / 1_000_000))),
        ];
        facts
            .iter()
            .flat_map(|(name, value)| fact(name, value.as_deref().unwrap_or(NOT_KNOWN), columns))
            .collect()
    }
}

/// A name and its value; the value's second line is indented to its first.
fn fact(name: &str, value: &str, columns: usize) -> Vec<String> {
    let mut wrapper = Wrapper::new(columns.saturating_sub(NAME));
    let mut text = String::new();
    wrapper.push(value, &mut text);
    wrapper.finish(&mut text);
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    names.zip(text.lines()).take(LINES).map(|(name, line)| format!("{name:NAME$}{line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::health::Throttled;
    use unicode_width::UnicodeWidthStr;

    const SLIP: Slip = Slip {
        lives: Some(12),
        model: "SmolLM2-135M-Instruct-Q4_K_M.gguf",
        prompt: "You are here,\nand you will speak until there is no room left in you for a word.",
        rate: Some(9.84),
    };

    #[test]
    fn a_current_board_says_all_of_it() {
        let health = Health {
            celsius: Some(54.768),
            throttled: Some(Throttled(0x5_0000)),
            under_voltage: Some(false),
            free: Some(240_000 * 1024),
        };
        let lines = SLIP.lines(&health, 32);
        assert_eq!(
            lines,
            [
                concat!("version     ", env!("CARGO_PKG_VERSION")),
                "lives       12",
                "model       SmolLM2-135M-Instruc",
                "            t-Q4_K_M.gguf",
                "prompt      You are here, and",
                "            you will speak until",
                "last life   9.8 tokens/s",
                "temperature 54.8 °C",
                "throttled   not now, but since",
                "            boot",
                "low voltage not now, but since",
                "            boot",
                "free memory 245 MB",
            ]
        );
        assert!(lines.iter().all(|line| line.width() <= 32));
    }

    #[test]
    fn what_is_not_there_is_not_known() {
        let unknown = Slip { lives: None, rate: None, ..SLIP }.lines(&Health::default(), 32);
        let not_known = unknown.iter().filter(|line| line.ends_with(NOT_KNOWN)).count();
        assert_eq!(not_known, 6, "{unknown:?}");
    }
}
