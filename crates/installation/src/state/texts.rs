//! The last lives' texts: a file each, with what the receipt says of the life before the
//! words. One is written at a life's end, and the oldest beyond a number are removed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{regular, replace};

/// The folder in the state folder, and what a file's name begins and ends with.
const FOLDER: &str = "texts";
const NAME: (&str, &str) = ("life-", ".txt");

/// The longest file that is read, in bytes: four times the text of the longest context.
const MAX_BYTES: u64 = 2_000_000;

/// A life's text, and what is known of the life. Empty or `None`: not known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Text {
    /// The life's number.
    pub number: u64,
    /// When it began: the local date and time as in ISO 8601.
    pub date: String,
    /// The seed; `None` if the life was greedy.
    pub seed: Option<u32>,
    /// The name of the voice.
    pub voice: Option<String>,
    /// Tokens used and the context size, of a life that ended in the death.
    pub tokens: Option<(u32, u32)>,
    /// Its length in seconds.
    pub seconds: f64,
    /// Tokens a second, without the waits for the printer.
    pub rate: f64,
    /// What it said.
    pub words: String,
}

/// The folder of the texts.
#[derive(Debug, Clone)]
pub struct Texts {
    folder: PathBuf,
    /// How many are kept, at least 1.
    most: usize,
}

impl Texts {
    /// The texts in a state folder, of which `most` are kept.
    #[must_use]
    pub fn within(state: &Path, most: usize) -> Self {
        Self { folder: state.join(FOLDER), most }
    }

    /// Writes a text, and removes the oldest ones beyond the number that is kept. Fails when
    /// the file cannot be written; there is then none of that number.
    pub(crate) fn keep(&self, text: &Text) -> Result<()> {
        let path = self.path(text.number);
        let keep = || {
            fs::create_dir_all(&self.folder)?;
            replace::replace(&path, &[text.head().as_bytes(), b"\n", text.words.trim().as_bytes(), b"\n"])
        };
        keep().with_context(|| format!("cannot keep the text {path:?}; free some space"))?;
        // Greater ones are of a history that was begun anew.
        let (kept, gone): (Vec<_>, Vec<_>) =
            self.numbers().into_iter().partition(|number| *number <= text.number);
        for number in gone.iter().chain(kept.iter().rev().skip(self.most)) {
            let _ = fs::remove_file(self.path(*number));
        }
        Ok(())
    }

    /// The numbers of the lives whose texts are kept, in order.
    #[must_use]
    pub fn numbers(&self) -> Vec<u64> {
        let names = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let number = |name: &str| name.strip_prefix(NAME.0)?.strip_suffix(NAME.1)?.parse().ok();
        let mut numbers: Vec<_> = names.filter_map(|name| number(name.to_str()?)).collect();
        numbers.sort_unstable();
        numbers
    }

    /// The text of a life.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be read.
    pub fn read(&self, number: u64) -> Result<Text> {
        let path = self.path(number);
        let numbers = self.numbers();
        if !numbers.contains(&number) {
            let (first, last) = (numbers.first().unwrap_or(&0), numbers.last().unwrap_or(&0));
            match numbers.len() {
                0 => bail!("no text is kept in {:?}; keep some with --keep-texts", self.folder),
                count => bail!(
                    "no text of life {number} is kept, but {count} from life {first} to {last}; name another one"
                ),
            }
        }
        let bytes = regular::read(&path, MAX_BYTES)
            .with_context(|| format!("cannot read {path:?}; name another life"))?;
        Ok(Text::of(number, &String::from_utf8_lossy(&bytes)))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{}{number}{}", NAME.0, NAME.1))
    }
}

impl Text {
    /// What is known of the life, a line each.
    fn head(&self) -> String {
        let Self { number, date, seed, voice, tokens, seconds, rate, .. } = self;
        let known = [
            ("life", Some(number.to_string())),
            ("date", Some(date.clone()).filter(|date| !date.is_empty())),
            ("seed", seed.map(|seed| seed.to_string())),
            ("voice", voice.clone()),
            ("tokens", tokens.map(|(used, size)| format!("{used} of {size}"))),
            // Whole: a figure that is rounded twice is another one on the receipt printed again.
            ("seconds", Some(seconds.to_string())),
            ("tokens/s", Some(rate.to_string())),
        ];
        known.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}\n", value?))).collect()
    }

    fn of(number: u64, text: &str) -> Self {
        let (head, words) = text.split_once("\n\n").unwrap_or((text, ""));
        let head: BTreeMap<_, _> = head.lines().filter_map(|line| line.split_once(": ")).collect();
        let get = |name: &str| head.get(name).copied();
        let figure = |name| get(name).and_then(|value| value.parse().ok()).unwrap_or_default();
        let tokens = get("tokens").and_then(|value| value.split_once(" of "));
        Self {
            number,
            date: get("date").unwrap_or_default().to_owned(),
            seed: get("seed").and_then(|seed| seed.parse().ok()),
            voice: get("voice").map(str::to_owned),
            tokens: tokens.and_then(|(used, size)| Some((used.parse().ok()?, size.parse().ok()?))),
            seconds: figure("seconds"),
            rate: figure("tokens/s"),
            words: words.trim_end().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_as_it_was_and_only_the_last_ones_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let texts = Texts::within(folder.path(), 3);
        let text = |number| Text {
            number,
            date: "2026-11-24T10:30".to_owned(),
            seed: Some(7),
            voice: Some("voice.gguf".to_owned()),
            tokens: Some((1945, 2048)),
            seconds: 0.850_213,
            rate: 1_144.149_7,
            words: "I begin: here.\n\nlife: 4".to_owned(),
        };
        for number in [8, 9, 10, 11] {
            texts.keep(&text(number)).expect("kept");
        }
        assert_eq!(texts.numbers(), [9, 10, 11]);
        assert_eq!(texts.read(10).expect("a text"), text(10));
        let interrupted = Text { number: 12, words: "I".to_owned(), ..Text::default() };
        texts.keep(&interrupted).expect("kept");
        assert_eq!(texts.read(12).expect("a text"), interrupted);
        let told = texts.read(9).expect_err("removed").to_string();
        assert_eq!(told, "no text of life 9 is kept, but 3 from life 10 to 12; name another one");
        texts.keep(&text(1)).expect("kept");
        assert_eq!(texts.numbers(), [1], "the history was begun anew");
    }
}
