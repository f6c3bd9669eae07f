//! The record of lives: how many there were, and how the last one went. A file
//! of a few lines in the state folder; and beside it the history of lives.
//!
//! Each write wears the SD card, so a run of the program writes as seldom as it
//! can. (A replacement of the record is two fsyncs, see [`super::replace`].)
//!
//! | when | the record is replaced | `lives.csv` gets a line |
//! |---|---|---|
//! | a life begins | once, which also counts the start | |
//! | a life ends, in whichever way the program can still notice | once | one |
//! | the program starts after a life that could not say how it ended | | one |
//! | a fault before the life begins | once | |
//! | a slip is printed | twice, since its receipt may be cut off too | |
//!
//! A start that is ended by a signal before any of these is not counted.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::folder::StateFolder;
use super::history::{Course, Entry, History, Outcome, PaperEnd};
use super::record::{self, Fault, Record};
use super::regular;
use super::replace::replace;
use crate::board::boot;
use crate::text::stderr::warn;

/// The record, and the file that a process locks while it changes the record.
const FILE: &str = "lives";
const LOCK: &str = "lives.lock";

/// The file that a program locks until its process ends, in whichever way: if a
/// life is unended and nobody holds this lock, that life was killed.
const ALIVE: &str = "alive.lock";

/// At most so many bytes of the file are read: it has some short lines, and the
/// line of an unended life, which [`super::history`] keeps far below this.
const MAX_LENGTH: u64 = 65_536;

/// How often, and after what pause, the lock is tried. A process holds it only
/// for the time that an SD card takes to write a page.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The record of lives in the state folder. All clones belong to one run of the
/// program, which lives at most one life.
#[derive(Debug, Clone)]
pub struct Lives {
    folder: PathBuf,
    run: Arc<Run>,
}

/// What one run of the program has done.
#[derive(Debug, Default)]
struct Run {
    /// Whether its start is counted in the record.
    counted: AtomicBool,
    /// The locked file [`ALIVE`]. Of two programs that use one folder at once,
    /// only one has it, and only a kill of that one is noticed.
    alive: OnceLock<File>,
    /// What is known of its life before it begins.
    about: OnceLock<Entry>,
    /// The number of its life, once that has begun.
    number: OnceLock<u64>,
    /// Whether a damaged record was warned about.
    damage: AtomicBool,
}

/// How a life ended.
#[derive(Debug)]
pub(crate) struct End<'a> {
    pub(crate) course: Course,
    pub(crate) paper: PaperEnd,
    pub(crate) outcome: Outcome,
    /// The message of a fault.
    pub(crate) fault: Option<&'a str>,
}

