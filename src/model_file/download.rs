//! From a URL to a verified file in the model folder, which is there whole or
//! not at all.
//!
//! A download of `m.gguf` leaves these files and no others:
//!
//! | file | what it is |
//! |---|---|
//! | `m.gguf` | the model: written nowhere but by the rename of a verified `.part` |
//! | `m.gguf.part` | what has come so far; never looked at as a model |
//! | `m.gguf.part.origin` | what the server said of the part: URL, size, sha256, ETag |
//! | `m.gguf.origin` | the same of the model, once it is verified |
//!
//! Every fault ends in one line and exit status 1. "By hand" stands for:
//! *fetch `<URL>` by hand to `<the path the program looks at>`, or give
//! --model ember*.
//!
//! | fault | what the user reads | left on disk |
//! |---|---|---|
//! | connection refused, host not found | cannot reach HOST (why); look at the network; by hand | nothing, or what was kept before |
//! | certificate not valid yet, expired, not trusted | says so, and that the board has no clock | the same |
//! | 401, 403 | set HF_TOKEN; accept the model's terms | the same |
//! | 404 | it has no such file; look at the address again | the same |
//! | 429 | waits as long as `Retry-After` asks, up to a minute, and asks again; then by hand | the same |
//! | 5xx, no answer | asks again, five times in all; then by hand | the same |
//! | body cut short, stalled, or slower than 10 kB/s for a minute | asks for the rest, five times in all; then says how much is kept | the part |
//! | body cut short where no size was ever said | the file is damaged or not whole | nothing |
//! | redirect loop, redirect to an unencrypted address | says so; by hand | nothing, or what was kept before |
//! | a web page, or anything else that is no GGUF file | a network's login page may have answered; by hand | the same |
//! | wrong sha256 or size | it arrived damaged; after a resumed download it begins anew once | nothing |
//! | 200 in answer to a Range, a changed ETag, a wrong or oversize part | begins anew and says so | the new part |
//! | 416 on a part that is whole | verifies it | the model |
//! | not enough room | how much is needed and free; by hand | nothing, or what was kept before |
//! | disk full on the way | how much had come; free some | nothing |
//! | folder missing and not to be made, not writable | names it; give --model-dir | nothing |
//! | SIGINT | `interrupted`, how far it got, exit status 130 | the part |
//! | SIGKILL, power cut | nothing; the next start resumes | the part |
//! | another process is at it | waits, and says so | |
//! | the same file name from another URL | both URLs; move the file or give --model-dir | the model that was there |

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use crossbeam_channel::bounded;
use nix::sys::statvfs::statvfs;
use sha2::{Digest, Sha256};
use ureq::http::Uri;

use crate::life::ending::Ending;
use crate::life::interrupt::Interrupt;
use crate::model_file::gguf;
use crate::model_file::http::{self, Answer, Client, Fault, Part, Rest};
use crate::model_file::progress::{Progress, bytes};
use crate::text::stderr::say;

/// Bytes read at once: a tenth of a second's worth on the board's Wi-Fi.
const CHUNK: usize = 1 << 16;

/// How often a process that waits for another one's download looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How long an interrupted download may take to end by itself before the
/// process ends around it.
const FAREWELL: Duration = Duration::from_millis(500);

/// The next step where the model folder is of no use.
const WRITABLE: &str = "give --model-dir a folder that can be written";

/// Left free on the disk, for the system's own needs, in bytes.
const ROOM_TO_LEAVE: u64 = 8 << 20;

/// The file that `url` names in `dir`: downloaded with the client that
/// `client` makes, unless it is there.
///
/// # Errors
///
/// A fault with the manual way out, or [`Ending::Interrupted`] when the signal
/// came first; what had come is kept.
pub fn model(
    url: &str,
    dir: &Path,
    client: impl FnOnce() -> Result<Client>,
    interrupt: &Interrupt,
) -> Result<PathBuf> {
    let address = http::web_address(url)?;
    let target = Target::new(&address, dir)?;
    if target.is_there()? {
        return Ok(target.path);
    }
    let client = client()?;
    ensure!(
        !client.is_offline(),
        "model {:?} is not there and HF_HUB_OFFLINE forbids the network; unset it, or {}",
        target.path,
        target.by_hand()
    );
    // On a thread of its own: looking up a host, connecting and reading may
    // each take as long as the client's patience, and a signal must not.
    let download = Download { address, target: target.clone(), client, interrupt: interrupt.clone() };
    let (sender, receiver) = bounded(1);
    let worker = thread::spawn(move || sender.send(download.run()));
    let ended = match interrupt.or_next(&receiver) {
        Some(ended) => Some(ended),
        None => receiver.recv_timeout(FAREWELL).ok(),
    };
    match ended {
        Some(ended) => ended.map(|()| target.path),
        None if interrupt.is_raised() => Err(target.interrupted()),
        // It ended without an answer: its panic is this thread's too.
        None => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => bail!("the download ended without an answer; start again"),
        },
    }
}

