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
//! | `downloads.wait` | how long a server asked not to be asked again; in force from its modification on |
//!
//! Every fault that ends the program prints one line, and the exit status is 1.
//! "By hand" stands for: *fetch `<URL>` by hand to `<the path the program looks
//! at>`, or give --model ember*.
//!
//! | fault | what the program says and does | left on disk |
//! |---|---|---|
//! | connection refused, host not found | cannot reach HOST (why); look at the network; by hand | nothing, or what was kept before |
//! | certificate not valid yet, expired | says so, and to set the clock; the board has none of its own | the same |
//! | certificate not trusted | says so, and that SSL_CERT_FILE names those to trust | the same |
//! | 401, 403, 451 | whether the token, the account, the repository, a firewall or a law is the reason; who redirected | the same |
//! | 404 | it has no such file; look at the address again | the same |
//! | 407, 511 | that a proxy wants a password, or the network a login | the same |
//! | 429; 503 with `Retry-After` | waits as long as it is asked to, up to a minute, and tries again; if longer, when to start again, and does not ask before, in another start neither; by hand | the same, and `downloads.wait` |
//! | 408, 425, 5xx, no answer | tries again, five times in all; then by hand | the same |
//! | body cut short, stalled, or slower than 10 kB/s for a minute | requests the rest, five tries in all; then says how much is kept | the part |
//! | body cut short when the server never stated a size | it arrived damaged | nothing |
//! | redirect loop, redirect to an unencrypted address | says so; by hand | nothing, or what was kept before |
//! | a web page, or anything else that is no GGUF file | a network's login page may have answered; by hand | the same |
//! | wrong sha256 or size; without a sha256, a header that does not fit the file | it arrived damaged; a resumed download is begun anew | nothing |
//! | the right sha256 and a header that llama.cpp cannot read | what is wrong with the model; by name.rs | the model |
//! | 200 or another part in answer to a Range; a changed size or ETag; an oversize part | begins anew and says so | the new part |
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
//! | `address` | parses web addresses; which part of one may be logged |
//! | `files` | the paths of the files above, which of them exist, and the records; what a failed download can be replaced by |
//! | `transfer` | the loop: asks, resumes, checks, renames |
//! | `answers` | what was answered: the words of the table above, and what follows |
//! | [`http`] | one HTTP GET: variables, token, redirects, time limits |
//! | [`repository`] | a repository of the hub, and which of its files is meant |
//! | `reach` | which of a host's addresses is asked: the first that answers |
//! | `wait` | how long a server asked not to be asked again |
//! | `progress` | the progress on stderr |

mod address;
mod answers;
mod files;
pub mod http;
mod progress;
mod reach;
pub mod repository;
mod transfer;
mod wait;

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use self::files::{Files, Origin};
use self::http::Client;
use self::repository::Repository;
use self::transfer::Download;
use installation::board::threads;
use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;

/// How often it is looked whether the download thread has ended.
const GLANCE: Duration = Duration::from_millis(50);

/// The time after a signal that the download thread has for leaving its bar on the
/// screen, before the process ends without it.
const FAREWELL: Duration = Duration::from_millis(200);

/// The path in `dir` of the file that `url` names, and the sha256 that it had when
/// it was downloaded, if it was.
///
/// # Errors
///
/// When the file there is from elsewhere, or was changed.
pub(super) fn kept(url: &str, dir: &Path) -> Result<(PathBuf, Option<String>)> {
    let files = Files::new(&address::web_address(url)?, dir)?;
    files.is_there()?;
    let sha256 = Origin::read(&files.record).and_then(|record| record.sha256);
    Ok((files.path, sha256))
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
    let files = Files::new(&address, dir)?;
    if files.is_there()? {
        return Ok(files.path);
    }
    let client = client().map_err(|error| files.with_way_out(&error))?;
    let download = Download { address, files: files.clone(), client, interrupt: interrupt.clone() };
    let ended = beside(interrupt, || files.what_is_kept(), move || download.run())?;
    ended.map_err(|error| files.with_way_out(&error))?;
    Ok(files.path)
}

/// The URL of the file of `repository` that is meant: of one that is in `dir`, or else as the
/// hub tells. Fails as [`model`].
pub(super) fn file_of(
    repository: &Repository,
    dir: &Path,
    client: impl FnOnce() -> Result<Client>,
    interrupt: &Interrupt,
) -> Result<String, Ending> {
    if let Some(url) = repository.kept(dir) {
        return Ok(url);
    }
    let failed = |error| {
        anyhow!(
            "cannot download {repository} (no such file is here, so it is taken for a repository): {error:#}; \
             or give --model ember"
        )
    };
    let (client, asked, raised) = (client().map_err(failed)?, repository.clone(), interrupt.clone());
    let (dir, address) = (dir.to_path_buf(), address::web_address(&repository.address())?);
    let url = beside(interrupt, String::new, move || {
        let _folder = transfer::lock(&dir)?;
        let ask = || client.get(&address, None).and_then(|answer| asked.file(answer));
        transfer::ask(&client.patience, &dir, &raised, ask)
    })?;
    Ok(url.map_err(failed)?)
}

/// Does `work` on a thread of its own: looking up a host, connecting, reading and waiting for
/// another process may each take long, and the reaction to a signal must not.
fn beside<T: Send + 'static>(
    interrupt: &Interrupt,
    kept: impl Fn() -> String,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<Result<T>, Ending> {
    let worker = threads::start("download", work)?;
    while !worker.is_finished() && !interrupt.is_raised_within(GLANCE) {}
    if interrupt.is_raised() {
        thread::sleep(FAREWELL);
        return Err(Ending::Interrupted(format!("while downloading the model{}", kept())));
    }
    Ok(worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
}
