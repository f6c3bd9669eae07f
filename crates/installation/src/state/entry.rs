//! A line of the history: what happened, in columns that a spreadsheet reads.

use std::borrow::Cow;

use anyhow::{Result, ensure};

/// The first line of a file: the names of the columns.
pub(super) const COLUMNS: &str = "number,date,model,model_fingerprint,prompt_hash,seed,options,tokens,seconds,\
                                  tokens_per_second,hottest_celsius,throttled,printer,ending,fault";

/// The longest text that is kept, in bytes.
const SHORT: usize = 500;

/// The longest options that are kept, in bytes. Longer ones are replaced by what no
/// version takes for options: a part of them would live another life.
const MAX_OPTIONS: usize = 8_000;
const NOT_KEPT: &str = "(too long to be kept)";

/// How the printer was at the end of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaperEnd {
    /// There was none.
    None,
    /// The receipt was printed to its end.
    Whole,
    /// It was lost.
    Lost,
    /// It was lost because it had no paper, and no new roll came in time.
    NoPaper,
    /// The receipt has no end.
    CutOff,
}

/// How a life ended, or what else a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 95 % of the context was used.
    Death,
    /// A signal ended it.
    Interrupted,
    /// A fault ended it, or came before it had begun.
    Fault,
    /// Nobody read stdout any more.
    Unheard,
    /// No life: the technician's slip.
    Slip,
    /// No life: the system was started before the next line, and had so many lives
    /// before. The fault is the kernel's id of the boot.
    Boot,
}

/// The words of the column `printer`.
const PAPER_ENDS: [(PaperEnd, &str); 5] = [
    (PaperEnd::None, "none"),
    (PaperEnd::Whole, "whole"),
    (PaperEnd::Lost, "lost"),
    (PaperEnd::NoPaper, "no paper"),
    (PaperEnd::CutOff, "cut off"),
];

/// The words of the column `ending`.
const OUTCOMES: [(Outcome, &str); 6] = [
    (Outcome::Death, "death"),
    (Outcome::Interrupted, "interrupted"),
    (Outcome::Fault, "fault"),
    (Outcome::Unheard, "unheard"),
    (Outcome::Slip, "slip"),
    (Outcome::Boot, "boot"),
];

/// What a life was, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Tokens used, prompt included.
    pub tokens: Option<u32>,
    /// Its length in seconds.
    pub seconds: Option<f64>,
    /// Tokens a second, without the waits for the printer.
    pub rate: Option<f64>,
    /// The hottest that the processor was, in °C.
    pub celsius: Option<f64>,
    /// All of the low 16 bits of `get_throttled` that were ever set.
    pub throttled: Option<u32>,
}

/// What a line tells. What is not known is empty or `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// The number of the life; 0 where it is of none.
    pub number: u64,
    /// When the life began: the local date and time as in ISO 8601.
    pub date: String,
    /// The model's name.
    pub model: String,
    /// What tells the model's file from others.
    pub fingerprint: String,
    /// What tells the prompt from others.
    pub prompt: String,
    /// The seed; `None` if the life was greedy.
    pub seed: Option<u32>,
    /// The command line that asks for its text, with the version that lived it as a comment.
    pub options: String,
    /// What it was in numbers.
    pub figures: Figures,
    /// How the printer was at its end; `None` if a receipt was begun.
    pub paper: Option<PaperEnd>,
    /// How it ended; `None` if it was born.
    pub outcome: Option<Outcome>,
    /// The message of the fault that ended it.
    pub fault: String,
}