/// Where a model comes from and goes to.
#[derive(Debug, Clone)]
struct Target {
    /// The URL without its query, which may hold a secret.
    url: String,
    name: String,
    dir: PathBuf,
    path: PathBuf,
}

impl Target {
    fn new(address: &Uri, dir: &Path) -> Result<Self> {
        let name = http::file_name(address)?.to_owned();
        let url = http::shown(&address.to_string()).to_owned();
        Ok(Self { url, path: dir.join(&name), name, dir: dir.to_path_buf() })
    }

    /// Whether the model is there, and from this URL as far as is known: one
    /// that was put there by hand has no origin.
    fn is_there(&self) -> Result<bool> {
        let Ok(metadata) = fs::metadata(&self.path) else { return Ok(false) };
        let Some(origin) = Origin::read(&self.beside("origin")) else { return Ok(true) };
        ensure!(
            origin.url == self.url,
            "model {:?} came from {}, not from {}; move it away, give another --model-dir, or name the file itself with --model",
            self.path,
            origin.url,
            self.url
        );
        ensure!(
            origin.size.is_none_or(|size| size == metadata.len()),
            "model {:?} is {} bytes and {} were downloaded: it was changed or damaged; delete it, and the next start downloads it again",
            self.path,
            metadata.len(),
            origin.size.unwrap_or_default()
        );
        Ok(true)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        self.dir.join(format!("{}.{ending}", self.name))
    }

    fn part(&self) -> PathBuf {
        self.beside("part")
    }

    /// The bytes of an unfinished download, 0 where there is none.
    fn part_len(&self) -> u64 {
        fs::metadata(self.part()).map_or(0, |metadata| metadata.len())
    }

    /// What the server said of the part: of no account for a model that was
    /// put in its place by hand.
    fn part_origin(&self) -> PathBuf {
        self.beside("part.origin")
    }

    /// What has come so far, where it can be gone on from.
    fn kept(&self) -> Option<Kept> {
        let origin = Origin::read(&self.part_origin()).filter(|origin| origin.url == self.url)?;
        Some(Kept { len: self.part_len(), origin }).filter(|kept| kept.len > 0)
    }

    fn remove_part(&self) -> Result<()> {
        for path in [self.part(), self.part_origin()] {
            if path.exists() {
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {path:?}; remove it by hand"))?;
            }
        }
        Ok(())
    }

    fn interrupted(&self) -> Error {
        let kept = match self.part_len() {
            0 => String::new(),
            len => format!("; {} are kept and the next start goes on from there", bytes(len)),
        };
        Ending::Interrupted(format!("while downloading the model{kept}")).into()
    }

    fn by_hand(&self) -> String {
        format!("fetch {} by hand to {:?}, or give --model ember", self.url, self.path)
    }

    /// `error` with the way out that needs no network of the program's.
    fn with_way_out(&self, error: &Error) -> Error {
        let kept = match self.kept() {
            Some(kept) => format!("{} are kept and the next start goes on from there; ", bytes(kept.len)),
            None => String::new(),
        };
        anyhow!("cannot download {}: {error:#}; {kept}or {}", self.name, self.by_hand())
    }
}

/// An unfinished download.
#[derive(Debug)]
struct Kept {
    len: u64,
    origin: Origin,
}

/// Where a file comes from, as it is written beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Origin {
    url: String,
    size: Option<u64>,
    sha256: Option<String>,
    validator: Option<String>,
}

impl Origin {
    /// Reads a record; one that is torn says less, and then less is known.
    fn read(path: &Path) -> Option<Self> {
        Some(Self::parse(&fs::read_to_string(path).ok()?)).filter(|origin| !origin.url.is_empty())
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            line.filter_map(|line| line.split_once(": "))
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.to_owned())
        };
        Self {
            url: value("url").unwrap_or_default(),
            size: value("size").and_then(|size| size.parse().ok()),
            sha256: value("sha256"),
            validator: value("validator"),
        }
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = format!("url: {}\n", self.url);
        let size = self.size.map(|size| size.to_string());
        for (key, value) in [("size", &size), ("sha256", &self.sha256), ("validator", &self.validator)] {
            if let Some(value) = value {
                text += &format!("{key}: {value}\n");
            }
        }
        let mut file = File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }
}