impl Lives {
    /// The record in a state folder.
    #[must_use]
    pub fn within(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), run: Arc::default() }
    }

    /// The record in `folder`; `None`, with a warning, if there is no folder or
    /// the record cannot be kept there. A life that was killed gets its line in
    /// the history.
    #[must_use]
    pub(crate) fn open(folder: Option<&StateFolder>) -> Option<Self> {
        let Some(folder) = folder else {
            warn("no home to keep the life number in; name a folder with --state-dir");
            return None;
        };
        let lives = Self::within(folder.path());
        if let Err(error) = lives.check() {
            warn(format_args!("{error:#}"));
            return None;
        }
        if let Err(error) = lives.note_killed() {
            warn(format_args!("{error:#}"));
        }
        Some(lives)
    }

    /// Creates the directory if it is missing, and checks that the record can
    /// be kept there.
    ///
    /// # Errors
    ///
    /// When it cannot be kept there; the message names the directory and the
    /// next step.
    pub fn check(&self) -> Result<()> {
        self.lock().map(drop)
    }

    /// Reads the record. If the file is absent, the number goes on from the last one
    /// in the history, if there is any; likewise, with a warning, if it is damaged.
    ///
    /// # Errors
    ///
    /// When the file exists and cannot be read.
    pub fn read(&self) -> Result<Record> {
        let path = self.folder.join(FILE);
        let bytes = match regular::read(&path, MAX_LENGTH) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(self.restored()),
            Err(error) => return Err(error).with_context(|| self.failure()),
        };
        let text = String::from_utf8_lossy(&bytes);
        Ok(Record::from_text(&text).unwrap_or_else(|| {
            if !self.run.damage.swap(true, Ordering::Relaxed) {
                warn(format_args!("{path:?} is damaged; the lives are counted on from those of lives.csv"));
            }
            let restored = self.restored();
            let lives = restored.lives.max(record::lives_of_damaged(&text).unwrap_or(0));
            // The last receipt may be cut off: an unneeded gap costs 2 cm of
            // paper.
            Record { lives, receipt_open: true, ..restored }
        }))
    }

    /// The record that the history leads to, for one that is lost. Of the life that
    /// was begun last there may be no line yet, so a number is left out: no number
    /// is given twice.
    fn restored(&self) -> Record {
        let last = History::within(&self.folder).greatest().unwrap_or_default();
        Record { lives: last.map_or(0, |last| last.saturating_add(1)), ..Record::default() }
    }

    /// Lives whose line in the history has this date, as 2026-11-24.
    ///
    /// # Errors
    ///
    /// When the history cannot be read.
    pub(crate) fn on(&self, date: &str) -> Result<u32> {
        let lives = History::within(&self.folder).on(date).with_context(|| self.failure())?;
        Ok(lives.len() as u32)
    }

    /// Whether a life or a fault was noted since the system was started.
    ///
    /// # Errors
    ///
    /// When the record cannot be read.
    pub(crate) fn any_since_boot(&self) -> Result<bool> {
        let boot = boot::id();
        Ok(!boot.is_empty() && self.read()?.boot == boot)
    }

    /// Reads the record, with this start counted.
    ///
    /// # Errors
    ///
    /// As [`Lives::read`].
    pub(crate) fn present(&self) -> Result<Record> {
        let mut record = self.read()?;
        self.count_start(&mut record);
        Ok(record)
    }

    /// Says what is known of the life that this run will live.
    pub(crate) fn expect(&self, about: Entry) {
        // A run lives one life.
        let _ = self.run.about.set(about);
    }

    /// Counts a life, and makes `change`s as [`Lives::update`] does. After the
    /// greatest number there is, the number stays.
    ///
    /// # Errors
    ///
    /// As [`Lives::update`].
    pub fn count_life(&self, change: impl FnOnce(&mut Record)) -> Result<Record> {
        let record = self.update(|record| {
            change(record);
            record.lives = record.lives.saturating_add(1);
            if self.is_alone() {
                let about = self.run.about.get();
                let line = about.map(|about| Entry { number: record.lives, ..about.clone() }.to_line());
                record.unended = line.and_then(Result::ok);
            }
        })?;
        let _ = self.run.number.set(record.lives);
        Ok(record)
    }

    /// The number of this run's life, once it is counted.
    #[must_use]
    pub(crate) fn number(&self) -> Option<u64> {
        self.run.number.get().copied()
    }

    /// Writes how this run's life ended: its line in the history, and what the
    /// next life and the slip need. A history that cannot be written costs a
    /// warning. If no life has begun, nothing is written.
    ///
    /// # Errors
    ///
    /// As [`Lives::update`].
    pub(crate) fn end(&self, end: &End) -> Result<()> {
        let (Some(&number), Some(about)) = (self.run.number.get(), self.run.about.get()) else {
            return Ok(());
        };
        let &End { course, paper, outcome, fault } = end;
        let entry = Entry {
            number,
            course,
            paper: Some(paper),
            outcome: Some(outcome),
            fault: fault.unwrap_or_default().to_owned(),
            ..about.clone()
        };
        let lock = self.lock()?;
        // The line comes first: after a power cut between the two, the next
        // start finds it.
        self.append(&entry);
        self.update_locked(&lock, |record| {
            if paper == PaperEnd::Whole {
                record.receipt_open = false;
            }
            if outcome == Outcome::Death {
                record.rate = course.rate;
            }
            if let Some(bits) = course.throttled {
                record.throttled = Some(record.throttled.unwrap_or(0) | bits);
            }
            if let Some(message) = fault {
                record.fault = Some(Fault::new(number, false, message));
            }
            if self.is_alone() {
                record.unended = None;
            }
        })
        .map(drop)
    }

    /// Notes a fault, unless this run's life has begun: then [`Lives::end`] has
    /// noted it.
    ///
    /// # Errors
    ///
    /// As [`Lives::update`].
    pub(crate) fn note_fault(&self, message: &str) -> Result<()> {
        if self.run.number.get().is_some() {
            return Ok(());
        }
        self.update(|record| record.fault = Some(Fault::new(record.lives.saturating_add(1), true, message)))
            .map(drop)
    }

    /// Changes the record and returns the new one. The lock makes two processes
    /// change it one after the other.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written, or another process keeps it locked.
    pub fn update(&self, change: impl FnOnce(&mut Record)) -> Result<Record> {
        self.update_locked(&self.lock()?, change)
    }

    fn update_locked(&self, _lock: &File, change: impl FnOnce(&mut Record)) -> Result<Record> {
        let mut record = self.read()?;
        self.count_start(&mut record);
        change(&mut record);
        let written = replace(&self.folder.join(FILE), &[record.to_text().as_bytes()]);
        written.with_context(|| self.failure())?;
        self.run.counted.store(true, Ordering::Relaxed);
        Ok(record)
    }

    fn count_start(&self, record: &mut Record) {
        if !self.run.counted.load(Ordering::Relaxed) {
            record.count_start(&boot::id());
        }
    }

    /// Appends the line of a life that was killed. Its entry in the record stays
    /// until the next life begins, which spares a replacement of the record.
    fn note_killed(&self) -> Result<()> {
        let _lock = self.lock()?;
        if !self.is_alone() {
            return Ok(());
        }
        let record = self.read()?;
        let Some(mut entry) = record.unended.as_deref().and_then(|line| Entry::from_line(line.as_bytes()))
        else {
            return Ok(());
        };
        let history = History::within(&self.folder);
        let alike = history.numbered(entry.number).with_context(|| self.failure())?;
        if alike.iter().any(|other| other.is_of_the_life_of(&entry)) {
            return Ok(());
        }
        entry.outcome = Some(Outcome::Killed);
        if entry.paper.is_none() && record.receipt_open {
            entry.paper = Some(PaperEnd::CutOff);
        }
        self.append(&entry);
        Ok(())
    }

    fn append(&self, entry: &Entry) {
        if let Err(error) = History::within(&self.folder).append(entry) {
            let Entry { number, .. } = entry;
            warn(format_args!(
                "cannot write life {number} to {:?}: {error}; make room there, or name another folder with --state-dir",
                History::path(&self.folder)
            ));
        }
    }

    /// Whether no other program lives with this state folder; from then on, none
    /// can until this process ends.
    fn is_alone(&self) -> bool {
        if self.run.alive.get().is_some() {
            return true;
        }
        let file = regular::create(&self.folder.join(ALIVE)).ok().filter(|file| file.try_lock().is_ok());
        file.is_some_and(|file| self.run.alive.set(file).is_ok())
    }

    fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.folder).with_context(|| self.failure())?;
        let path = self.folder.join(LOCK);
        let file = regular::create(&path).with_context(|| self.failure())?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(error).with_context(|| self.failure()),
            }
        }
        bail!(
            "another process keeps state directory {:?} locked; end it, or name another with --state-dir",
            self.folder
        )
    }

    fn failure(&self) -> String {
        format!(
            "cannot keep the life number in state directory {:?}; name another with --state-dir",
            self.folder
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn folder() -> (tempfile::TempDir, Lives) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = Lives::within(&folder.path().join("state"));
        (folder, dir)
    }

    fn next(dir: &Lives) -> u64 {
        dir.count_life(|_| {}).expect("a record").lives
    }

    #[test]
    fn lives_are_counted_from_1_across_processes_and_nothing_is_left_aside() {
        let (_folder, dir) = folder();
        assert_eq!((next(&dir), next(&dir.clone()), next(&dir)), (1, 2, 3));
        assert_eq!(dir.read().expect("a record").lives, 3);
        assert!(!dir.folder.join("lives.new").exists());
    }

    #[test]
    fn after_the_greatest_number_it_stays_and_never_begins_again() {
        let (_folder, dir) = folder();
        next(&dir);
        fs::write(dir.folder.join(FILE), format!("lives {}\nreceipt whole\n", u64::MAX)).expect("a file");
        assert_eq!((next(&dir), next(&dir)), (u64::MAX, u64::MAX));
    }

    #[test]
    fn a_pipe_or_a_device_in_place_of_a_file_is_an_error_at_once() {
        for name in [FILE, LOCK, "lives.new"] {
            let (folder, dir) = folder();
            next(&dir);
            let path = dir.folder.join(name);
            let _ = fs::remove_file(&path);
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a named pipe");
            let error = dir.count_life(|_| {}).expect_err("a pipe");
            assert!(format!("{error:#}").contains("--state-dir"), "{name}: {error:#}");
            drop(folder);
        }
    }

    fn about() -> Entry {
        Entry {
            model: "ember".to_owned(),
            options: "torment-nexus --model ember".to_owned(),
            ..Entry::default()
        }
    }

    fn death() -> End<'static> {
        let course = Course { tokens: Some(95), rate: Some(9.25), throttled: Some(4), ..Course::default() };
        End { course, paper: PaperEnd::Whole, outcome: Outcome::Death, fault: None }
    }

    /// Begins the life of a new run of the program; it ends when the value is
    /// dropped, as by a kill.
    fn begin(dir: &Lives) -> Lives {
        let run = Lives::within(&dir.folder);
        run.note_killed().expect("a record");
        run.expect(about());
        run.count_life(|record| record.receipt_open = true).expect("a record");
        run
    }

    fn history(dir: &Lives) -> Vec<(u64, Outcome, PaperEnd)> {
        let entries = History::within(&dir.folder).read().expect("a history");
        let known = |entry: Entry| Some((entry.number, entry.outcome?, entry.paper?));
        entries.into_iter().map(|entry| known(entry).expect("it has an end")).collect()
    }

    #[test]
    fn each_life_has_one_line_and_a_killed_one_gets_it_at_the_next_start() {
        let (_folder, dir) = folder();
        begin(&dir).end(&death()).expect("a record");
        drop(begin(&dir));
        // Two starts that do not come as far as a life.
        for _ in 0..2 {
            Lives::within(&dir.folder).note_killed().expect("a record");
        }
        begin(&dir).end(&death()).expect("a record");
        Lives::within(&dir.folder).note_killed().expect("a record");
        let (death, whole) = (Outcome::Death, PaperEnd::Whole);
        assert_eq!(
            history(&dir),
            [(1, death, whole), (2, Outcome::Killed, PaperEnd::CutOff), (3, death, whole)]
        );
        let killed = History::within(&dir.folder).find(2).expect("it has its line");
        assert_eq!((killed.model, killed.options), (about().model, about().options), "what is known of it");
    }

    #[test]
    fn a_power_cut_between_the_line_and_the_record_makes_no_second_line() {
        let (_folder, dir) = folder();
        let run = begin(&dir);
        let before = fs::read(dir.folder.join(FILE)).expect("a record");
        run.end(&death()).expect("a record");
        drop(run);
        fs::write(dir.folder.join(FILE), before).expect("the record as it was");
        Lives::within(&dir.folder).note_killed().expect("a record");
        assert_eq!(history(&dir), [(1, Outcome::Death, PaperEnd::Whole)]);
    }

    #[test]
    fn a_life_that_still_lasts_is_not_called_killed_by_another_program() {
        let (_folder, dir) = folder();
        let first = begin(&dir);
        let second = begin(&dir);
        assert_eq!(history(&dir), []);
        second.end(&death()).expect("a record");
        first.end(&death()).expect("a record");
        Lives::within(&dir.folder).note_killed().expect("a record");
        assert_eq!(history(&dir).iter().map(|life| life.0).collect::<Vec<_>>(), [2, 1]);
    }

    /// Whether the record was replaced, by another file, at least once.
    fn replacements(dir: &Lives, act: impl FnOnce()) -> bool {
        use std::os::unix::fs::MetadataExt;
        // An open file keeps its inode from being used again.
        let before = File::open(dir.folder.join(FILE)).expect("a record");
        act();
        let inode = |file: &File| file.metadata().expect("a file").ino();
        inode(&before) != inode(&File::open(dir.folder.join(FILE)).expect("a record"))
    }

    #[test]
    fn a_run_counts_its_start_with_what_it_writes_anyway_and_once() {
        let (_folder, dir) = folder();
        begin(&dir).end(&death()).expect("a record");
        let run = Lives::within(&dir.folder);
        assert!(!replacements(&dir, || run.note_killed().expect("a record")));
        assert_eq!(run.read().expect("a record").starts, 1);
        assert_eq!(run.present().expect("a record").starts, 2, "the slip counts its own start");
        assert!(replacements(&dir, || run.update(|_| {}).map(drop).expect("a record")));
        assert!(replacements(&dir, || run.count_life(|_| {}).map(drop).expect("a record")));
        assert_eq!(run.read().expect("a record").starts, 2);
        assert_eq!(run.present().expect("a record").starts, 2);
    }

    #[test]
    fn the_end_of_a_life_is_kept_for_the_next_one_and_for_the_slip() {
        let (_folder, dir) = folder();
        let run = begin(&dir);
        assert!(run.read().expect("a record").unended.is_some());
        run.end(&death()).expect("a record");
        let record = run.read().expect("a record");
        assert_eq!((record.rate, record.throttled, record.receipt_open), (Some(9.25), Some(4), false));
        assert_eq!((record.unended, record.fault), (None, None));
        let course = Course { throttled: Some(1), rate: Some(2.0), ..Course::default() };
        let fault = Some("it broke; mend it");
        let run = begin(&dir);
        run.end(&End { course, paper: PaperEnd::Lost, outcome: Outcome::Fault, fault }).expect("a record");
        run.note_fault("the same again").expect("a record");
        let record = run.read().expect("a record");
        assert_eq!((record.rate, record.throttled, record.receipt_open), (Some(9.25), Some(5), true));
        assert_eq!(record.fault, Some(Fault::new(2, false, "it broke; mend it")));
        Lives::within(&dir.folder).note_fault("no model").expect("a record");
        assert_eq!(dir.read().expect("a record").fault, Some(Fault::new(3, true, "no model")));
        assert_eq!(history(&dir).len(), 2, "it was no life");
    }

    #[test]
    fn a_life_whose_line_cannot_be_written_is_counted_all_the_same() {
        let (_folder, dir) = folder();
        fs::create_dir_all(dir.folder.join("lives.csv")).expect("a folder in its place");
        let run = begin(&dir);
        run.end(&death()).expect("a record");
        assert_eq!(run.read().expect("a record").unended, None);
        assert_eq!(begin(&dir).read().expect("a record").lives, 2);
    }

    #[test]
    fn a_power_cut_while_writing_aside_leaves_the_old_number() {
        let (_folder, dir) = folder();
        next(&dir);
        fs::write(dir.folder.join("lives.new"), "liv").expect("a file");
        assert_eq!(next(&dir), 2);
    }

    #[test]
    fn a_damaged_record_starts_anew_and_expects_a_cut_off_receipt() {
        for damaged in ["", "\0\0\0\0", "lives many\n", "receipt whole\n", "lives -1\n"] {
            let (_folder, dir) = folder();
            next(&dir);
            fs::write(dir.folder.join(FILE), damaged).expect("a file");
            let record = dir.read().expect("a new record");
            assert_eq!((record.lives, record.receipt_open), (0, true), "{damaged:?}");
            assert_eq!(next(&dir), 1);
        }
    }

    #[test]
    fn a_record_that_is_lost_or_damaged_never_gives_a_number_twice() {
        for damage in [None, Some(""), Some("lives x\n")] {
            let (_folder, dir) = folder();
            let dir = || Lives::within(&dir.folder);
            for _ in 0..3 {
                let lives = dir();
                lives.expect(Entry::default());
                lives.count_life(|_| {}).expect("a record");
                let course = Course::default();
                let end = End { course, paper: PaperEnd::None, outcome: Outcome::Death, fault: None };
                lives.end(&end).expect("a history");
            }
            // The fourth is begun, and its end is not known.
            dir().count_life(|_| {}).expect("a record");
            let path = dir().folder.join(FILE);
            match damage {
                None => fs::remove_file(&path).expect("a file"),
                Some(content) => fs::write(&path, content).expect("a file"),
            }
            let number = dir().count_life(|_| {}).expect("a record").lives;
            assert!(number > 4, "after {damage:?}: {number}");
        }
    }

    #[test]
    fn a_record_cut_short_at_any_byte_gives_no_number_again() {
        let (_folder, dir) = folder();
        for _ in 0..11 {
            begin(&dir).end(&death()).expect("a record");
        }
        // Of the life that was begun last there is no line yet.
        drop(begin(&dir));
        let path = dir.folder.join(FILE);
        let whole = fs::read(&path).expect("a record");
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).expect("a record cut short");
            let number = Lives::within(&dir.folder).count_life(|_| {}).expect("a record").lives;
            assert!(number > 12, "life {number} again, after a cut at {cut} bytes");
        }
    }

    #[test]
    fn two_at_once_never_get_the_same_number() {
        let (_folder, dir) = folder();
        let lives = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..10).map(|_| next(&dir)).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("it counts")).collect::<HashSet<_>>()
        });
        assert_eq!(lives, (1..=40).collect());
    }

    #[test]
    fn a_directory_that_cannot_be_made_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("a file");
        let error = Lives::within(&file.join("state")).check().expect_err("it lies in a file");
        let words = format!("{error:#}");
        assert!(words.contains("file/state") && words.contains("--state-dir"), "{words}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_a_record_or_a_damaged_one(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (_folder, dir) = folder();
            next(&dir);
            fs::write(dir.folder.join(FILE), &bytes).expect("a file");
            let counted = dir.count_life(|_| {}).expect("a new record");
            prop_assert_eq!(dir.read().expect("a record"), counted);
        }
    }
}
