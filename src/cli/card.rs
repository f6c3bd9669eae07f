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

/// In the state folder: what was lived with last, and what is refused.
const KEPT: &str = "card";
const REFUSED: &str = "card-refused";
/// The last line of [`REFUSED`] once it was told on paper.
const TOLD: &str = "told";

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
        self.write_refused(&self.faults.iter().cloned().chain(told).collect::<Vec<_>>())
    }

    /// Notes that a life came to its death with what the card gives: it is what the next
    /// starts go back to. Nothing is written while nothing has changed.
    pub(crate) fn keep(&self) -> Result<()> {
        let Some(state) = self.state.as_ref().filter(|_| self.faults.is_empty()) else { return Ok(()) };
        let (kept, new) = (state.join(KEPT), state.join("card.new"));
        if mark_of(&kept) == self.mark {
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
            let _ = fs::remove_dir_all(&kept);
            replace::put_in_place(&new, &kept)
        };
        keep().with_context(|| format!("cannot keep the card's settings in {kept:?}; free some space"))
    }

    /// Refuses the card's content if this fault names one of its files, or if no life has come
    /// to its death with it yet: the next start goes back to what was kept, and where the
    /// fault is of that, without it. A download fails by the network.
    pub(crate) fn blame(&self, fault: &anyhow::Error) {
        let (words, folder) = (one_line(fault), format!("{}/", self.folder.display()));
        let Some(kept) = self.state.as_ref().map(|state| state.join(KEPT)) else { return };
        let is_new = self.sets && self.faults.is_empty() && mark_of(&kept) != self.mark;
        let is_new = is_new && !words.starts_with("cannot download");
        if words.contains(&*kept.to_string_lossy()) {
            let _ = fs::remove_dir_all(&kept);
        }
        if (is_new || words.contains(&folder))
            && let Err(error) = self.write_refused(&[words.replace(&folder, "")])
        {
            warn(one_line(&error));
        }
    }

    fn write_refused(&self, lines: &[String]) -> Result<()> {
        let Some(state) = &self.state else { return Ok(()) };
        let path = state.join(REFUSED);
        let text = format!("{}\n{}\n", self.mark, lines.join("\n"));
        replace::replace(&path, &[text.as_bytes()])
            .with_context(|| format!("cannot write {path:?}; free some space"))
    }

    /// What was refused of the present content, and whether that was told.
    fn refused(&self) -> Option<(Vec<String>, bool)> {
        let path = self.state.as_ref()?.join(REFUSED);
        let text = String::from_utf8(regular::read(&path, 65_536).ok()?).ok()?;
        let mut lines = text.strip_prefix(&self.mark)?.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        let told = lines.pop_if(|line| line == TOLD).is_some();
        Some((lines, told))
    }
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