/// How a try went on.
enum Tried {
    /// The model is in its place.
    Done,
    /// What was kept is of no use and gone; the words say why.
    Anew(String),
    /// It broke off; asking again may help, after a pause where one is asked.
    BrokeOff(String, Option<Duration>),
}

/// One download, on a thread of its own.
struct Download {
    address: Uri,
    target: Target,
    client: Client,
    interrupt: Interrupt,
}

impl Download {
    fn run(&self) -> Result<()> {
        let dir = &self.target.dir;
        fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {dir:?}; {WRITABLE}"))?;
        let _lock = self.lock().with_context(|| format!("cannot lock the folder {dir:?}; {WRITABLE}"))?;
        // Another process may have downloaded it while this one waited.
        if self.target.is_there()? {
            return Ok(());
        }
        let ended = self.try_and_try_again();
        ended.map_err(|error| match error.downcast_ref::<Ending>() {
            Some(_) => error,
            None => self.target.with_way_out(&error),
        })
    }

    /// Locks the folder itself, so that no lock file is left behind.
    fn lock(&self) -> Result<File> {
        let folder = File::open(&self.target.dir)?;
        let mut said = false;
        loop {
            match folder.try_lock() {
                Ok(()) => return Ok(folder),
                Err(TryLockError::Error(error)) => return Err(error.into()),
                Err(TryLockError::WouldBlock) => {}
            }
            if !said {
                say(&format!("waiting: another process is downloading to {:?}\n", self.target.dir));
                said = true;
            }
            if self.interrupt.is_raised_within(LOOK_AGAIN) {
                return Err(
                    Ending::Interrupted("while waiting for another process's download".to_owned()).into()
                );
            }
        }
    }

    fn try_and_try_again(&self) -> Result<()> {
        let patience = *self.client.patience();
        let mut pause = patience.pause;
        let mut anew = false;
        let mut tries = 1;
        loop {
            match self.try_once()? {
                Tried::Done => return Ok(()),
                Tried::Anew(why) => {
                    ensure!(!anew, "{why}, twice in a row");
                    anew = true;
                    say(&format!("downloading {} from the beginning: {why}\n", self.target.name));
                }
                Tried::BrokeOff(why, asked) => {
                    ensure!(tries < patience.tries, "{why} at each of {tries} tries");
                    let asked = asked.unwrap_or(pause);
                    ensure!(
                        asked <= patience.longest_pause,
                        "{why} and asks for {} s of patience; start again then",
                        asked.as_secs()
                    );
                    say(&format!("{why}; asking again in {} s\n", asked.as_secs_f32()));
                    if self.interrupt.is_raised_within(asked) {
                        return Err(self.target.interrupted());
                    }
                    tries += 1;
                    pause *= 2;
                }
            }
        }
    }

