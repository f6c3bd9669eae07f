//! The loop of a download: asks for the file, or for what is missing of it,
//! receives, checks, and renames it to the model.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::statvfs::statvfs;
use ureq::http::Uri;

use super::answers::Next::{Again, Anew, End, Remove};
use super::answers::{self, Answer, Refusal};
use super::files::{Files, Origin};
use super::http::{Client, Patience};
use super::progress::{DownloadProgress, bytes};
use super::wait;
use crate::gguf::{self, Purpose};
use crate::hash;
use installation::life::interrupt::Interrupt;
use installation::state::regular;
use installation::state::replace::put_in_place;
use installation::text::stderr::say;

/// Bytes read at once: a tenth of a second's worth on the board's Wi-Fi.
const CHUNK: usize = 1 << 16;

/// The next step in messages about a model folder that cannot be used.
const WRITABLE: &str = "give --model-dir a folder that can be written";

/// Left free on the disk after a file of known size, for the system's own needs,
/// in bytes.
const ROOM_TO_LEAVE: u64 = 8 << 20;

/// Left free on the disk by a file of unknown size, in bytes: less than any
/// system's disk has free when it is in order.
const RESERVE: u64 = 64 << 20;

/// One download, on a thread of its own.
pub(super) struct Download {
    pub(super) address: Uri,
    pub(super) files: Files,
    pub(super) client: Client,
    pub(super) interrupt: Interrupt,
}

/// Locks the folder of the downloads, which is made if need be, against other processes.
pub(super) fn lock(dir: &Path) -> Result<File> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {dir:?}; {WRITABLE}"))?;
    // The folder itself is locked, so that no lock file is left behind.
    let cannot = || format!("cannot lock the folder {dir:?}; {WRITABLE}");
    let folder = File::open(dir).with_context(cannot)?;
    if let Err(TryLockError::WouldBlock) = folder.try_lock() {
        say(format_args!("waiting: another process is downloading to {dir:?}\n"));
    }
    folder.lock().with_context(cannot)?;
    Ok(folder)
}

/// Does `once` until it is not to be done again, at most as often as `patience` says. What a
/// server asks to wait is noted in `dir`, so that another start of the program waits too.
pub(super) fn ask<T>(
    patience: &Patience,
    dir: &Path,
    interrupt: &Interrupt,
    mut once: impl FnMut() -> Result<T, Refusal>,
) -> Result<T> {
    let mut refused = wait::noted(dir);
    let mut tries = 1;
    loop {
        if let Some((what, pause)) = refused {
            let seconds = pause.as_secs_f32().ceil();
            ensure!(pause <= patience.longest_pause, "{what}; start again in {seconds} s");
            ensure!(tries <= patience.tries, "{what} at each of {} tries", patience.tries);
            say(format_args!("{what}; asking again in {seconds} s\n"));
            ensure!(!interrupt.is_raised_within(pause), "interrupted");
        }
        match once() {
            Ok(done) => {
                wait::forget(dir);
                return Ok(done);
            }
            Err(Refusal { what, next: Again(told) }) => {
                told.inspect(|told| wait::note(dir, &what, *told));
                refused = Some((what, told.unwrap_or(patience.pause * 2_u32.pow(tries - 1))));
                tries += 1;
            }
            Err(Refusal { what, .. }) => bail!(what),
        }
    }
}

impl Download {
    /// Downloads the file, unless another process already did. After a signal the
    /// error is of no interest.
    pub(super) fn run(&self) -> Result<()> {
        let Files { dir, name, .. } = &self.files;
        let _folder = lock(dir)?;
        if self.files.is_there()? {
            return Ok(());
        }
        ask(&self.client.patience, dir, &self.interrupt, || {
            loop {
                let kept = self.files.kept();
                let answer = self.client.get(&self.address, kept.as_ref());
                let record = answer.and_then(|answer| self.receive(answer, kept.is_some()));
                let renamed = record.and_then(|record| self.check_and_rename(record));
                let Err(Refusal { what, next }) = renamed else { return Ok(()) };
                if matches!(next, Anew | Remove) {
                    self.files.remove_part()?;
                }
                match next {
                    Anew if kept.is_some() => say(format_args!("downloading {name} anew: {what}\n")),
                    Anew => return Err(End.because(format_args!("{what}; start again"))),
                    _ => return Err(next.because(what)),
                }
            }
        })
    }

