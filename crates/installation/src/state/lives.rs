//! The history of lives: one file of lines that are only ever appended. A life has a
//! line when it begins and one when it ends; [`Record`] says what they come to.
//!
//! - A line is one write and one fsync. No number is shown before its line is on the
//!   card, so none is given twice.
//! - A power cut may tear the last line. The next one begins after it, and whoever
//!   reads skips it; if its number is lost, that number is left out.
//! - A file that has 2 MB gets no more lines: it is renamed to `lives.1.csv`, in place
//!   of the older one, and a new one begun. The first line of a file, and the first since
//!   the system was started, is a [`Outcome::Boot`], which has the last number.
//! - A life without an end was killed, or still lasts.
//!
//! A start that is ended by a signal before its life or its fault is not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access};

use super::entry::{COLUMNS, Entry, Figures, Outcome, PaperEnd, short};
use super::folder::StateFolder;
use super::record::{Record, entry_of};
use super::regular;
use super::replace::put_in_place;
use crate::board::{boot, clock};
use crate::text::fault::one_line;
use crate::text::stderr::warn;

/// The file, the older one, and the one that a process locks while it appends.
const FILE: &str = "lives.csv";
const OLDER: &str = "lives.1.csv";
const LOCK: &str = "lives.lock";

/// The length of a file in bytes, after which a new one is begun: some 1,700 lives with
/// the exhibition's options, and little beside the model on the SD card.
const MAX_LENGTH: u64 = 2_000_000;

/// The longest file that is read: no other was written here.
const TOO_LONG: u64 = 2 * MAX_LENGTH;

/// After so many starts in vain, a fault that only repeats the last one is not noted:
/// one every five seconds would push all lives out of the file in a day.
const MANY_STARTS: u64 = 100;

/// How often, and after what pause, the lock is tried. A process holds it only
/// for the time that an SD card takes to write a page.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The history of lives in the state folder. All clones belong to one run of the
/// program, which lives at most one life.
#[derive(Debug, Clone)]
pub struct Lives {
    folder: PathBuf,
    /// What is known of this run's life before it begins.
    about: Entry,
    /// The line with which it began, once it has.
    birth: Arc<OnceLock<Entry>>,
}

