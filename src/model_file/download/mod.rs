//! Downloads a URL to a verified file in the model folder. The file is there
//! whole or not at all.
//!
//! A download of `m.gguf` leaves these files and no others:
//!
//! | file | what it is |
//! |---|---|
//! | `m.gguf` | the model: written nowhere but by the rename of a verified `.part` |
//! | `m.gguf.part` | what has come so far; never looked at as a model |
//! | `m.gguf.part.origin` | what the server said of the part: URL, size, sha256, ETag |
//! | `m.gguf.origin` | the same of the model, once it is verified |
//! | `….origin.new` | such a record while it is written; only a power cut leaves one |
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
//!
//! | file | what it knows |
//! |---|---|
//! | [`address`] | what a web address is, and what of it may be shown |
//! | `target` | the files of the table above |
//! | `origin` | the record beside a file |
//! | `transfer` | try, resume, verify, put in place |
//! | [`http`] | one GET |
//! | [`progress`] | how far it is, on stderr; the only user of indicatif |

pub mod address;
pub mod http;
mod origin;
mod progress;
mod target;
mod transfer;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use crossbeam_channel::bounded;

use self::http::Client;
use self::target::Target;
use self::transfer::Download;
use crate::life::ending::Ending;
use crate::life::interrupt::Interrupt;

/// How long an interrupted download may take to end by itself before the
/// process ends around it.
const FAREWELL: Duration = Duration::from_millis(500);

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
    // each take as long as the client's patience, and a signal must not.
    let download = Download::new(address, target.clone(), client, interrupt.clone());
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
            Ok(_) => Err(anyhow!("the download ended without an answer; start again").into()),
        },
    }
}
