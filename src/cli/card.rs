//! The folder on the SD card's boot partition, which every computer shows: settings and
//! texts that win over the variables. What is wrong there is told once on paper, and the
//! last that were lived with go on.
//!
//! ```text
//! card ── read, checked ──► a life that comes to its death ──► kept in the state folder
//!   └── wrong, or a fault before ──► refused until it changes
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Command;

use super::settings::{self, Setting};
use installation::board::boot;
use installation::life::prompt::hash;
use installation::state::folder::StateFolder;
use installation::state::{regular, replace};
use installation::text::fault::one_line;
use installation::text::file;
use installation::text::stderr::warn;

/// The file of the settings, and those that stand for an option each.
const SETTINGS: &str = "settings.txt";
const FILES: [(&str, &str); 4] = [
    ("prompt.txt", "prompt_file"),
    ("receipt.txt", "receipt"),
    ("epitaph.txt", "epitaph"),
    ("voice.gguf", "lora"),
];

/// A model counts where it is: it is too long to be kept. What is kept is an empty file of
/// its length and time.
const MODEL: &str = "model.gguf";

/// The longest file that is kept, in bytes: a voice of a rank of 64 on the default model.
const MAX_BYTES: u64 = 40_000_000;

/// What is told of what is wrong: lines, and characters of a line. A card may hold a text of
/// thousands of lines in the place of its settings, and paper is slow.
const MAX_FAULTS: usize = 10;
const MAX_FAULT: usize = 300;

/// In the state folder: what was lived with last, what is refused, and what was tried.
const KEPT: &str = "card";
const REFUSED: &str = "card-refused";
const TRIED: &str = "card-tried";
/// Starts in a row that something on the card may end so that the program cannot tell why.
const TRIES: usize = 3;
/// The last line of [`REFUSED`] once it was told on paper.
const TOLD: &str = "told";

/// What is told then.
const CUT_OFF: &str = "the box was cut off three times before it was ready with what is on the card; \
                       take away what is new there, first of all a model or a voice";

/// What the card gives to a start of the program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Card {
    /// The folder on the card.
    folder: PathBuf,
    state: Option<PathBuf>,
    /// What tells the card's present content from another.
    mark: String,
    /// What is wrong on the card, one line each.
    faults: Vec<String>,
    told: bool,
    /// The boot of the system for which that counts; empty if until the content changes.
    boot: String,
    /// Whether it sets anything.
    sets: bool,
}

impl Card {
    /// Reads the card's folder. Returns what it sets too; where it is wrong, what was
    /// kept sets, and a model counts if it was there then.
    pub(super) fn read(
        folder: &Path,
        state: Option<&StateFolder>,
        command: &Command,
    ) -> (Self, Vec<Setting>) {
        let (card, mut settings) = Self::without_model(folder, state, command);
        let model = folder.join(MODEL);
        let kept = card.state.as_ref().map(|state| state.join(KEPT).join(MODEL)).filter(|kept| kept.exists());
        let is_blamed = card.faults.iter().any(|fault| fault.contains(MODEL));
        let is_of_the_kept = kept.as_ref().is_some_and(|kept| told_of(kept) == told_of(&model));
        if model.exists() && (card.faults.is_empty() || is_of_the_kept && !is_blamed) {
            settings.push(("model".to_owned(), model.to_string_lossy().into_owned()));
        } else if kept.is_some() {
            // The voice that was kept is of the model that is gone.
            settings.retain(|(id, _)| !["lora", "lora_scale"].contains(&id.as_str()));
        }
        (Self { sets: !settings.is_empty(), ..card }, settings)
    }

    fn without_model(folder: &Path, state: Option<&StateFolder>, command: &Command) -> (Self, Vec<Setting>) {
        let state = state.map(|state| state.path().to_owned());
        let kept = state.as_ref().map(|state| state.join(KEPT)).filter(|kept| kept.is_dir());
        let mut card = Self { folder: folder.to_owned(), state, ..Self::default() };
        if folder.is_dir() {
            card.mark = mark_of(folder);
            let (settings, faults) = settings_of(folder, command);
            let faults = if card.tries() < TRIES { short(faults) } else { vec![CUT_OFF.to_owned()] };
            // Without a place to note that it was told it would be told on paper at each life.
            (card.faults, card.told) = card.refused().unwrap_or((faults, card.state.is_none()));
            if card.faults.is_empty() {
                return (card, settings);
            }
        } else {
            card.faults.push(format!(
                "there is no folder {folder:?} with settings; put it back, or switch the box off and on, which makes it"
            ));
            card.told = true;
        }
        (card, kept.map(|kept| settings_of(&kept, command).0).unwrap_or_default())
    }