impl Lives {
    /// The history in a state folder.
    #[must_use]
    pub fn within(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), about: Entry::default(), birth: Arc::default() }
    }

    /// The history in `folder`; `None`, with a warning, if there is no folder or
    /// lives cannot be kept there.
    #[must_use]
    pub(crate) fn open(folder: Option<&StateFolder>) -> Option<Self> {
        let Some(folder) = folder else {
            warn("no home to keep the life number in; name a folder with --state-dir");
            return None;
        };
        let lives = Self::within(folder.path());
        lives.check().inspect_err(|error| warn(one_line(error))).ok()?;
        Some(lives)
    }

    /// Creates the directory if it is missing, and checks that lives can be kept there.
    ///
    /// # Errors
    ///
    /// When they cannot; the message names the directory and the next step.
    pub fn check(&self) -> Result<()> {
        self.lock().map(drop).with_context(|| self.failure())
    }

    /// The same without creating anything: whether a folder that may be missing, and the
    /// files in it that are there, can be written to.
    ///
    /// # Errors
    ///
    /// As [`Lives::check`].
    pub fn look(&self) -> Result<()> {
        let look = || -> io::Result<()> {
            let there = self.folder.ancestors().find(|folder| folder.exists());
            access(there.unwrap_or(Path::new(".")), AccessFlags::W_OK | AccessFlags::X_OK)?;
            for name in [FILE, OLDER, LOCK] {
                match regular::append_to(&mut File::options(), &self.folder.join(name)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        };
        look().with_context(|| self.failure())
    }

    /// What the lives so far come to.
    ///
    /// # Errors
    ///
    /// When the history is there and cannot be read.
    pub fn read(&self) -> Result<Record> {
        let mut record = self.lines().and_then(Record::of).with_context(|| self.failure())?;
        record.begin_boot(&boot::id());
        Ok(record)
    }

    /// All lives that are kept, each as its last line tells, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// As [`Lives::read`].
    pub fn all(&self) -> Result<Vec<Entry>> {
        let mut lives = BTreeMap::new();
        self.each(|life| drop(lives.insert(life.number, life)))?;
        Ok(lives.into_values().collect())
    }

    /// Calls `tell` with each line of a life.
    fn each(&self, mut tell: impl FnMut(Entry)) -> Result<()> {
        let of_life = |entry: &Entry| entry.number > 0 && entry.outcome != Some(Outcome::Boot);
        for line in self.lines().with_context(|| self.failure())? {
            let line = line.with_context(|| self.failure())?;
            if let Some(Ok(entry)) = entry_of(&line).filter(|entry| entry.as_ref().is_ok_and(of_life)) {
                tell(entry);
            }
        }
        Ok(())
    }

    /// Lives that began on this date, as 2026-11-24.
    ///
    /// # Errors
    ///
    /// As [`Lives::read`].
    pub fn on(&self, date: &str) -> Result<u32> {
        let mut numbers = BTreeSet::new();
        self.each(|life| {
            if life.date.starts_with(date) {
                numbers.insert(life.number);
            }
        })?;
        Ok(numbers.len() as u32)
    }

    /// The last life with this number in `folder`, for `relive`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn find(folder: Option<&StateFolder>, number: u64) -> Result<Entry> {
        let folder = folder.context("no home to find earlier lives in; name a folder with --state-dir")?;
        let mut lives = Self::within(folder.path()).all()?;
        let Some(at) = lives.iter().position(|life| life.number == number) else {
            let numbers = match lives.as_slice() {
                [] => "no lives".to_owned(),
                [one] => format!("life {} only", one.number),
                [first, .., last] => format!("lives {} to {}", first.number, last.number),
            };
            bail!(
                "life {number} is not in {:?}, which has {numbers}; relive another one, or \
                 another folder with --state-dir",
                folder.path().join(FILE)
            );
        };
        Ok(lives.swap_remove(at))
    }

    /// The history, for a run whose life `about` tells of.
    #[must_use]
    pub(crate) fn with(&self, about: Entry) -> Self {
        Self { about, ..self.clone() }
    }

    /// Begins this run's life, with the number after the greatest; after the greatest
    /// number there is, the number stays. Returns the record before it.
    ///
    /// # Errors
    ///
    /// When the line cannot be written, or another process keeps the folder locked; the
    /// history is then as it was.
    pub fn begin(&self) -> Result<Record> {
        let about = self.about.clone();
        let (before, birth) =
            self.append(|before| Entry { number: before.lives.saturating_add(1), ..about })?;
        // A run lives one life.
        let _ = self.birth.set(birth);
        Ok(before)
    }

    /// The number of this run's life, once it has begun.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.birth.get().map(|birth| birth.number)
    }

    /// Writes how this run's life ended, if it has begun. `fault`: the message of one.
    ///
    /// # Errors
    ///
    /// As [`Lives::begin`].
    pub fn end(&self, figures: Figures, paper: PaperEnd, outcome: Outcome, fault: &str) -> Result<()> {
        let Some(birth) = self.birth.get().cloned() else { return Ok(()) };
        let (paper, outcome) = (Some(paper), Some(outcome));
        self.append(|_| Entry { figures, paper, outcome, fault: fault.to_owned(), ..birth }).map(drop)
    }

    /// Notes a fault, unless this run's life has begun: then [`Lives::end`] has
    /// noted it.
    ///
    /// # Errors
    ///
    /// As [`Lives::begin`].
    pub(crate) fn note_fault(&self, message: &str) -> Result<()> {
        let record = self.read()?;
        let is_old = record.fault == Some(record.fault_of(0, &short(message)));
        if self.number().is_some() || is_old && record.in_vain >= MANY_STARTS {
            return Ok(());
        }
        self.append(|_| Entry { fault: message.to_owned(), ..event(Outcome::Fault) }).map(drop)
    }

    /// Notes that the receipt of a slip is begun, or printed to its end. Returns the
    /// record before it.
    ///
    /// # Errors
    ///
    /// As [`Lives::begin`].
    pub(crate) fn note_slip(&self, paper: Option<PaperEnd>) -> Result<Record> {
        self.append(|_| Entry { paper, ..event(Outcome::Slip) }).map(|(before, _)| before)
    }

    /// Appends the line that `line` makes of the record before it, and returns both.
    fn append(&self, line: impl FnOnce(&Record) -> Entry) -> Result<(Record, Entry)> {
        self.try_append(line).with_context(|| self.failure())
    }

    fn try_append(&self, line: impl FnOnce(&Record) -> Entry) -> io::Result<(Record, Entry)> {
        let _lock = self.lock()?;
        let path = self.folder.join(FILE);
        let mut file = regular::append(&path)?;
        if file.metadata()?.len() >= MAX_LENGTH {
            put_in_place(&path, &self.folder.join(OLDER))?;
            file = regular::append(&path)?;
        }
        let length = file.metadata()?.len();
        let mut record = Record::of(self.lines()?)?;
        let mut last = [0];
        let mut text = match length.checked_sub(1) {
            None => format!("{COLUMNS}\n"),
            Some(at) => {
                file.read_exact_at(&mut last, at)?;
                // After a torn line.
                if last == *b"\n" { String::new() } else { "\n".to_owned() }
            }
        };
        if record.begin_boot(&boot::id()) || length == 0 {
            let boot = record.boot.clone();
            text += &Entry { number: record.lives, fault: boot, ..event(Outcome::Boot) }.to_line();
        }
        let entry = line(&record);
        text += &entry.to_line();
        if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_data()) {
            let _ = file.set_len(length);
            return Err(error);
        }
        if length == 0 {
            // The name of a new file survives a power cut too.
            File::open(&self.folder)?.sync_all()?;
        }
        Ok((record, entry))
    }

    /// The lines of the older file and of the present one. They are read one by one: a
    /// history of 4 MB would take memory from the model at every life.
    fn lines(&self) -> io::Result<impl Iterator<Item = io::Result<String>>> {
        let files = [self.open_file(OLDER)?, self.open_file(FILE)?];
        let lines = files.into_iter().flatten().flat_map(|file| BufReader::new(file).split(b'\n'));
        Ok(lines.map(|line| Ok(String::from_utf8_lossy(&line?).into_owned())))
    }

    /// A file, for reading; `None` if it is absent.
    fn open_file(&self, name: &str) -> io::Result<Option<File>> {
        let file = match regular::open(&self.folder.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if file.metadata()?.len() >= TOO_LONG {
            return Err(io::Error::other(format!("{name} is too long to be one of its files; move it away")));
        }
        Ok(Some(file))
    }

    fn lock(&self) -> io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        let file = regular::append(&self.folder.join(LOCK))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other("another process keeps it locked"))
    }

    fn failure(&self) -> String {
        format!(
            "cannot keep the life number in state directory {:?}; name another with --state-dir",
            self.folder
        )
    }
}

