//! Downloads a URL to a verified file in the model folder. It never leaves an
//! incomplete file with the model's name.
//!
//! A download of `m.gguf` leaves these files and no others:
//!
//! | file | what it is |
//! |---|---|
//! | `m.gguf` | the model: appears only when a verified `.part` is renamed |
//! | `m.gguf.part` | the bytes received so far; never loaded as a model |
//! | `m.gguf.part.origin` | the record of the part: URL, and the server's size, sha256 and ETag |
//! | `m.gguf.origin` | the record of the model, once it is verified |
//! | `….origin.new` | such a record while it is written; only a power cut or SIGKILL leaves one |
//!
//! Every fault that ends the program prints one line, and the exit status is 1.
//! "By hand" stands for: *fetch `<URL>` by hand to `<the path the program looks
//! at>`, or give --model ember*.
//!
//! | fault | what the program says and does | left on disk |
//! |---|---|---|
//! | connection refused, host not found | cannot reach HOST (why); look at the network; by hand | nothing, or what was kept before |
//! | certificate not valid yet, expired, not trusted | says so, and to check the clock; the board has none of its own | the same |
//! | 401, 403 | set HF_TOKEN; accept the model's terms | the same |
//! | 404 | it has no such file; look at the address again | the same |
//! | 429 | waits as long as `Retry-After` asks, up to a minute, and tries again; then by hand | the same |
//! | 5xx, no answer | tries again, five times in all; then by hand | the same |
//! | body cut short, stalled, or slower than 10 kB/s for a minute | requests the rest, five tries in all; then says how much is kept | the part |
//! | body cut short when the server never stated a size | the file is damaged or incomplete | nothing |
//! | redirect loop, redirect to an unencrypted address | says so; by hand | nothing, or what was kept before |
//! | a web page, or anything else that is no GGUF file | a network's login page may have answered; by hand | the same |
//! | wrong sha256 or size | it arrived damaged; a resumed download is begun anew, once | nothing |
//! | 200 in answer to a Range, a changed ETag, a wrong or oversize part | begins anew and says so | the new part |
//! | 416 on a part that is complete | verifies it | the model |
//! | not enough room | how much is needed and free; by hand | nothing, or what was kept before |
//! | disk full during the download | how much had arrived; free some | nothing |
//! | folder missing and cannot be created, or not writable | names it; give --model-dir | nothing |
//! | SIGINT | `interrupted`, how far it got, exit status 130 | the part |
//! | SIGKILL, power cut | nothing; the next start resumes | the part |
//! | another process is downloading to the folder | waits, and says so | |
//! | a model of the same file name is there, from another URL | both URLs; move the file or give --model-dir | the model that was there |
//!
//! | file | what it knows |
//! |---|---|
//! | [`address`] | parses web addresses; which part of one may be logged |
//! | `target` | the paths of the files above, and which of them exist |
//! | `origin` | the record beside a file |
//! | `transfer` | tries, resumes, verifies, renames |
//! | [`http`] | one HTTP GET |
//! | [`progress`] | the progress on stderr |

pub mod address;
pub mod http;
mod origin;
mod progress;
mod target;
mod transfer;

use crate::board::threads;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow};
use crossbeam_channel::bounded;

use self::http::Client;
use self::target::Target;
use self::transfer::Download;
use crate::life::ending::Ending;
use crate::life::interrupt::Interrupt;

/// How long the process waits for the download thread after a signal, before it
/// ends without it.
const FAREWELL: Duration = Duration::from_millis(500);

/// A model in `dir`, and the sha256 that it had when it was downloaded, if that is
/// known. `None` if the file that `url` names is not there.
///
/// # Errors
///
/// When the file there is from elsewhere, or was changed.
pub(super) fn kept(url: &str, dir: &Path) -> Result<(PathBuf, Option<Option<String>>)> {
    let target = Target::new(&address::web_address(url)?, dir)?;
    let is_there = target.is_there()?;
    let sha256 = is_there.then(|| target.origin().and_then(|origin| origin.sha256));
    Ok((target.path, sha256))
}

/// Returns the path of the file that `url` names, in `dir`. If it is not there,
/// it is downloaded with the client that `client` creates.
///
/// # Errors
///
/// A fault with the next step for the user, or [`Ending::Interrupted`] when a
/// signal came first; the bytes received so far are kept.
pub fn model(
    url: &str,
    dir: &Path,
    client: impl FnOnce() -> Result<Client>,
    interrupt: &Interrupt,
) -> Result<PathBuf, Ending> {
    let address = address::web_address(url)?;
    let target = Target::new(&address, dir)?;
    if target.is_there()? {
        return Ok(target.path);
    }
    let client = client()?;
    if client.is_offline() {
        return Err(anyhow!(
            "model {:?} is not there and HF_HUB_OFFLINE forbids the network; unset it, or {}",
            target.path,
            target.by_hand()
        )
        .into());
    }
    // On a thread of its own: looking up a host, connecting and reading may
    // each take as long as the client's time limits, and the reaction to a
    // signal must not.
    let download = Download::new(address, target.clone(), client, interrupt.clone());
    let (sender, receiver) = bounded(1);
    let worker = threads::start("download", move || sender.send(download.run()))?;
    let ended = match interrupt.or_next(&receiver) {
        Some(ended) => Some(ended),
        None => receiver.recv_timeout(FAREWELL).ok(),
    };
    match ended {
        Some(ended) => ended.map(|()| target.path),
        None if interrupt.is_raised() => Err(target.interrupted()),
        // The thread ended without a result: its panic continues in this
        // thread.
        None => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => Err(anyhow!("the download ended without an answer; start again").into()),
        },
    }
}
