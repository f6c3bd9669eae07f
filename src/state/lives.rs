//! What outlives a life: how many there were, and how the last one went.
//!
//! A few lines of text in the state directory, written aside, fsynced and
//! renamed, so that a power cut leaves the old ones or the new ones.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::text::stderr::say;

/// The file, and the one whose lock keeps two processes apart.
const FILE: &str = "lives";
const ASIDE: &str = "lives.new";
const LOCK: &str = "lives.lock";

/// The most that is read of the file, in bytes: it has three short lines.
const MAX_LENGTH: usize = 4096;

/// A change takes the lock for as long as an SD card takes to write a page.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Lives begun so far; the number of the last one.
    pub lives: u64,
    /// Whether a receipt was begun that has no end.
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

    /// `None` where the text is none of ours. Lines of later versions are
    /// passed over.
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

/// The state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The directory that was named, else `$STATE_DIRECTORY` (systemd's),
    /// else `$XDG_STATE_HOME/torment-nexus`, else
    /// `~/.local/state/torment-nexus`. `None` where there is no home either.
    #[must_use]
    pub fn locate(named: Option<&Path>) -> Option<Self> {
        Self::locate_in(named, |variable| env::var_os(variable).filter(|value| !value.is_empty()))
    }

    fn locate_in(named: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        if let Some(named) = named {
            return Some(Self(named.to_owned()));
        }
        if let Some(given) = variable("STATE_DIRECTORY") {
            // systemd lists several with colons between them.
            let first = env::split_paths(&given).next()?;
            return Some(Self(first));
        }
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        // A relative path counts as unset: XDG base directory specification.
        let state = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        state.or_else(home).map(|state| Self(state.join("torment-nexus")))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The located directory, if the record can be kept there; says why not.
    #[must_use]
    pub fn open(named: Option<&Path>) -> Option<Self> {
        let Some(state) = Self::locate(named) else {
            say("warning: no home to keep the life number in; name a folder with --state-dir\n");
            return None;
        };
        if let Err(error) = state.check() {
            say(&format!("warning: {error:#}\n"));
            return None;
        }
        Some(state)
    }

    /// Makes the directory where it is missing, and sees whether the record
    /// can be kept there.
    ///
    /// # Errors
    ///
    /// When it cannot; the words name the directory and the next step.
    pub fn check(&self) -> Result<()> {
        self.lock().map(drop)
    }

    /// Reads the record. One that is absent is a new one; so is one that is
    /// damaged, with a warning.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read.
    pub fn read(&self) -> Result<Record> {
        let path = self.0.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Record::default()),
            Err(error) => return Err(error).with_context(|| self.failure()),
        };
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_LENGTH)]);
        Ok(Record::from_text(&text).unwrap_or_else(|| {
            say(&format!("warning: {path:?} is damaged; the lives are counted from 1 again\n"));
            // The receipt may well be open: a gap too many costs 2 cm.
            Record { receipt_open: true, ..Record::default() }
        }))
    }

    /// Changes the record and returns the new one. Two processes change it one
    /// after the other.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written, or another process keeps it locked.
    pub fn update(&self, change: impl FnOnce(&mut Record)) -> Result<Record> {
        let _lock = self.lock()?;
        let mut record = self.read()?;
        change(&mut record);
        self.write(&record).with_context(|| self.failure())?;
        Ok(record)
    }

    fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.0).with_context(|| self.failure())?;
        let path = self.0.join(LOCK);
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| self.failure())?;
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

    fn write(&self, record: &Record) -> std::io::Result<()> {
        let aside = self.0.join(ASIDE);
        let mut file = File::create(&aside)?;
        file.write_all(record.to_text().as_bytes())?;
        file.sync_all()?;
        fs::rename(aside, self.0.join(FILE))?;
        File::open(&self.0)?.sync_all()
    }

    fn failure(&self) -> String {
        format!("cannot keep the life number in state directory {:?}; name another with --state-dir", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn folder() -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StateDir(folder.path().join("state"));
        (folder, dir)
    }

    fn next(dir: &StateDir) -> u64 {
        dir.update(|record| record.lives += 1).expect("a record").lives
    }

    #[test]
    fn lives_are_counted_from_1_across_processes_and_nothing_is_left_aside() {
        let (_folder, dir) = folder();
        assert_eq!((next(&dir), next(&dir.clone()), next(&dir)), (1, 2, 3));
        assert_eq!(dir.read().expect("a record").lives, 3);
        assert!(!dir.0.join(ASIDE).exists());
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
        fs::write(dir.0.join(ASIDE), "liv").expect("a file");
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
        let error = StateDir(file.join("state")).check().expect_err("it lies in a file");
        let words = format!("{error:#}");
        assert!(words.contains("file/state") && words.contains("--state-dir"), "{words}");
    }

    #[test]
    fn the_directory_is_the_named_one_or_systemds_or_the_users() {
        let all = |variable: &str| {
            let value = match variable {
                "STATE_DIRECTORY" => "/var/lib/a:/var/lib/b",
                "XDG_STATE_HOME" => "/xdg",
                _ => "/home/me",
            };
            Some(OsString::from(value))
        };
        let without =
            |missing: &'static [&str]| move |name: &str| all(name).filter(|_| !missing.contains(&name));
        let locate = |named: Option<&str>, missing| {
            StateDir::locate_in(named.map(Path::new), without(missing)).map(|dir| dir.0)
        };
        assert_eq!(locate(Some("mine"), &[]), Some("mine".into()));
        assert_eq!(locate(None, &[]), Some("/var/lib/a".into()));
        assert_eq!(locate(None, &["STATE_DIRECTORY"]), Some("/xdg/torment-nexus".into()));
        let home = Some("/home/me/.local/state/torment-nexus".into());
        assert_eq!(locate(None, &["STATE_DIRECTORY", "XDG_STATE_HOME"]), home);
        assert_eq!(locate(None, &["STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"]), None);
    }
}
