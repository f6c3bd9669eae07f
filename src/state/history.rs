//! The history of lives: one line a life in `lives.csv`, with all that a later
//! reader needs to compare lives or to live one again.
//!
//! A line is appended with one write and an fsync when its life has ended, and
//! never changed. A file may have 1 MB: before a line would make it longer, it
//! is renamed to `lives.1.csv`, in place of the older one, and a new one begun.
//! A power cut may leave a torn line at the end; the next line begins after it,
//! and whoever reads skips it.

use std::fs;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use csv::{ReaderBuilder, StringRecord, WriterBuilder};

use super::folder::StateFolder;
use super::regular;
use super::replace::put_in_place;

/// The file, and the older one.
const FILE: &str = "lives.csv";
const OLDER: &str = "lives.1.csv";

/// The greatest length of the file, in bytes: some 2,900 lives with the
/// exhibition's options, and little beside the model on the SD card.
const MAX_LENGTH: u64 = 1_000_000;

/// The longest model name and message that are kept, in bytes.
const SHORT: usize = 500;

/// The longest options that are kept, in bytes. Longer ones are replaced by
/// [`NOT_KEPT`]: a part of them would live another life.
const MAX_OPTIONS: usize = 8_000;
const NOT_KEPT: &str = "(too long to be kept)";

/// The first line: the names of the columns.
const COLUMNS: [&str; 15] = [
    "number",
    "date",
    "model",
    "model_fingerprint",
    "prompt_hash",
    "seed",
    "options",
    "tokens",
    "seconds",
    "tokens_per_second",
    "hottest_celsius",
    "throttled",
    "printer",
    "ending",
    "fault",
];

/// How the printer was at the end of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaperEnd {
    /// There was none.
    None,
    /// The receipt was printed to its end.
    Whole,
    /// It was lost.
    Lost,
    /// The receipt has no end.
    CutOff,
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 95 % of the context was used.
    Death,
    /// A signal ended it.
    Interrupted,
    /// A fault ended it.
    Fault,
    /// Nobody read stdout any more.
    Unheard,
    /// The program had no time to say how: SIGKILL, a power cut, a second
    /// signal, a bug, or a failure inside llama.cpp.
    Killed,
}

/// The words of the column `printer`.
const PAPER_ENDS: [(PaperEnd, &str); 4] = [
    (PaperEnd::None, "none"),
    (PaperEnd::Whole, "whole"),
    (PaperEnd::Lost, "lost"),
    (PaperEnd::CutOff, "cut off"),
];

/// The words of the column `ending`.
const OUTCOMES: [(Outcome, &str); 5] = [
    (Outcome::Death, "death"),
    (Outcome::Interrupted, "interrupted"),
    (Outcome::Fault, "fault"),
    (Outcome::Unheard, "unheard"),
    (Outcome::Killed, "killed"),
];

/// What a life was, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Course {
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

/// One life. What is not known is empty or `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// When it began: the local date and time as in ISO 8601.
    pub date: String,
    /// The model's name.
    pub model: String,
    /// What tells the model's file from others.
    pub fingerprint: String,
    /// What tells the prompt from others.
    pub prompt: String,
    /// The seed; `None` if the life was greedy.
    pub seed: Option<u32>,
    /// The command line that asks for its text, without defaults.
    pub options: String,
    /// What it was in numbers.
    pub course: Course,
    /// How the printer was at its end.
    pub paper: Option<PaperEnd>,
    /// How it ended; `None` if it has not.
    pub outcome: Option<Outcome>,
    /// The message of the fault that ended it.
    pub fault: String,
}

impl Entry {
    /// The line of this life, without a newline; it holds none.
    pub(super) fn to_line(&self) -> io::Result<String> {
        fn number<T: ToString>(value: Option<T>) -> String {
            value.map_or_else(String::new, |value| value.to_string())
        }
        let decimals =
            |value: Option<f64>, decimals: usize| number(value.map(|value| format!("{value:.decimals$}")));
        let options = match self.options.len() {
            0..=MAX_OPTIONS => one_line(&self.options),
            _ => NOT_KEPT.to_owned(),
        };
        let fields: [String; COLUMNS.len()] = [
            self.number.to_string(),
            short(&self.date),
            short(&self.model),
            short(&self.fingerprint),
            short(&self.prompt),
            number(self.seed),
            options,
            number(self.course.tokens),
            decimals(self.course.seconds, 2),
            decimals(self.course.rate, 2),
            decimals(self.course.celsius, 1),
            number(self.course.throttled.map(|bits| format!("{bits:#x}"))),
            number(self.paper.and_then(|paper| word(&PAPER_ENDS, paper))),
            number(self.outcome.and_then(|outcome| word(&OUTCOMES, outcome))),
            short(&self.fault),
        ];
        csv_line(&fields)
    }