    /// What is wrong on the card, one line each.
    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// The folder, if one is named.
    pub(crate) fn folder(&self) -> Option<&Path> {
        Some(self.folder.as_path()).filter(|folder| !folder.as_os_str().is_empty())
    }

    /// Whether that has still to be told on paper.
    pub(crate) fn is_to_be_told(&self) -> bool {
        !self.faults.is_empty() && !self.told
    }

    /// Notes what is wrong, and whether it was `told`.
    pub(crate) fn note(&self, told: bool) -> Result<()> {
        let told = told.then(|| TOLD.to_owned());
        self.write_refused(&self.boot, &self.faults.iter().cloned().chain(told).collect::<Vec<_>>())
    }

    /// Whether no life has come to its death with what the card sets.
    fn is_new(&self) -> bool {
        let kept = self.state.as_ref().map(|state| state.join(KEPT));
        self.sets && self.faults.is_empty() && kept.is_some_and(|kept| mark_of(&kept) != self.mark)
    }

    /// The starts in a row with the card's present content that came to no end of their own.
    fn tries(&self) -> usize {
        let tried = self.state.as_ref().map(|state| regular::read(&state.join(TRIED), 1000));
        let tried = tried.and_then(Result::ok).map(|tried| String::from_utf8_lossy(&tried).into_owned());
        tried.map_or(0, |tried| tried.lines().filter(|mark| *mark == self.mark).count())
    }

    /// Notes that a start begins with what the card gives, if that is new: it may kill the
    /// program, as a model does that llama.cpp ends for.
    pub(crate) fn begin(&self) {
        if let Some(state) = self.state.as_ref().filter(|_| self.is_new()) {
            let tried = format!("{}\n", self.mark).repeat(self.tries() + 1);
            // Without the note a start is one of none.
            let _ = fs::create_dir_all(state)
                .and_then(|()| replace::replace(&state.join(TRIED), &[tried.as_bytes()]));
        }
    }

    /// The start is armed, or can tell why not.
    pub(crate) fn has_begun(&self) {
        if let Some(state) = self.state.as_ref().filter(|_| self.is_new()) {
            let _ = fs::remove_file(state.join(TRIED));
        }
    }

    /// Notes that a life came to its death with what the card gives: it is what the next
    /// starts go back to. Nothing is written while nothing has changed, nor where a stick has
    /// changed the card since.
    pub(crate) fn keep(&self) -> Result<()> {
        let Some(state) = self.state.as_ref().filter(|_| self.faults.is_empty()) else { return Ok(()) };
        let (kept, new) = (state.join(KEPT), state.join("card.new"));
        let has_changed = || mark_of(&self.folder) != self.mark;
        if mark_of(&kept) == self.mark || has_changed() {
            return Ok(());
        }
        let keep = || {
            let _ = fs::remove_dir_all(&new);
            fs::create_dir_all(&new)?;
            for name in names().filter(|name| self.folder.join(name).exists()) {
                let from = regular::open(&self.folder.join(name))?;
                let mut file = File::create_new(new.join(name))?;
                match name {
                    MODEL => file.set_len(from.metadata()?.len())?,
                    _ => _ = io::copy(&mut (&from).take(MAX_BYTES), &mut file)?,
                }
                file.set_modified(from.metadata()?.modified()?)?;
                file.sync_all()?;
            }
            if has_changed() {
                return fs::remove_dir_all(&new);
            }
            replace::put_folder_in_place(&new, &kept)
        };
        keep().with_context(|| format!("cannot keep the card's settings in {kept:?}; free some space"))
    }

    /// Refuses the card's content if this fault names one of its files, or, until the system is
    /// started anew, if no life has come to its death with it yet: the next start goes back to
    /// what was kept, and where the fault is of that, without it. A download fails by the
    /// network.
    pub(crate) fn blame(&self, fault: &anyhow::Error) {
        let (words, folder) = (one_line(fault), format!("{}/", self.folder.display()));
        let Some(kept) = self.state.as_ref().map(|state| state.join(KEPT)) else { return };
        let is_new = self.is_new() && !words.starts_with("cannot download");
        if words.contains(&*kept.to_string_lossy()) {
            let _ = fs::remove_dir_all(&kept);
        }
        let is_named = words.contains(&folder);
        let boot = if is_named { String::new() } else { boot::id() };
        if (is_new || is_named)
            && let Err(error) = self.write_refused(&boot, &[words.replace(&folder, "")])
        {
            warn(one_line(&error));
        }
    }

