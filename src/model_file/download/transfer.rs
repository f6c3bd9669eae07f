//! One download: requests the file, resumes a part that an earlier try left,
//! verifies the checksum, and renames the file to the model.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use nix::sys::statvfs::statvfs;
use sha2::{Digest, Sha256};
use ureq::http::Uri;

use super::address;
use super::http::{self, Answer, Client, Fault, Part, Rest};
use super::origin::Origin;
use super::progress::{Progress, bytes};
use super::target::{Kept, Target};
use crate::life::ending::Ending;
use crate::life::interrupt::Interrupt;
use crate::model_file::gguf;
use crate::state::replace::put_in_place;
use crate::text::stderr::say;

/// Bytes read at once: a tenth of a second's worth on the board's Wi-Fi.
const CHUNK: usize = 1 << 16;

/// How often a process that waits for another one's download tries the lock.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The next step in messages about a model folder that cannot be used.
const WRITABLE: &str = "give --model-dir a folder that can be written";

/// Left free on the disk, for the system's own needs, in bytes.
const ROOM_TO_LEAVE: u64 = 8 << 20;

/// The result of one try.
enum Tried {
    /// The model is downloaded and verified.
    Done,
    /// The part could not be used and was removed; the text says why.
    Anew(String),
    /// It broke off; another try may succeed, after a pause if the server asks
    /// for one.
    BrokeOff(String, Option<Duration>),
}

/// One download, on a thread of its own.
pub(super) struct Download {
    address: Uri,
    target: Target,
    client: Client,
    interrupt: Interrupt,
}

impl Download {
    pub(super) fn new(address: Uri, target: Target, client: Client, interrupt: Interrupt) -> Self {
        Self { address, target, client, interrupt }
    }

    /// Downloads, verifies and renames the file, unless another process already
    /// did.
    pub(super) fn run(&self) -> Result<(), Ending> {
        let dir = &self.target.dir;
        fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {dir:?}; {WRITABLE}"))?;
        let _lock = self.lock()?;
        // Another process may have downloaded it while this one waited.
        if self.target.is_there()? {
            return Ok(());
        }
        self.try_and_try_again().map_err(|ending| match ending {
            Ending::Fault(fault) => self.target.with_way_out(&fault).into(),
            other => other,
        })
    }

    /// Locks the folder itself, so that no lock file is left behind.
    fn lock(&self) -> Result<File, Ending> {
        let dir = &self.target.dir;
        let cannot = || format!("cannot lock the folder {dir:?}; {WRITABLE}");
        let folder = File::open(dir).with_context(cannot)?;
        let mut said = false;
        loop {
            match folder.try_lock() {
                Ok(()) => return Ok(folder),
                Err(TryLockError::Error(error)) => return Err(Error::new(error).context(cannot()).into()),
                Err(TryLockError::WouldBlock) => {}
            }
            if !said {
                say(format_args!("waiting: another process is downloading to {dir:?}\n"));
                said = true;
            }
            if self.interrupt.is_raised_within(LOOK_AGAIN) {
                return Err(Ending::Interrupted("while waiting for another process's download".to_owned()));
            }
        }
    }

    fn try_and_try_again(&self) -> Result<(), Ending> {
        let patience = *self.client.patience();
        let mut pause = patience.pause;
        let mut anew = false;
        let mut tries = 1;
        loop {
            match self.try_once()? {
                Tried::Done => return Ok(()),
                Tried::Anew(why) if anew => return Err(anyhow!("{why}, twice in a row").into()),
                Tried::Anew(why) => {
                    anew = true;
                    say(format_args!("downloading {} from the beginning: {why}\n", self.target.name));
                }
                Tried::BrokeOff(why, asked) => {
                    let asked = patience.may_ask_again(&why, tries, asked.unwrap_or(pause))?;
                    say(format_args!("{why}; asking again in {} s\n", asked.as_secs_f32()));
                    if self.interrupt.is_raised_within(asked) {
                        return Err(self.target.interrupted());
                    }
                    tries += 1;
                    pause *= 2;
                }
            }
        }
    }