    /// Appends what the server sends to the part, or begins a new one.
    fn receive(&self, answer: Answer, resumes: bool) -> Result<Origin, Refusal> {
        let Answer { host, from, record, mut body } = answer;
        let Files { name, part, .. } = &self.files;
        let broke_off = |error| Refusal { next: Again(None), ..answers::unreachable(&host, &error) };
        // What was kept stays until it is known that a model comes in its place.
        let mut first = Vec::new();
        if from == 0 {
            body.by_ref().take(answers::BEGINNING as u64).read_to_end(&mut first).map_err(broke_off)?;
            answers::beginning(&host, &first)?;
        }
        if let Some(size) = record.size {
            self.ensure_room(size)?;
        }
        if from > 0 {
            say(format_args!("going on with {name} at {}\n", bytes(from)));
        } else {
            if resumes {
                say(format_args!("downloading {name} anew: it changed, or its server does not resume\n"));
            }
            self.files.remove_part()?;
        }
        let cannot_write = |error| self.cannot_write(error);
        record.write(&self.files.part_record).map_err(cannot_write)?;
        let mut file = regular::append(part).map_err(cannot_write)?;
        let patience = &self.client.patience;
        let mut body = first.chain(body);
        let mut buffer = vec![0; CHUNK];
        let mut progress = DownloadProgress::new(name, from, record.size);
        let mut len = from;
        let (mut window, mut window_len) = (Instant::now(), len);
        loop {
            let read = body.read(&mut buffer).map_err(broke_off)?;
            if self.interrupt.is_raised() {
                return Err(End.because("interrupted"));
            }
            if record.size.is_none() && self.free() < RESERVE {
                return Err(self.cannot_write(ErrorKind::StorageFull.into()));
            }
            file.write_all(&buffer[..read]).map_err(cannot_write)?;
            len += read as u64;
            match record.size {
                Some(size) if read == 0 && len < size => {
                    return Err(Again(None).because("the connection broke off"));
                }
                // A file that is too long is found to be damaged.
                size if read == 0 || size.is_some_and(|size| len > size) => return Ok(record),
                _ => {}
            }
            progress.at(len);
            self.interrupt.is_starting();
            if window.elapsed() >= patience.window {
                if len - window_len < patience.least {
                    return Err(Again(None).because("the server sends too slowly"));
                }
                (window, window_len) = (Instant::now(), len);
            }
        }
    }

    /// Renames the part to the model, if it is what `record` says.
    fn check_and_rename(&self, record: Origin) -> Result<(), Refusal> {
        let Files { path, part, .. } = &self.files;
        let read = regular::open(part).and_then(|file| {
            file.sync_all()?;
            Ok((file.metadata()?.len(), hash::sha256(file, &self.interrupt)?))
        });
        let (len, sha256) = read.with_context(|| format!("cannot read {part:?}; remove it"))?;
        let damage = match &record {
            Origin { size: Some(size), .. } if *size != len => Some(format!("{len} bytes instead of {size}")),
            Origin { sha256: Some(right), .. } if *right != sha256 => {
                Some(format!("its sha256 is {sha256} instead of {right}"))
            }
            // It is the server's file. If it cannot be used, it would be the same
            // after another download.
            Origin { sha256: Some(_), .. } => None,
            _ => gguf::check_path(part, Purpose::Model)
                .err()
                .filter(gguf::Defect::is_damage)
                .map(|fault| fault.to_string()),
        };
        if let Some(damage) = damage {
            return Err(Anew.because(format_args!("it arrived damaged: {damage}")));
        }
        let record = Origin { size: Some(len), sha256: Some(sha256), ..record };
        record.write(&self.files.record).map_err(|error| self.cannot_write(error))?;
        let placed = put_in_place(part, path);
        placed.with_context(|| format!("cannot name the file {path:?}; look at the folder's permissions"))?;
        // Only the part's record is left. If it cannot be removed, it does no
        // harm.
        let _ = self.files.remove_part();
        say(format_args!("downloaded {} to {path:?}\n", bytes(len)));
        Ok(())
    }

    /// The free bytes of the disk; any number if it does not tell.
    fn free(&self) -> u64 {
        statvfs(&self.files.dir).map_or(u64::MAX, |disk| disk.blocks_available() * disk.fragment_size())
    }

    fn ensure_room(&self, size: u64) -> Result<()> {
        // The bytes of the part are on the disk already, or are removed first.
        let needed = size.saturating_sub(self.files.part_len()).saturating_add(ROOM_TO_LEAVE);
        let (dir, free) = (&self.files.dir, self.free());
        let lacks = bytes(needed.saturating_sub(free));
        let free_some = "free some, or give another --model-dir";
        ensure!(needed <= free, "{dir:?} has {} free and {lacks} more are needed; {free_some}", bytes(free));
        Ok(())
    }

    fn cannot_write(&self, error: io::Error) -> Refusal {
        if error.kind() != ErrorKind::StorageFull {
            return anyhow!("cannot write {:?} ({error}); {WRITABLE}", self.files.part).into();
        }
        // The system needs the space.
        Remove.because(format_args!(
            "the disk was full after {}, which are removed again; free some, or give another --model-dir",
            bytes(self.files.part_len())
        ))
    }
}