/// What happens now, and is no life.
fn event(outcome: Outcome) -> Entry {
    let date = clock::stamp().unwrap_or_default();
    Entry { date, outcome: Some(outcome), paper: Some(PaperEnd::None), ..Entry::default() }
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::{birth, life};
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = folder.path().join("state");
        fs::create_dir(&state).expect("a folder");
        (folder, state)
    }

    /// Begins the life of a new run of the program; it ends when the value is
    /// dropped, as by a kill.
    fn begin(folder: &Path) -> Lives {
        let run = Lives::within(folder).with(birth(0));
        run.begin().expect("a line");
        run
    }

    fn next(folder: &Path) -> u64 {
        begin(folder).number().expect("it has begun")
    }

    fn die(run: &Lives) {
        run.end(life(0).figures, PaperEnd::Whole, Outcome::Death, "").expect("a line");
    }

    fn record(folder: &Path) -> Record {
        Lives::within(folder).read().expect("a history")
    }

    fn all(folder: &Path) -> Vec<(u64, Option<Outcome>)> {
        let lives = Lives::within(folder).all().expect("a history");
        lives.iter().map(|life| (life.number, life.outcome)).collect()
    }

    fn text(folder: &Path, name: &str) -> String {
        fs::read_to_string(folder.join(name)).expect("a file")
    }

    const DEATH: Option<Outcome> = Some(Outcome::Death);

    #[test]
    fn lives_are_counted_from_1_and_have_a_line_at_their_birth_and_one_at_their_end() {
        let (_folder, folder) = folder();
        for _ in 0..2 {
            die(&begin(&folder));
        }
        drop(begin(&folder));
        assert_eq!((next(&folder), record(&folder).lives), (4, 4));
        assert_eq!(all(&folder), [(1, DEATH), (2, DEATH), (3, None), (4, None)]);
        let text = text(&folder, FILE);
        let [columns, boot, lives @ ..] = &text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert!(*columns == COLUMNS && boot.contains(",boot,"), "{text}");
        assert_eq!(
            lives,
            [birth(1), life(1), birth(2), life(2), birth(3), birth(4)]
                .map(|l| l.to_line().trim_end().to_owned())
        );
        let mut files: Vec<_> =
            fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
        files.sort();
        assert_eq!(files, [FILE, LOCK]);
    }

    #[test]
    fn after_the_greatest_number_it_stays_and_never_begins_again() {
        let (_folder, folder) = folder();
        fs::write(folder.join(FILE), life(u64::MAX).to_line()).expect("a file");
        assert_eq!((next(&folder), next(&folder)), (u64::MAX, u64::MAX));
    }

    #[test]
    fn a_pipe_a_device_or_a_huge_file_in_place_of_a_file_is_an_error_at_once() {
        for name in [FILE, OLDER, LOCK] {
            let (_folder, folder) = folder();
            nix::unistd::mkfifo(&folder.join(name), nix::sys::stat::Mode::S_IRWXU).expect("a named pipe");
            let error = Lives::within(&folder).begin().expect_err("a pipe");
            assert!(format!("{error:#}").contains("--state-dir"), "{name}: {error:#}");
        }
        let (_folder, folder) = folder();
        File::create(folder.join(FILE))
            .and_then(|file| file.set_len(3 << 30))
            .expect("a sparse file of 3 GiB");
        for error in [
            Lives::within(&folder).read().expect_err("huge"),
            Lives::within(&folder).begin().expect_err("huge"),
        ] {
            assert!(format!("{error:#}").contains("too long"), "{error:#}");
        }
    }

    #[test]
    fn a_killed_life_can_be_lived_again_and_two_programs_at_once_write_their_own_ends() {
        let (_folder, folder) = folder();
        let (first, second) = (begin(&folder), begin(&folder));
        die(&second);
        die(&first);
        drop(begin(&folder));
        assert_eq!(all(&folder), [(1, DEATH), (2, DEATH), (3, None)]);
        let state = StateFolder::locate(Some(&folder));
        assert_eq!(Lives::find(state.as_ref(), 3).expect("it has its line"), birth(3));
    }

    #[test]
    fn the_end_of_a_life_is_kept_for_the_next_one_and_for_the_slip() {
        let (_folder, folder) = folder();
        let run = begin(&folder);
        assert!(record(&folder).receipt_open);
        die(&run);
        let before = record(&folder);
        assert_eq!((before.rate, before.throttled, before.receipt_open), (Some(9.84), Some(4), false));
        assert_eq!((before.starts, before.fault), (1, None));
        let run = begin(&folder);
        let figures = Figures { throttled: Some(1), rate: Some(2.0), ..Figures::default() };
        run.end(figures, PaperEnd::Lost, Outcome::Fault, "it broke; mend it").expect("a line");
        run.note_fault("the same again").expect("a line");
        let after = record(&folder);
        assert_eq!((after.rate, after.throttled, after.receipt_open), (Some(9.84), Some(5), true));
        assert_eq!(after.fault.expect("a fault").words, "life 2: it broke; mend it");
        Lives::within(&folder).note_fault("no model\nat all").expect("a line");
        assert_eq!(record(&folder).fault.expect("a fault").words, "before life 3: no model at all");
        assert_eq!((record(&folder).starts, all(&folder).len()), (3, 2), "a start, and no life");
    }

    #[test]
    fn a_fault_that_comes_again_and_again_fills_no_file() {
        let (_folder, folder) = folder();
        let note = |fault: &str| Lives::within(&folder).note_fault(fault).expect("a line");
        (0..2 * MANY_STARTS).for_each(|_| note("no model"));
        assert_eq!(record(&folder).starts, MANY_STARTS);
        note("another");
        assert_eq!(record(&folder).fault.expect("a fault").words, "before life 1: another");
    }

    #[test]
    fn a_full_file_is_followed_by_another_and_the_number_goes_on_even_if_nothing_but_faults_came() {
        let (_folder, folder) = folder();
        let full = |entry: &dyn Fn(u64) -> Entry| {
            let mut text = COLUMNS.to_owned() + "\n";
            let mut number = 0;
            while (text.len() as u64) < MAX_LENGTH {
                number += 1;
                text += &(birth(number).to_line() + &entry(number).to_line());
            }
            (number, text)
        };
        let (number, lives) = full(&life);
        println!("{number} lives fit in a file of {MAX_LENGTH} bytes");
        fs::write(folder.join(FILE), lives).expect("a file");
        die(&begin(&folder));
        assert_eq!(all(&folder).last(), Some(&(number + 1, DEATH)));
        assert_eq!(all(&folder).len() as u64, number + 1);
        assert_eq!(text(&folder, FILE).lines().count(), 4, "columns, boot, birth, end");
        for _ in 0..3 {
            let fault = Entry { fault: "x".repeat(400), ..event(Outcome::Fault) }.to_line();
            let faults = fault.repeat(MAX_LENGTH as usize / fault.len() + 1);
            fs::write(folder.join(FILE), text(&folder, FILE) + &faults).expect("a file");
            Lives::within(&folder).note_fault("another").expect("a line");
        }
        assert_eq!(next(&folder), number + 2);
    }

    #[test]
    fn a_history_that_cannot_be_written_is_as_it_was() {
        let (_folder, folder) = folder();
        // A folder at the place of the older file, so that it cannot be replaced.
        fs::create_dir_all(folder.join(OLDER).join("x")).expect("a folder");
        let full = "\n".repeat(MAX_LENGTH as usize);
        fs::write(folder.join(FILE), &full).expect("a file");
        assert!(Lives::within(&folder).begin().is_err());
        assert!(text(&folder, FILE) == full);
    }

    #[test]
    fn a_torn_line_costs_no_other_life_and_no_number_comes_twice() {
        let (_folder, folder) = folder();
        die(&begin(&folder));
        let kept = text(&folder, FILE);
        for last in [birth(2), life(1)] {
            let whole = last.to_line();
            for length in (1..whole.len()).step_by(9) {
                let torn = [kept.as_bytes(), &whole.as_bytes()[..length]].concat();
                fs::write(folder.join(FILE), &torn).expect("a file");
                // Its receipt may have no end, and where its number is lost it was the next.
                let taken = if length == 1 { 2 } else { last.number };
                assert_eq!((record(&folder).lives, record(&folder).receipt_open), (taken, true), "{torn:?}");
                let number = next(&folder);
                assert!(number > last.number, "life {number} again after {torn:?}");
                assert!(
                    [(1, DEATH), (number, None)].iter().all(|life| all(&folder).contains(life)),
                    "{torn:?}"
                );
            }
        }
    }

    #[test]
    fn two_at_once_never_get_the_same_number() {
        let (_folder, folder) = folder();
        let lives = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..10).map(|_| next(&folder)).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("it counts")).collect::<HashSet<_>>()
        });
        assert_eq!(lives, (1..=40).collect());
    }

    #[test]
    fn a_directory_that_cannot_be_made_says_what_to_do() {
        let (_folder, folder) = folder();
        fs::write(folder.join("file"), "").expect("a file");
        let error = Lives::within(&folder.join("file/state")).check().expect_err("it lies in a file");
        let words = format!("{error:#}");
        assert!(words.contains("file/state") && words.contains("--state-dir"), "{words}");
    }

    #[test]
    fn a_life_that_is_not_there_says_which_ones_are() {
        let (_folder, folder) = folder();
        let error = || {
            Lives::find(StateFolder::locate(Some(&folder)).as_ref(), 4).expect_err("not there").to_string()
        };
        assert!(error().contains("has no lives"), "{}", error());
        (0..3).for_each(|_| drop(begin(&folder)));
        assert!(error().contains("has lives 1 to 3; relive another one"), "{}", error());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn among_any_bytes_the_next_number_is_higher_than_each_that_can_be_read(
            pieces in prop::collection::vec((0..200_u64, 0..4, prop::collection::vec(any::<u8>(), 0..60)), 0..9),
            name in prop::sample::select(vec![FILE, OLDER]),
        ) {
            let (_folder, folder) = folder();
            let boot = Entry { fault: boot::id(), ..event(Outcome::Boot) };
            let (mut bytes, mut greatest) = (boot.to_line().into_bytes(), 0);
            for (number, kind, noise) in pieces {
                match kind {
                    0 => bytes.extend(birth(number).to_line().into_bytes()),
                    1 => bytes.extend(life(number).to_line().into_bytes()),
                    2 => bytes.extend(&life(number).to_line().as_bytes()[..noise.len()]),
                    _ => bytes.extend([b"\n", &noise[..], b"\n"].concat()),
                }
            }
            for line in String::from_utf8_lossy(&bytes).lines() {
                greatest = greatest.max(Entry::from_line(line).map_or(0, |entry| entry.number));
            }
            fs::write(folder.join(name), &bytes).expect("a file");
            let numbers = [next(&folder), next(&folder)];
            prop_assert!(numbers[0] > greatest && numbers[1] > numbers[0], "{:?} after {}", numbers, greatest);
        }
    }
}