    /// The life of a line; `None` if the line is torn or none of these.
    pub(super) fn from_line(line: &[u8]) -> Option<Self> {
        // A field that is empty is not known; any other must be sound.
        fn known<T>(field: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
            if field.is_empty() { Some(None) } else { parse(field).map(Some) }
        }
        let mut reader =
            ReaderBuilder::new().has_headers(false).buffer_capacity(line.len().max(1)).from_reader(line);
        let mut record = StringRecord::new();
        if !reader.read_record(&mut record).ok()? || record.len() != COLUMNS.len() {
            return None;
        }
        let decimal = |text: &str| text.parse().ok();
        let hex = |text: &str| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        Some(Self {
            number: record[0].parse().ok()?,
            date: record[1].to_owned(),
            model: record[2].to_owned(),
            fingerprint: record[3].to_owned(),
            prompt: record[4].to_owned(),
            seed: known(&record[5], |text| text.parse().ok())?,
            options: record[6].to_owned(),
            course: Course {
                tokens: known(&record[7], |text| text.parse().ok())?,
                seconds: known(&record[8], decimal)?,
                rate: known(&record[9], decimal)?,
                celsius: known(&record[10], decimal)?,
                throttled: known(&record[11], hex)?,
            },
            paper: known(&record[12], |text| named(&PAPER_ENDS, text))?,
            outcome: known(&record[13], |text| named(&OUTCOMES, text))?,
            fault: record[14].to_owned(),
        })
    }

    /// Whether `other` is an entry of the same life. A number alone may occur
    /// twice: a damaged record, and a history that is gone too, count from 1 again.
    pub(super) fn is_of_the_life_of(&self, other: &Self) -> bool {
        let key = |entry: &Self| (entry.number, entry.date.clone(), entry.seed, entry.options.clone());
        key(self) == key(other)
    }

