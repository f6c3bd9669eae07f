//! What a stick offers, shown on paper and taken with the button. A helper that runs as root
//! (`hardware/stick`) reads the stick and changes the card; this program prints its list,
//! and answers.
//!
//! ```text
//! offer (helper): "take" or "back", "nonce HEX", and a line for each thing
//! answer (program): "yes HEX" or "no HEX"
//! told (helper): what became of it, for the next start
//! ```

use std::cell::RefCell;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use installation::state::folder::StateFolder;
use installation::state::{regular, replace};

/// The longest file of the helper's that is read, in bytes.
const MAX_BYTES: u64 = 16_384;

/// The file of the answer, in the service's `$RUNTIME_DIRECTORY`.
const ANSWER: &str = "answer";

/// In the state folder: what of the helper's words is on paper.
const SEEN: &str = "stick-told";

/// What the helper for sticks has to say.
pub(crate) struct Stick {
    /// Where the helper writes.
    folder: PathBuf,
    /// The nonce of the offer that was answered.
    answered: RefCell<String>,
}

/// What a stick would change.
#[derive(Debug, PartialEq)]
pub(crate) struct Offer {
    nonce: String,
    /// The list for the paper.
    pub(crate) lines: Vec<String>,
}

impl Stick {
    pub(crate) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), answered: RefCell::default() }
    }

    /// What is offered now, if anything is and it was not answered.
    pub(crate) fn offer(&self) -> Option<Offer> {
        let offer = Offer::of(&self.read("offer")?)?;
        (*self.answered.borrow() != offer.nonce).then_some(offer)
    }

    /// Answers an offer.
    ///
    /// # Errors
    ///
    /// When the answer cannot be written.
    pub(crate) fn answer(&self, offer: &Offer, taken: bool) -> Result<()> {
        self.answered.replace(offer.nonce.clone());
        let path = answer().context("a stick is taken only by the service; start it with systemctl")?;
        let text = format!("{} {}", if taken { "yes" } else { "no" }, offer.nonce);
        replace::replace(&path, &[text.as_bytes()])
            .with_context(|| format!("cannot write {path:?}; start the service anew"))
    }

    /// Has what became of the last answer told by `tell`, which returns whether that is on
    /// paper: once.
    pub(crate) fn tell(&self, state: Option<&StateFolder>, tell: impl FnOnce(&str) -> bool) {
        let Some((state, told)) = state.map(StateFolder::path).zip(self.read("told")) else { return };
        let seen = state.join(SEEN);
        if regular::read(&seen, MAX_BYTES).is_ok_and(|seen| seen == told.as_bytes()) {
            return;
        }
        let note = |text: &str| {
            fs::create_dir_all(state).and_then(|()| replace::replace(&seen, &[text.as_bytes()])).is_ok()
        };
        // What cannot be noted would be told at each life.
        if note("") && tell(told.trim()) {
            note(&told);
        }
    }

    fn read(&self, name: &str) -> Option<String> {
        let bytes = regular::read(&self.folder.join(name), MAX_BYTES).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Offer {
    fn of(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (title, question) = match lines.next()? {
            "take" => ("A stick offers:", "take it"),
            "back" => ("A stick was taken today. What was there before:", "have it back"),
            _ => return None,
        };
        let nonce = lines.next()?.strip_prefix("nonce ")?.to_owned();
        let rest = lines.map(str::to_owned);
        let asked = format!("To {question}, hold the button for 3 s. A short press leaves it.");
        let lines = [title.to_owned()].into_iter().chain(rest).chain([asked]).collect();
        Some(Self { nonce, lines })
    }
}

fn answer() -> Option<PathBuf> {
    let folder = env::var_os("RUNTIME_DIRECTORY").filter(|folder| !folder.is_empty())?;
    Some(Path::new(&folder).join(ANSWER))
}