impl Entry {
    /// The line, with its newline.
    pub(super) fn to_line(&self) -> String {
        fn text<T: ToString>(value: Option<T>) -> String {
            value.map_or_else(String::new, |value| value.to_string())
        }
        let decimals = |value: Option<f64>, places| text(value.map(|value| format!("{value:.places$}")));
        let Figures { tokens, seconds, rate, celsius, throttled } = self.figures;
        let options = if self.options.len() > MAX_OPTIONS { NOT_KEPT } else { &self.options };
        let fields = [
            text(Some(self.number).filter(|&number| number > 0)),
            short(&self.date),
            short(&self.model),
            short(&self.fingerprint),
            short(&self.prompt),
            text(self.seed),
            pictured(options),
            text(tokens),
            decimals(seconds, 2),
            decimals(rate, 2),
            decimals(celsius, 1),
            text(throttled.map(|bits| format!("{bits:#x}"))),
            text(self.paper.and_then(|paper| word(&PAPER_ENDS, paper))),
            text(self.outcome.map(|_| self.ending())),
            short(&self.fault),
        ];
        fields.map(|field| quoted(&field)).join(",") + "\n"
    }

    /// What a line without its newline tells; `None` if it is torn or damaged.
    pub(super) fn from_line(line: &str) -> Option<Self> {
        let fields = fields(line).filter(|fields| fields.len() == COLUMNS.split(',').count())?;
        let mut fields = fields.into_iter();
        let mut next = || fields.next();
        let hex = |text: &str| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        Some(Self {
            number: match &*next()? {
                "" => 0,
                number => number.parse().ok()?,
            },
            date: next()?.into_owned(),
            model: next()?.into_owned(),
            fingerprint: next()?.into_owned(),
            prompt: next()?.into_owned(),
            seed: next()?.parse().ok(),
            options: unpictured(&next()?),
            figures: Figures {
                tokens: next()?.parse().ok(),
                seconds: next()?.parse().ok(),
                rate: next()?.parse().ok(),
                celsius: next()?.parse().ok(),
                throttled: hex(&next()?),
            },
            paper: named(&PAPER_ENDS, &next()?),
            outcome: match &*next()? {
                "" => None,
                word => Some(named(&OUTCOMES, word)?),
            },
            fault: next()?.into_owned(),
        })
    }

    /// How the life ended, in a word of the column `ending`.
    #[must_use]
    pub fn ending(&self) -> &'static str {
        self.outcome.and_then(|outcome| word(&OUTCOMES, outcome)).unwrap_or("no end")
    }

    /// Checks that the present model and prompt are those of this life.
    /// `model` is the present model's name.
    ///
    /// # Errors
    ///
    /// When they are others; the message has the value then and now.
    pub fn check(&self, model: &str, fingerprint: &str, prompt: &str) -> Result<()> {
        let Self { number, .. } = self;
        ensure!(
            self.fingerprint == fingerprint,
            "life {number} was lived by another model: its fingerprint was {:?}, and that of {model} is \
             {fingerprint:?}; put the file of that time back, or relive another life",
            self.fingerprint
        );
        ensure!(
            self.prompt == prompt,
            "life {number} was lived with another prompt or list of words: its hash was {:?}, and now it is \
             {prompt:?}; put the text of that time back, or relive another life",
            self.prompt
        );
        Ok(())
    }
}