    fn try_once(&self) -> Result<Tried, Ending> {
        let kept = self.target.kept();
        if let Some(Kept { len, origin }) = &kept {
            match origin.size {
                Some(size) if *len == size => return Ok(self.finish(origin, None, true)?),
                Some(size) if *len > size => {
                    return Ok(self.anew("what was kept is longer than the file")?);
                }
                _ => {}
            }
        }
        // Without an ETag or date the server cannot tell whether the rest is of
        // the same version: then the whole file is requested.
        let kept = kept.filter(|kept| kept.origin.validator.is_some());
        let rest = kept
            .as_ref()
            .and_then(|kept| Some(Rest { from: kept.len, validator: kept.origin.validator.as_deref()? }));
        let mut answer = match self.client.get(&self.address, rest) {
            Ok(answer) => answer,
            Err(Fault::Passing(why, pause)) => return Ok(Tried::BrokeOff(why, pause)),
            Err(Fault::Lasting(error)) => return Err(error.into()),
        };
        let Some(kept) = kept else { return self.receive(answer, 0) };
        let other_hash = match (&answer.sha256, &kept.origin.sha256) {
            (Some(now), Some(then)) => now != then,
            _ => false,
        };
        let other_size =
            answer.size.is_some() && kept.origin.size.is_some() && answer.size != kept.origin.size;
        match answer.part {
            Part::Whole => {
                say(format_args!(
                    "downloading {} from the beginning: it has changed, or its server does not resume\n",
                    self.target.name
                ));
                self.receive(answer, 0)
            }
            _ if other_hash || other_size => Ok(self.anew("the file on the server has changed")?),
            Part::From(from) if from == kept.len => {
                say(format_args!("going on with {} at {}\n", self.target.name, bytes(kept.len)));
                answer.size = answer.size.or(kept.origin.size);
                answer.sha256 = answer.sha256.or(kept.origin.sha256);
                answer.validator = answer.validator.or(kept.origin.validator);
                self.receive(answer, kept.len)
            }
            Part::Beyond if answer.size == Some(kept.len) => Ok(self.finish(&kept.origin, None, true)?),
            Part::From(_) => Ok(self.anew("the server sends another part than the one that is missing")?),
            Part::Beyond => Ok(self.anew("what was kept does not fit the file")?),
        }
    }

    fn anew(&self, why: &str) -> Result<Tried> {
        self.target.remove_part()?;
        Ok(Tried::Anew(why.to_owned()))
    }

    /// Receives a body whose first byte is the file's byte `from`.
    fn receive(&self, mut answer: Answer, from: u64) -> Result<Tried, Ending> {
        if answer.part == Part::Beyond {
            return Err(anyhow!("the server says that the file has no beginning").into());
        }
        let mut first = [0; gguf::MAGIC.len()];
        if from == 0
            && let Some(tried) = self.no_gguf(&mut answer, &mut first)?
        {
            return Ok(tried);
        }
        if let Some(size) = answer.size {
            // The bytes of the part are already on the disk: either they are
            // kept, or the part is removed first.
            self.ensure_room(size.saturating_sub(self.target.part_len()))?;
        }
        if from == 0 {
            self.target.remove_part()?;
        }
        let origin = Origin {
            url: self.target.url.clone(),
            size: answer.size,
            sha256: answer.sha256.clone(),
            validator: answer.validator.clone(),
        };
        let record = self.target.part_origin();
        let part = self.target.part();
        origin.write(&record).map_err(|error| self.cannot_write(error, &record))?;
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(&part)
            .with_context(|| format!("cannot write {part:?}; {WRITABLE}"))?;
        let mut body = BodyFile { hash: Sha256::new(), len: 0 };
        if from == 0 {
            body.append(&mut file, &first).map_err(|error| self.cannot_write(error, &part))?;
        } else {
            body.read_back(&mut file).with_context(|| format!("cannot read {part:?}; remove it"))?;
        }
        let broke_off = self.copy(&mut answer, &mut body, &mut file, from)?;
        file.sync_all().map_err(|error| self.cannot_write(error, &part))?;
        match broke_off {
            Some(why) => Ok(Tried::BrokeOff(why, None)),
            None => Ok(self.finish(&origin, Some(body), from > 0)?),
        }
    }

    /// Reads the first bytes of a body. If they are not those of a GGUF file,
    /// the error says what arrived instead; nothing has been written to disk
    /// yet.
    fn no_gguf(&self, answer: &mut Answer, first: &mut [u8]) -> Result<Option<Tried>> {
        let host = address::host(&self.address);
        let read = answer.body.read_exact(first);
        if let Err(error) = &read
            && !answer.is_page
            && (error.kind() != io::ErrorKind::UnexpectedEof
                || answer.size.is_some_and(|size| size >= first.len() as u64))
        {
            return Ok(Some(Tried::BrokeOff(http::broke_off(error), None)));
        }
        if answer.is_page {
            let blob = if self.target.url.contains("/blob/") {
                " (a file's own address has /resolve/, not /blob/)"
            } else {
                ""
            };
            bail!(
                "{host} answers with a web page and not with the file{blob}; if this network has a login page, log in and start again"
            );
        }
        ensure!(
            read.is_ok() && first == gguf::MAGIC,
            "what {host} sends is no GGUF file; if this network has a login page, log in and start again"
        );
        Ok(None)
    }