    /// Checks that the present model and prompt are those of this life.
    /// `model` is the present model's name.
    ///
    /// # Errors
    ///
    /// When they are others; the message has the value then and now.
    pub(crate) fn check(&self, model: &str, fingerprint: &str, prompt: &str) -> Result<()> {
        let Self { number, .. } = self;
        ensure!(
            self.fingerprint == fingerprint,
            "life {number} was lived by another model: its fingerprint was {:?}, and that of {model} is \
             {fingerprint:?}; put the file of that time back, or name another life with --relive",
            self.fingerprint
        );
        ensure!(
            self.prompt == prompt,
            "life {number} was lived with another prompt: its hash was {:?}, and now it is {prompt:?}; put \
             the prompt of that time back, or name another life with --relive",
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

/// The text on one line, without control characters.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The text on one line, with single spaces, and cut where it is too long.
pub(super) fn short(text: &str) -> String {
    let line = one_line(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut end = line.len().min(SHORT);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].to_owned()
}

/// The number with which a line begins, and its bytes from the date on. `None` where
/// that is not certain without a reader of CSV: a number or a date in quotation marks,
/// the line of the columns, anything odd.
fn begin(line: &[u8]) -> Option<(u64, &[u8])> {
    let comma = line.iter().position(|&byte| byte == b',')?;
    let (number, date) = (&line[..comma], &line[comma + 1..]);
    let is_plain = number.iter().all(u8::is_ascii_digit) && date.first() != Some(&b'"');
    let number = str::from_utf8(number).ok().filter(|_| is_plain)?;
    Some((number.parse().ok()?, date))
}

/// The fields as a line, quoted where they have to be.
fn csv_line<T: AsRef<[u8]>>(fields: &[T]) -> io::Result<String> {
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(fields)?;
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}

/// The history in a state folder.
#[derive(Debug)]
pub struct History(PathBuf);

impl History {
    /// The history in this state folder.
    #[must_use]
    pub fn within(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The history in `folder`, for `--relive`.
    ///
    /// # Errors
    ///
    /// When there is no folder.
    pub(crate) fn of(folder: Option<&StateFolder>) -> Result<Self> {
        let folder = folder.context("no home to find earlier lives in; name a folder with --state-dir")?;
        Ok(Self::within(folder.path()))
    }

    /// The file of the history in this state folder.
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Appends a life. Only one process at a time may do so.
    ///
    /// # Errors
    ///
    /// When it cannot be written. The file is then as it was.
    pub(super) fn append(&self, entry: &Entry) -> io::Result<()> {
        let path = self.0.join(FILE);
        let line = entry.to_line()? + "\n";
        let mut file = regular::append(&path)?;
        let mut length = file.metadata()?.len();
        if length > 0 && length + line.len() as u64 > MAX_LENGTH {
            put_in_place(&path, &self.0.join(OLDER))?;
            file = regular::append(&path)?;
            length = 0;
        }
        let mut last = [b'\n'];
        let text = if length == 0 {
            csv_line(&COLUMNS)? + "\n" + &line
        } else {
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last)?;
            // After a torn line.
            if last == *b"\n" { line } else { format!("\n{line}") }
        };
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        if written.is_err() {
            let _ = file.set_len(length);
        } else if length == 0 {
            // The name of a new file survives a power cut too.
            fs::File::open(&self.0)?.sync_all()?;
        }
        written
    }

    /// All lives that can be read, the oldest first.
    ///
    /// # Errors
    ///
    /// When a file is there and cannot be read.
    pub fn read(&self) -> io::Result<Vec<Entry>> {
        self.selected(|_, _| true, |_| true)
    }

    /// The lives with this number, the oldest first. Far cheaper than
    /// [`History::read`], as are the two that follow.
    ///
    /// # Errors
    ///
    /// As [`History::read`].
    pub fn numbered(&self, number: u64) -> io::Result<Vec<Entry>> {
        self.selected(|other, _| other == number, |entry| entry.number == number)
    }

    /// The lives that began on this date, as 2026-11-24, the oldest first.
    ///
    /// # Errors
    ///
    /// As [`History::read`].
    pub fn on(&self, date: &str) -> io::Result<Vec<Entry>> {
        self.selected(|_, other| other.starts_with(date.as_bytes()), |entry| entry.date.starts_with(date))
    }

    /// The greatest number of a life.
    ///
    /// # Errors
    ///
    /// As [`History::read`].
    pub fn greatest(&self) -> io::Result<Option<u64>> {
        let mut greatest = None;
        for bytes in self.files()?.iter().rev() {
            // Mostly the last line has it, and no other needs to be read.
            for line in bytes.rsplit(|&byte| byte == b'\n') {
                let beaten = begin(line).is_some_and(|(number, _)| Some(number) <= greatest);
                let entry = if beaten { None } else { Entry::from_line(line.trim_ascii_end()) };
                greatest = greatest.max(entry.map(|entry| entry.number));
            }
        }
        Ok(greatest)
    }

    /// The lives that are `wanted`, the oldest first. Of a line that begins as nearly
    /// all do, `may_be` is asked first, with the number and the bytes from the date on:
    /// to read a whole line costs a hundred times as much.
    fn selected(
        &self,
        may_be: impl Fn(u64, &[u8]) -> bool,
        wanted: impl Fn(&Entry) -> bool,
    ) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for bytes in self.files()? {
            let lines = bytes.split(|&byte| byte == b'\n');
            let lines = lines.filter(|line| begin(line).is_none_or(|(number, date)| may_be(number, date)));
            let read = lines.filter_map(|line| Entry::from_line(line.trim_ascii_end()));
            entries.extend(read.filter(&wanted));
        }
        Ok(entries)
    }

    /// The bytes of the older file and of the present one.
    fn files(&self) -> io::Result<[Vec<u8>; 2]> {
        let read = |name| match regular::read(&self.0.join(name), 2 * MAX_LENGTH) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        };
        Ok([read(OLDER)?, read(FILE)?])
    }

    /// The last life with this number, for `--relive`.
    ///
    /// # Errors
    ///
    /// When there is none, or its options were not kept.
    pub(crate) fn find(&self, number: u64) -> Result<Entry> {
        let path = self.0.join(FILE);
        let context = || format!("cannot read {path:?}; leave out --relive");
        let Some(entry) = self.numbered(number).with_context(context)?.pop() else {
            let numbers = match self.read().with_context(context)?.as_slice() {
                [] => "no lives".to_owned(),
                [one] => format!("life {} only", one.number),
                [first, .., last] => format!("lives {} to {}", first.number, last.number),
            };
            bail!(
                "life {number} is not in {path:?}, which has {numbers}; name another one with --relive, or \
                 another folder with --state-dir"
            );
        };
        ensure!(
            entry.options != NOT_KEPT,
            "life {number} had options too long to be kept; name another one with --relive"
        );
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folder() -> (tempfile::TempDir, History) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let history = History::within(folder.path());
        (folder, history)
    }

    /// A life with the exhibition's options.
    fn life(number: u64) -> Entry {
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
            course: Course {
                tokens: Some(1945),
                seconds: Some(204.31),
                rate: Some(9.84),
                celsius: Some(71.4),
                throttled: Some(0),
            },
            paper: Some(PaperEnd::Whole),
            outcome: Some(Outcome::Death),
            fault: String::new(),
        }
    }