fn word<T: PartialEq>(words: &[(T, &'static str)], value: T) -> Option<&'static str> {
    words.iter().find(|(one, _)| *one == value).map(|(_, word)| *word)
}

fn named<T: Copy>(words: &[(T, &str)], name: &str) -> Option<T> {
    words.iter().find(|(_, word)| *word == name).map(|(value, _)| *value)
}

/// The text on one line, with single spaces, and cut where it is too long.
pub(super) fn short(text: &str) -> String {
    let line = text.replace(char::is_control, " ").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut end = line.len().min(SHORT);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].to_owned()
}

/// The text with the pictures of its control characters (U+2400 and on): a path may hold
/// some, and no line of the history does.
fn pictured(text: &str) -> String {
    let picture = |letter: char| match letter {
        '\0'..' ' => char::from_u32(0x2400 + letter as u32).unwrap_or(' '),
        other if other.is_control() => ' ',
        other => other,
    };
    text.chars().map(picture).collect()
}

fn unpictured(text: &str) -> String {
    let letter =
        |letter| if ('\u{2400}'..'\u{2420}').contains(&letter) { char::from(letter as u8) } else { letter };
    text.chars().map(letter).collect()
}

/// The field, in quotation marks where it has to be.
fn quoted(field: &str) -> String {
    match field.contains([',', '"']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

/// The fields of a line; `None` if a quotation does not end before a comma.
fn fields(mut line: &str) -> Option<Vec<Cow<'_, str>>> {
    let mut fields = Vec::with_capacity(16);
    loop {
        let length = if let Some(quoted) = line.strip_prefix('"') {
            // Two marks inside a quotation stand for one.
            let mut end = quoted.find('"')?;
            while quoted[end + 1..].starts_with('"') {
                end += 2 + quoted[end + 2..].find('"')?;
            }
            fields.push(quoted[..end].replace("\"\"", "\"").into());
            end + 2
        } else {
            let end = line.find(',').unwrap_or(line.len());
            fields.push(line[..end].into());
            end
        };
        match line[length..].strip_prefix(',') {
            Some(rest) => line = rest,
            None => return (length == line.len()).then_some(fields),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A life with the exhibition's options, to its death.
    pub(in crate::state) fn life(number: u64) -> Entry {
        Entry {
            number,
            date: "2026-03-02T01:05:00+01:00".to_owned(),
            model: "\"models/SmolLM2-135M-Instruct-Q4_K_M.gguf\"".to_owned(),
            fingerprint: "0123456789abcdef".to_owned(),
            prompt: "fedcba9876543210".to_owned(),
            seed: Some(3_141_592_653),
            options: "torment-nexus --opening 'I woke in a small box.' --temp 0.8 --subject \
                      box,memory,paper,words,word,light,button,end,strip,I,my --ban \
                      '\"“”*#:[]{}<>|_=()' --seed 3141592653"
                .to_owned(),
            figures: Figures {
                tokens: Some(1945),
                seconds: Some(204.31),
                rate: Some(9.84),
                celsius: Some(71.4),
                throttled: Some(4),
            },
            paper: Some(PaperEnd::Whole),
            outcome: Some(Outcome::Death),
            fault: String::new(),
        }
    }

    /// The line with which that life began.
    pub(in crate::state) fn birth(number: u64) -> Entry {
        Entry { figures: Figures::default(), paper: None, outcome: None, ..life(number) }
    }

    fn read(line: &str) -> Option<Entry> {
        Entry::from_line(line.strip_suffix('\n')?)
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let fault = Entry {
            outcome: Some(Outcome::Fault),
            paper: Some(PaperEnd::CutOff),
            fault: "cannot read \"x\", \"y\"; look".to_owned(),
            ..birth(2)
        };
        let slip = Entry { outcome: Some(Outcome::Slip), ..Entry::default() };
        for entry in [life(1), birth(1), fault, slip] {
            assert_eq!(read(&entry.to_line()), Some(entry));
        }
    }

    #[test]
    fn no_value_breaks_a_line_or_makes_it_endless() {
        let long = "é\"\n,".repeat(100_000);
        let odd = Entry { model: long.clone(), fault: long.clone(), ..life(1) };
        for entry in [odd, Entry { options: long, ..life(1) }] {
            let line = entry.to_line();
            assert!(line.len() < 4 * SHORT && line.lines().count() == 1, "{line}");
            assert_eq!(read(&line).map(|entry| entry.number), Some(1));
        }
    }

    #[test]
    fn a_line_with_other_columns_or_an_unknown_ending_is_none() {
        let line = life(7).to_line();
        for other in [line.replace(",0x4,", ","), line.replace("death", "born"), line.replace("7,", "x,")] {
            assert_eq!(read(&other), None, "{other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_of_an_option_comes_back(options in "[^\u{7f}-\u{9f}\u{2400}-\u{241f}]{0,200}|[\u{0}-\u{1f}]{9}", number: u64) {
            let entry = Entry { options, ..life(number) };
            let line = entry.to_line();
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(read(&line), Some(entry));
        }
    }
}