    /// Appends the body to `file`. Returns why the body broke off, or `None` if
    /// it is complete as far as its size is known.
    fn copy(
        &self,
        answer: &mut Answer,
        body: &mut BodyFile,
        file: &mut File,
        from: u64,
    ) -> Result<Option<String>, Ending> {
        let patience = self.client.patience();
        let mut progress = Progress::new(&self.target.name, from, answer.size);
        let mut buffer = vec![0; CHUNK];
        let (mut window, mut window_len) = (Instant::now(), body.len);
        loop {
            let read = match answer.body.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Some(http::broke_off(&error))),
            };
            if self.interrupt.is_raised() {
                drop(progress);
                return Err(self.target.interrupted());
            }
            if read == 0 {
                return Ok(match answer.size {
                    Some(size) if body.len < size => Some("the connection broke off".to_owned()),
                    _ => None,
                });
            }
            let appended = if answer.size.is_none() && leaves_too_little(file, body.len) {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                body.append(file, &buffer[..read])
            };
            if let Err(error) = appended {
                drop(progress);
                return Err(self.cannot_write(error, &self.target.part()).into());
            }
            if answer.size.is_some_and(|size| body.len > size) {
                // `finish` reports that the file is too long.
                return Ok(None);
            }
            progress.at(body.len);
            self.interrupt.supervisor().loading();
            if window.elapsed() >= patience.window {
                if body.len - window_len < patience.least {
                    let speed = patience.least / patience.window.as_secs().max(1);
                    return Ok(Some(format!("the server sends less than {}/s", bytes(speed))));
                }
                (window, window_len) = (Instant::now(), body.len);
            }
        }
    }

    /// Verifies the part and renames it to the model. A damaged part is
    /// removed; if it was `resumed`, the download is begun anew, otherwise this
    /// is an error.
    fn finish(&self, origin: &Origin, body: Option<BodyFile>, resumed: bool) -> Result<Tried> {
        let part = self.target.part();
        let body = match body {
            Some(body) => body,
            None => {
                let mut body = BodyFile { hash: Sha256::new(), len: 0 };
                File::open(&part)
                    .and_then(|mut file| body.read_back(&mut file))
                    .with_context(|| format!("cannot read {part:?}; remove it"))?;
                body
            }
        };
        let len = body.len;
        let sha256 = body.hex();
        let fault = if origin.size.is_some_and(|size| size != len) {
            Some(format!("it arrived damaged: {len} bytes instead of {}", origin.size.unwrap_or_default()))
        } else if origin.sha256.as_ref().is_some_and(|expected| *expected != sha256) {
            Some(format!(
                "it arrived damaged: its sha256 is {sha256} instead of {}",
                origin.sha256.as_deref().unwrap_or_default()
            ))
        } else {
            // Only damage is worth another try: a sound file of the wrong kind
            // would arrive the same again.
            gguf::check_path(&part).err().filter(gguf::Fault::is_damage).map(|fault| fault.to_string())
        };
        if let Some(fault) = fault {
            self.target.remove_part()?;
            ensure!(resumed, "{fault}; start again");
            return Ok(Tried::Anew(fault));
        }
        let record = self.target.beside("origin");
        let known = Origin { size: Some(len), sha256: Some(sha256), ..origin.clone() };
        known.write(&record).map_err(|error| self.cannot_write(error, &record))?;
        let path = &self.target.path;
        let placed = put_in_place(&part, path);
        placed.with_context(|| format!("cannot name the file {path:?}; look at the folder's permissions"))?;
        // Only the part's record is left. If it cannot be removed, it does no
        // harm.
        let _ = self.target.remove_part();
        say(format_args!("downloaded {} to {path:?}\n", bytes(len)));
        Ok(Tried::Done)
    }

    fn ensure_room(&self, needed: u64) -> Result<()> {
        // If the file system does not report its free space, the download is
        // tried.
        let Ok(statistics) = statvfs(&self.target.dir) else { return Ok(()) };
        let free = statistics.blocks_available() * statistics.fragment_size();
        ensure!(
            needed.saturating_add(ROOM_TO_LEAVE) <= free,
            "{:?} has {} free and {} more are needed; free some, or give another --model-dir",
            self.target.dir,
            bytes(free),
            bytes(needed.saturating_add(ROOM_TO_LEAVE) - free)
        );
        Ok(())
    }

    /// Removes the part after the disk ran full, because the system needs the
    /// space.
    fn cannot_write(&self, error: io::Error, path: &Path) -> Error {
        if error.kind() != io::ErrorKind::StorageFull {
            return anyhow!("cannot write {path:?} ({error}); {WRITABLE}");
        }
        let had = bytes(self.target.part_len());
        let _ = self.target.remove_part();
        anyhow!(
            "the disk was full after {had}, which are removed again; free some, or give another --model-dir"
        )
    }
}

/// The length and the checksum of the bytes of a part.
struct BodyFile {
    hash: Sha256,
    len: u64,
}

impl BodyFile {
    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)?;
        self.take(bytes);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
    }

    /// Adds the bytes that an earlier try had written.
    fn read_back(&mut self, file: &mut File) -> io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        let mut buffer = vec![0; CHUNK];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                read => self.take(&buffer[..read]),
            }
        }
    }

    fn hex(self) -> String {
        self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
/// Whether a body whose length is not known must not grow further: the rest of
/// the system needs what is left of the disk. Asked every 16 MB.
fn leaves_too_little(file: &File, len: u64) -> bool {
    const STEP: u64 = 16 << 20;
    /// Less than any system's disk has free when it is in order.
    const RESERVE: u64 = 64 << 20;
    if len == 0 || len % STEP >= CHUNK as u64 {
        return false;
    }
    let left = |disk: nix::sys::statvfs::Statvfs| disk.blocks_available() * disk.fragment_size();
    nix::sys::statvfs::fstatvfs(file).is_ok_and(|disk| left(disk) < RESERVE)
}