    fn write_refused(&self, boot: &str, lines: &[String]) -> Result<()> {
        let Some(state) = &self.state else { return Ok(()) };
        let path = state.join(REFUSED);
        let text = format!("{} {boot}\n{}\n", self.mark, lines.join("\n"));
        replace::replace(&path, &[text.as_bytes()])
            .with_context(|| format!("cannot write {path:?}; free some space"))
    }

    /// What was refused of the present content, and whether that was told.
    fn refused(&mut self) -> Option<(Vec<String>, bool)> {
        let path = self.state.as_ref()?.join(REFUSED);
        let text = String::from_utf8(regular::read(&path, 65_536).ok()?).ok()?;
        let (head, lines) = text.split_once('\n')?;
        let (mark, boot) = head.split_once(' ')?;
        if mark != self.mark || !boot.is_empty() && boot != boot::id() {
            return None;
        }
        boot.clone_into(&mut self.boot);
        let mut lines = lines.lines().map(str::to_owned).collect::<Vec<_>>();
        let told = lines.pop_if(|line| line == TOLD).is_some();
        Some((lines, told))
    }
}

/// As much of what is wrong as is told.
fn short(mut faults: Vec<String>) -> Vec<String> {
    let more = faults.len().saturating_sub(MAX_FAULTS);
    faults.truncate(MAX_FAULTS);
    let mut faults: Vec<_> = faults.iter().map(|fault| fault.chars().take(MAX_FAULT).collect()).collect();
    if more > 0 {
        faults.push(format!("and {more} more lines are wrong; is it another text?"));
    }
    faults
}

fn names() -> impl Iterator<Item = &'static str> {
    [SETTINGS, MODEL].into_iter().chain(FILES.map(|(name, _)| name))
}

/// What tells the content of a folder from another: of each file its length and its time,
/// which is kept with it. FAT keeps even seconds.
fn mark_of(folder: &Path) -> String {
    let told = names().map(|name| format!("{name} {}\n", told_of(&folder.join(name))));
    hash(&(told.collect::<String>() + env!("CARGO_PKG_VERSION")))
}

fn told_of(path: &Path) -> String {
    let metadata = fs::metadata(path).ok();
    let time = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
    format!("{:?} {time:?}", metadata.map(|metadata| metadata.len()))
}

/// What the files of a folder set, and what is wrong in its settings.
fn settings_of(folder: &Path, command: &Command) -> (Vec<Setting>, Vec<String>) {
    let path = folder.join(SETTINGS);
    let text = if path.exists() { file::text_of(&path, "--card") } else { Ok(String::new()) };
    let (mut settings, mut faults): (_, Vec<_>) = match text {
        Ok(text) => {
            let (settings, faults) = settings::read(&text, command);
            (settings, faults.into_iter().map(|fault| format!("{SETTINGS}, {fault}")).collect())
        }
        Err(error) => (Vec::new(), vec![one_line(&error)]),
    };
    let files = FILES.into_iter().map(|(name, id)| (name, id, folder.join(name)));
    for (name, id, path) in files.filter(|(.., path)| path.exists()) {
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MAX_BYTES) {
            faults.push(format!("{name} is longer than {} MB; use a smaller one", MAX_BYTES / 1_000_000));
        }
        settings.push((id.to_owned(), path.to_string_lossy().into_owned()));
    }
    (settings, faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::definition;

    #[test]
    fn what_changes_during_a_life_is_not_kept_as_what_was_lived_with() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [card, state] = ["card", "state"].map(|name| folder.path().join(name));
        let write = |text: &str| fs::write(card.join(SETTINGS), text).expect("a file on the card");
        fs::create_dir(&card).expect("the card's folder");
        let read = || Card::read(&card, StateFolder::locate(Some(&state)).as_ref(), &definition()).0;
        let kept = || fs::read_to_string(state.join(KEPT).join(SETTINGS)).unwrap_or_default();
        write("title = GOOD");
        read().keep().expect("kept");
        let lived = read();
        assert_eq!(kept(), "title = GOOD");
        write("title = BETTER");
        let better = read();
        write("title = not lived with");
        lived.keep().and_then(|()| better.keep()).expect("nothing to keep");
        assert_eq!(kept(), "title = GOOD");
        read().keep().expect("kept");
        assert_eq!(kept(), "title = not lived with");
        assert!(!state.join("card.new").exists());
    }
}