    fn numbers(history: &History) -> Vec<u64> {
        history.read().expect("a history").iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn a_life_is_read_as_it_was_written_and_the_first_line_names_the_columns() {
        let (folder, history) = folder();
        let fault = Entry {
            model: "\"a, \\\"b\\\".gguf\"".to_owned(),
            seed: None,
            date: String::new(),
            course: Course::default(),
            paper: None,
            outcome: Some(Outcome::Fault),
            fault: "cannot read \"x\", \"y\"; look".to_owned(),
            ..life(2)
        };
        for entry in [&life(1), &fault] {
            history.append(entry).expect("it is kept");
        }
        assert_eq!(history.read().expect("a history"), [life(1), fault]);
        let text = fs::read_to_string(folder.path().join(FILE)).expect("a file");
        assert!(text.starts_with("number,date,model,model_fingerprint,"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn ten_thousand_lives_take_two_files_of_at_most_1_mb_and_the_last_ones_are_there() {
        let (folder, history) = folder();
        for number in 1..=10_000 {
            history.append(&life(number)).expect("it is kept");
        }
        let lengths = [OLDER, FILE].map(|name| fs::metadata(folder.path().join(name)).expect("a file").len());
        assert!(lengths.iter().all(|&length| length <= MAX_LENGTH), "{lengths:?}");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
        let numbers = numbers(&history);
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a life is missing");
        assert_eq!(numbers.last(), Some(&10_000));
        let line = life(10_000).to_line().expect("a line").len() as u64 + 1;
        println!("{line} bytes a life: {} lives fit in a file of {MAX_LENGTH}", MAX_LENGTH / line);
        assert!(numbers.len() as u64 > MAX_LENGTH / line, "{} lives are kept", numbers.len());
    }

    #[test]
    fn a_line_torn_at_any_byte_costs_no_other_life() {
        let whole = life(2).to_line().expect("a line");
        for torn in 0..whole.len() {
            let (folder, history) = folder();
            history.append(&life(1)).expect("it is kept");
            let mut file = regular::append(&folder.path().join(FILE)).expect("the file");
            file.write_all(&whole.as_bytes()[..torn]).expect("it is torn");
            history.append(&life(3)).expect("it is kept");
            assert_eq!(numbers(&history), [1, 3], "torn after {torn} bytes");
        }
    }

    #[test]
    fn a_history_that_cannot_be_written_is_as_it_was() {
        let (folder, history) = folder();
        history.append(&life(1)).expect("it is kept");
        // A folder at the place of the older file, so that it cannot be
        // replaced.
        fs::create_dir_all(folder.path().join(OLDER).join("x")).expect("a folder");
        let mut file = regular::append(&folder.path().join(FILE)).expect("the file");
        file.write_all(&vec![b'\n'; MAX_LENGTH as usize - 500]).expect("a long file");
        let before = file.metadata().expect("a file").len();
        assert!(history.append(&life(2)).is_err());
        assert_eq!(file.metadata().expect("a file").len(), before);
    }

    #[test]
    fn no_value_breaks_a_line_or_makes_it_endless() {
        let (_folder, history) = folder();
        let long = "é\"\n,".repeat(100_000);
        let odd = Entry {
            model: long.clone(),
            fault: long.clone(),
            options: "--prompt-file 'a\nb'".to_owned(),
            ..life(1)
        };
        history.append(&odd).expect("it is kept");
        history.append(&Entry { options: long, ..life(2) }).expect("it is kept");
        history.append(&life(3)).expect("it is kept");
        assert_eq!(numbers(&history), [1, 2, 3]);
        let error = history.find(2).expect_err("its options are not kept").to_string();
        assert!(error.contains("life 2") && error.contains("too long"), "{error}");
        assert!(odd.to_line().expect("a line").len() < 4 * SHORT);
    }

    #[test]
    fn a_life_that_is_not_there_says_which_ones_are() {
        let (_folder, history) = folder();
        let error = |number| history.find(number).expect_err("not there").to_string();
        assert!(error(4).contains("has no lives"), "{}", error(4));
        for number in 1..=3 {
            history.append(&life(number)).expect("it is kept");
        }
        assert_eq!(history.find(2).expect("it is there").number, 2);
        assert!(error(4).contains("has lives 1 to 3; name another one with --relive"), "{}", error(4));
    }

    #[test]
    #[ignore = "measures: --ignored --nocapture"]
    fn what_it_costs_to_read_a_full_history() {
        let (folder, history) = folder();
        let entry = |number| Entry { options: "torment-nexus --model ember".to_owned(), ..life(number) };
        let mut text = csv_line(&COLUMNS).expect("a line") + "\n";
        let mut lines = 0;
        while (text.len() as u64) < MAX_LENGTH {
            lines += 1;
            text += &(entry(lines).to_line().expect("a line") + "\n");
        }
        fs::write(folder.path().join(FILE), text).expect("a file");
        let time = |what: &str, act: &dyn Fn() -> usize| {
            let start = std::time::Instant::now();
            let found = act();
            println!("{lines} lines, {what}: {found} found in {:?}", start.elapsed());
        };
        time("all", &|| history.read().expect("a history").len());
        time("of a number", &|| history.numbered(lines).expect("a history").len());
        time("of a day", &|| history.on("2026-03-03").expect("a history").len());
        time("the greatest", &|| history.greatest().expect("a history").map_or(0, |_| 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn few_lives_are_found_as_among_all_however_odd_the_lines_are(
            lines in prop::collection::vec(("[0-9]{1,2}", "(2026-03-0[12].{0,3}|[\"\r, ]{0,3})", 0..8_u8, 0..300_usize), 0..9)
        ) {
            let (folder, history) = folder();
            let odd = lines.iter().map(|(number, date, oddity, cut)| {
                let entry = Entry { date: date.clone(), ..life(number.parse().expect("a number")) };
                let line = entry.to_line().expect("a line");
                let (_, rest) = line.split_once(',').expect("fields");
                let cut = (0..=*cut.min(&line.len())).rev().find(|&cut| line.is_char_boundary(cut));
                match oddity {
                    0 => format!("\"{number}\",{rest}"),
                    1 => format!("+{number},{rest}"),
                    2 => format!("\u{feff}{number},{rest}"),
                    3 => format!("\r{number},{rest}"),
                    4 => format!("{number}\r,{rest}"),
                    5 => line[..cut.unwrap_or(0)].to_owned(),
                    6 => format!("{number},{date},{rest}"),
                    _ => line,
                }
            });
            fs::write(folder.path().join(FILE), odd.collect::<Vec<_>>().join("\n")).expect("a file");
            let all = history.read().expect("a history");
            for number in 0..100 {
                let expected: Vec<_> = all.iter().filter(|life| life.number == number).cloned().collect();
                prop_assert_eq!(history.numbered(number).expect("a history"), expected);
            }
            for date in ["2026-03-01", "2026-03-02", ""] {
                let expected: Vec<_> = all.iter().filter(|life| life.date.starts_with(date)).cloned().collect();
                prop_assert_eq!(history.on(date).expect("a history"), expected);
            }
            let greatest = all.iter().map(|life| life.number).max();
            prop_assert_eq!(history.greatest().expect("a history"), greatest);
        }

        #[test]
        fn any_bytes_are_read_as_lives_or_skipped(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let (folder, history) = folder();
            fs::write(folder.path().join(FILE), &bytes).expect("a file");
            history.append(&life(7)).expect("it is kept");
            let numbers = numbers(&history);
            prop_assert_eq!(numbers.last(), Some(&7));
        }

        #[test]
        fn any_text_of_an_option_comes_back(options in "[^\\p{Cc}]{0,200}", number: u64) {
            let entry = Entry { options, ..life(number) };
            let line = entry.to_line().expect("a line");
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(Entry::from_line(line.as_bytes()), Some(entry));
        }
    }
}
