//! The content of the technician's slip: version, lives so far, model, prompt,
//! what went wrong, and the board's health.

use crate::board::health::{Health, Throttled};
use crate::state::record::Record;
use crate::text::wrap::Wrapper;

/// The content of the technician's slip, without the board's health.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slip<'a> {
    /// What is known of the lives so far, if they are counted.
    pub record: Option<&'a Record>,
    /// The model's name.
    pub model: &'a str,
    /// The whole prompt; the slip shows its first words.
    pub prompt: &'a str,
}

/// The width of the column of names, in characters.
const NAME: usize = 12;
/// The most lines for one value; and for a fault, whose line ends with the next
/// step.
const LINES: usize = 2;
const FAULT_LINES: usize = 12;
/// The name of the last fault.
const FAULT: &str = "last fault";
const NOT_KNOWN: &str = "not known";

impl Slip<'_> {
    /// The slip's lines, each at most `columns` wide.
    pub(super) fn lines(&self, health: &Health, columns: usize) -> Vec<String> {
        let throttled = health.throttled.map(|throttled| throttled.slowed().to_owned());
        let Self { record, .. } = self;
        let fault = record.map(|record| record.fault.as_ref().map_or("none", |fault| fault.words.as_str()));
        let in_lives = record.and_then(|record| record.throttled).map(|bits| Throttled(bits).names());
        let rate = record.and_then(|record| record.rate);
        let facts = [
            ("version", Some(env!("CARGO_PKG_VERSION").to_owned())),
            ("lives", record.map(|record| record.lives.to_string())),
            // This start has come to no life yet.
            ("starts", record.map(|record| format!("{} since boot", record.starts + 1))),
            ("model", Some(self.model.to_owned())),
            ("prompt", Some(self.prompt.split_whitespace().collect::<Vec<_>>().join(" "))),
            ("last life", rate.map(|rate| format!("{rate:.1} tokens/s"))),
            (FAULT, fault.map(str::to_owned)),
            ("temperature", health.celsius.map(|celsius| format!("{celsius:.1} °C"))),
            ("throttled", throttled),
            ("low voltage", health.voltage().map(str::to_owned)),
            ("in lives", in_lives.map(str::to_owned)),
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
    let lines = if name == FAULT { FAULT_LINES } else { LINES };
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    names.zip(text.lines()).take(lines).map(|(name, line)| format!("{name:NAME$}{line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::record::LastFault;
    use unicode_width::UnicodeWidthStr;

    const SLIP: Slip = Slip {
        record: None,
        model: "SmolLM2-135M-Instruct-Q4_K_M.gguf",
        prompt: "You are here,\nand you will speak until there is no room left in you for a word.",
    };

    /// The slip after this fault.
    fn lines(words: Option<&str>, health: &Health) -> Vec<String> {
        let fault = words.map(|words| LastFault { life: 9, words: words.to_owned() });
        let throttled = Some(0x5);
        let record = Record { lives: 12, starts: 2, rate: Some(9.84), throttled, fault, ..Record::default() };
        Slip { record: Some(&record), ..SLIP }.lines(health, 32)
    }

    #[test]
    fn a_current_board_says_all_of_it() {
        let health = Health {
            celsius: Some(54.768),
            throttled: Some(Throttled(0x5_0000)),
            free: Some(240_000 * 1024),
        };
        let words = "life 9: llama.cpp failed at token 31 of model ember; -vv shows its log";
        let lines = lines(Some(words), &health);
        assert_eq!(
            lines,
            [
                concat!("version     ", env!("CARGO_PKG_VERSION")),
                "lives       12",
                "starts      3 since boot",
                "model       SmolLM2-135M-Instruc",
                "            t-Q4_K_M.gguf",
                "prompt      You are here, and",
                "            you will speak until",
                "last life   9.8 tokens/s",
                "last fault  life 9: llama.cpp",
                "            failed at token 31",
                "            of model ember; -vv",
                "            shows its log",
                "temperature 54.8 °C",
                "throttled   not now, but since",
                "            boot",
                "low voltage not now, but since",
                "            boot",
                "in lives    throttled, low",
                "            voltage",
                "free memory 245 MB",
            ]
        );
        assert!(lines.iter().all(|line| line.width() <= 32));
    }

    #[test]
    fn what_is_not_there_is_not_known() {
        let unknown = SLIP.lines(&Health::default(), 32);
        let not_known = unknown.iter().filter(|line| line.ends_with(NOT_KNOWN)).count();
        assert_eq!(not_known, 9, "{unknown:?}");
    }

    #[test]
    fn the_longest_fault_is_told_to_its_end_and_none_is_said_to_be_none() {
        let words = "before life 9: ".to_owned() + &"one two three four five ".repeat(8) + "the next step";
        let told = lines(Some(&words), &Health::default());
        assert!(told.iter().any(|line| line.contains("last fault  before life 9:")), "{told:?}");
        assert!(told.iter().any(|line| line.contains("next step")), "{told:?}");
        let none = lines(None, &Health::default());
        assert!(none.contains(&"last fault  none".to_owned()), "{none:?}");
    }
}
