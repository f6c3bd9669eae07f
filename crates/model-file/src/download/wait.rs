//! How long a server asked not to be asked again, beside the downloads: a supervisor starts the
//! program again in seconds, and it must not ask before.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::answers::LONGEST_WAIT;
use installation::state::regular;
use installation::state::replace::replace;

/// One for all files of the folder, since a limit is the account's or the network's.
fn path(dir: &Path) -> PathBuf {
    dir.join("downloads.wait")
}

/// What a server said, and how long not to ask from now on, if that is not over. By a clock that
/// was set back since, it is over: nothing is waited for longer than what was asked.
pub(super) fn noted(dir: &Path) -> Option<(String, Duration)> {
    // A number and a line.
    let text = String::from_utf8(regular::read(&path(dir), 4096).ok()?).ok()?;
    let (seconds, what) = text.trim_end().split_once(' ')?;
    let wait = Duration::from_secs(seconds.parse().ok()?).min(LONGEST_WAIT);
    let since = fs::metadata(path(dir)).ok()?.modified().ok()?;
    let left = wait.checked_sub(SystemTime::now().duration_since(since).ok()?)?;
    Some((what.lines().next()?.to_owned(), left))
}

/// Notes it. Where that cannot be written, nothing of the model could be either.
pub(super) fn note(dir: &Path, what: &str, wait: Duration) {
    let _ = replace(&path(dir), &[format!("{} {what}\n", wait.as_secs()).as_bytes()]);
}

pub(super) fn forget(dir: &Path) {
    let _ = fs::remove_file(path(dir));
}
