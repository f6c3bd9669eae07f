//! The record of lives: how many there were, and how the last one went. A file
//! of a few lines in the state folder.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::folder::StateFolder;
use super::regular;
use super::replace::replace;
use crate::text::stderr::warn;

/// The record, and the file that a process locks while it changes the record.
const FILE: &str = "lives";
const LOCK: &str = "lives.lock";

/// At most so many bytes of the file are read: a record has three short lines.
const MAX_LENGTH: u64 = 4096;

/// How often, and after what pause, the lock is tried. A process holds it only
/// for the time that an SD card takes to write a page.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The content of the record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Lives begun so far; the number of the last one.
    pub lives: u64,
    /// Whether a receipt was begun that was not printed to its end.
    pub receipt_open: bool,
    /// Tokens a second of the last life that ended in the death.
    pub rate: Option<f64>,
}

impl Record {
    fn to_text(&self) -> String {
        let receipt = if self.receipt_open { "open" } else { "whole" };
        let mut text = format!("lives {}\nreceipt {receipt}\n", self.lives);
        if let Some(rate) = self.rate {
            let _ = writeln!(text, "rate {rate:.2}");
        }
        text
    }

    /// `None` if the text is no such record. Lines with an unknown name, which
    /// a later version may write, are ignored.
    fn from_text(text: &str) -> Option<Self> {
        let mut record = Self::default();
        let mut lives = None;
        for line in text.lines() {
            match line.split_once(' ')? {
                ("lives", number) => lives = Some(number.parse().ok()?),
                ("receipt", state) => record.receipt_open = state != "whole",
                ("rate", rate) => record.rate = Some(rate.parse().ok()?),
                _ => {}
            }
        }
        record.lives = lives?;
        Some(record)
    }
}

/// The record of lives in the state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lives(PathBuf);

impl Lives {
    /// The record in a state folder.
    #[must_use]
    pub fn within(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The record in `folder`; `None`, with a warning, if there is no folder or
    /// the record cannot be kept there.
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

    /// Reads the record. If the file is absent, an empty one is returned;
    /// likewise, with a warning, if it is damaged.
    ///
    /// # Errors
    ///
    /// When the file exists and cannot be read.
    pub fn read(&self) -> Result<Record> {
        let path = self.0.join(FILE);
        let bytes = match regular::read(&path, MAX_LENGTH) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Record::default()),
            Err(error) => return Err(error).with_context(|| self.failure()),
        };
        let text = String::from_utf8_lossy(&bytes);
        Ok(Record::from_text(&text).unwrap_or_else(|| {
            warn(format_args!("{path:?} is damaged; the lives are counted from 1 again"));
            // The last receipt may be cut off: an unneeded gap costs 2 cm of
            // paper.
            Record { receipt_open: true, ..Record::default() }
        }))
    }

    /// Counts a life, and makes `change`s as [`Lives::update`] does. After the
    /// greatest number there is, the number stays.
    ///
    /// # Errors
    ///
    /// As [`Lives::update`].
    pub fn count_life(&self, change: impl FnOnce(&mut Record)) -> Result<Record> {
        self.update(|record| {
            change(record);
            record.lives = record.lives.saturating_add(1);
        })
    }

    /// Changes the record and returns the new one. The lock makes two processes
    /// change it one after the other.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written, or another process keeps it locked.
    pub fn update(&self, change: impl FnOnce(&mut Record)) -> Result<Record> {
        let _lock = self.lock()?;
        let mut record = self.read()?;
        change(&mut record);
        let written = replace(&self.0.join(FILE), &[record.to_text().as_bytes()]);
        written.with_context(|| self.failure())?;
        Ok(record)
    }

    fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.0).with_context(|| self.failure())?;
        let path = self.0.join(LOCK);
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
            self.0
        )
    }

    fn failure(&self) -> String {
        format!("cannot keep the life number in state directory {:?}; name another with --state-dir", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn folder() -> (tempfile::TempDir, Lives) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = Lives(folder.path().join("state"));
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
        assert!(!dir.0.join("lives.new").exists());
    }

    #[test]
    fn after_the_greatest_number_it_stays_and_never_begins_again() {
        let (_folder, dir) = folder();
        next(&dir);
        fs::write(dir.0.join(FILE), format!("lives {}\nreceipt whole\n", u64::MAX)).expect("a file");
        assert_eq!((next(&dir), next(&dir)), (u64::MAX, u64::MAX));
    }

    #[test]
    fn a_pipe_or_a_device_in_place_of_a_file_is_an_error_at_once() {
        for name in [FILE, LOCK, "lives.new"] {
            let (folder, dir) = folder();
            next(&dir);
            let path = dir.0.join(name);
            let _ = fs::remove_file(&path);
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a named pipe");
            let error = dir.count_life(|_| {}).expect_err("a pipe");
            assert!(format!("{error:#}").contains("--state-dir"), "{name}: {error:#}");
            drop(folder);
        }
    }

    #[test]
    fn the_whole_record_is_kept() {
        let (_folder, dir) = folder();
        let record = Record { lives: 7, receipt_open: true, rate: Some(9.25) };
        let kept = record.clone();
        dir.update(|old| *old = kept).expect("a record");
        assert_eq!(dir.read().expect("a record"), record);
    }

    #[test]
    fn a_power_cut_while_writing_aside_leaves_the_old_number() {
        let (_folder, dir) = folder();
        next(&dir);
        fs::write(dir.0.join("lives.new"), "liv").expect("a file");
        assert_eq!(next(&dir), 2);
    }

    #[test]
    fn a_damaged_record_starts_anew_and_expects_a_cut_off_receipt() {
        for damaged in ["", "\0\0\0\0", "lives many\n", "receipt whole\n", "lives -1\n"] {
            let (_folder, dir) = folder();
            next(&dir);
            fs::write(dir.0.join(FILE), damaged).expect("a file");
            let record = dir.read().expect("a new record");
            assert_eq!((record.lives, record.receipt_open), (0, true), "{damaged:?}");
            assert_eq!(next(&dir), 1);
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
        let error = Lives(file.join("state")).check().expect_err("it lies in a file");
        let words = format!("{error:#}");
        assert!(words.contains("file/state") && words.contains("--state-dir"), "{words}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_a_record_or_a_damaged_one(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (_folder, dir) = folder();
            next(&dir);
            fs::write(dir.0.join(FILE), &bytes).expect("a file");
            let counted = dir.count_life(|_| {}).expect("a new record");
            prop_assert_eq!(dir.read().expect("a record"), counted);
        }

        #[test]
        fn any_lines_of_a_record_are_read_or_damaged(text in "((lives|receipt|rate|\\PC{0,4}) [-0-9a-z.+]{0,24}\n){0,5}") {
            if let Some(record) = Record::from_text(&text) {
                prop_assert!(text.contains("lives "), "{record:?} of {text:?}");
            }
        }
    }
}