    fn try_once(&self) -> Result<Tried> {
        let kept = self.target.kept();
        if let Some(Kept { len, origin }) = &kept {
            match origin.size {
                Some(size) if *len == size => return self.finish(origin, None, true),
                Some(size) if *len > size => {
                    return self.anew("what was kept is longer than the file");
                }
                _ => {}
            }
        }
        // Without a validator nobody can tell whether the rest is of the same
        // version: then it is asked for whole.
        let kept = kept.filter(|kept| kept.origin.validator.is_some());
        let rest = kept
            .as_ref()
            .and_then(|kept| Some(Rest { from: kept.len, validator: kept.origin.validator.as_deref()? }));
        let mut answer = match self.client.get(&self.address, rest) {
            Ok(answer) => answer,
            Err(Fault::Passing(why, pause)) => return Ok(Tried::BrokeOff(why, pause)),
            Err(Fault::Lasting(error)) => return Err(error),
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
                say(&format!(
                    "downloading {} from the beginning: it has changed, or its server does not resume\n",
                    self.target.name
                ));
                self.receive(answer, 0)
            }
            _ if other_hash || other_size => self.anew("the file on the server has changed"),
            Part::From(from) if from == kept.len => {
                say(&format!("going on with {} at {}\n", self.target.name, bytes(kept.len)));
                answer.size = answer.size.or(kept.origin.size);
                answer.sha256 = answer.sha256.or(kept.origin.sha256);
                answer.validator = answer.validator.or(kept.origin.validator);
                self.receive(answer, kept.len)
            }
            Part::Beyond if answer.size == Some(kept.len) => self.finish(&kept.origin, None, true),
            Part::From(_) => self.anew("the server sends another part than the one that is missing"),
            Part::Beyond => self.anew("what was kept does not fit the file"),
        }
    }

    fn anew(&self, why: &str) -> Result<Tried> {
        self.target.remove_part()?;
        Ok(Tried::Anew(why.to_owned()))
    }

    /// Receives a body whose first byte is the file's byte `from`.
    fn receive(&self, mut answer: Answer, from: u64) -> Result<Tried> {
        ensure!(answer.part != Part::Beyond, "the server says that the file has no beginning");
        let mut first = [0; gguf::MAGIC.len()];
        if from == 0
            && let Some(tried) = self.no_gguf(&mut answer, &mut first)?
        {
            return Ok(tried);
        }
        if let Some(size) = answer.size {
            // A part that is begun anew makes room for itself.
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
            None => self.finish(&origin, Some(body), from > 0),
        }
    }

    /// Reads the first bytes of a body, and says what is wrong if they are
    /// not a GGUF file's. Nothing is on disk by then.
    fn no_gguf(&self, answer: &mut Answer, first: &mut [u8]) -> Result<Option<Tried>> {
        let host = http::host(&self.address);
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

    /// Appends what comes to `file`. Returns why it broke off, or `None` when
    /// the file is whole as far as its size is known.
    fn copy(
        &self,
        answer: &mut Answer,
        body: &mut BodyFile,
        file: &mut File,
        from: u64,
    ) -> Result<Option<String>> {
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
            if let Err(error) = body.append(file, &buffer[..read]) {
                drop(progress);
                return Err(self.cannot_write(error, &self.target.part()));
            }
            if answer.size.is_some_and(|size| body.len > size) {
                // `finish` finds it too long.
                return Ok(None);
            }
            progress.at(body.len);
            if window.elapsed() >= patience.window {
                if body.len - window_len < patience.least {
                    let speed = patience.least / patience.window.as_secs().max(1);
                    return Ok(Some(format!("the server sends less than {}/s", bytes(speed))));
                }
                (window, window_len) = (Instant::now(), body.len);
            }
        }
    }

    /// Verifies the part and gives it its name. `resumed` parts that turn out
    /// damaged are worth a second try.
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
            // What is whole and of no use here would arrive so again.
            crate::model_file::name::check(&part)
                .err()
                .filter(gguf::Fault::is_damage)
                .map(|fault| fault.to_string())
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
        let placed = fs::rename(&part, path).and_then(|()| File::open(&self.target.dir)?.sync_all());
        placed.with_context(|| format!("cannot name the file {path:?}; look at the folder's permissions"))?;
        // What is left of the part is its origin; it harms nobody.
        let _ = self.target.remove_part();
        say(&format!("downloaded {} to {path:?}\n", bytes(len)));
        Ok(Tried::Done)
    }

    fn ensure_room(&self, needed: u64) -> Result<()> {
        // A file system that does not say how much is free is tried.
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

    /// A disk that ran full gets its room back: the system has to go on.
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

/// The bytes of a part: how many, and their hash.
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

    /// Takes in what an earlier attempt had written.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("origin");
        let origin = Origin {
            url: "https://h/m.gguf".to_owned(),
            size: Some(3),
            sha256: None,
            validator: Some("\"a: b\"".to_owned()),
        };
        origin.write(&path).expect("written");
        assert_eq!(Origin::read(&path), Some(origin));
    }

    #[test]
    fn a_torn_origin_does_not_say_what_it_says_in_part() {
        let origin = Origin::parse("url: https://h/m.gguf\nsize: 12");
        assert_eq!(origin, Origin { url: "https://h/m.gguf".to_owned(), ..Origin::default() });
    }

    #[test]
    fn the_query_of_a_url_is_not_kept() {
        let address = http::web_address("https://h/m.gguf?token=secret").expect("an address");
        let target = Target::new(&address, Path::new("models")).expect("a target");
        assert_eq!((target.url.as_str(), target.name.as_str()), ("https://h/m.gguf", "m.gguf"));
    }
}
