//! What life is asked for, settled before anything is loaded: an error in it is told
//! before a download of minutes.

use anyhow::Result;

use crate::cli::{self, Cli};
use crate::mind::sampler::Sampling;
use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;
use installation::life::prompt::Prompt;
use installation::state::entry::Entry;
use installation::state::folder::StateFolder;
use installation::state::lives::Lives;
use installation::text::never::Never;
use installation::text::stderr::warn;
use model_file::name::ModelFile;

/// A life that is asked for.
pub(crate) struct Request {
    /// The options, those of the text as they were in the life that is lived again.
    pub(crate) cli: Cli,
    pub(crate) prompt: Prompt,
    pub(crate) never: Option<Never>,
    pub(crate) file: ModelFile,
    pub(crate) voice: Option<ModelFile>,
    pub(crate) sampling: Sampling,
    /// Its line in the history.
    pub(crate) about: Entry,
}

impl Request {
    /// Finds and reads all that the options name.
    ///
    /// # Errors
    ///
    /// When something is missing or cannot be used, when a life that is to be lived again
    /// cannot be, or at a signal.
    pub(crate) fn settle(
        cli: &Cli,
        folder: Option<&StateFolder>,
        interrupt: &Interrupt,
    ) -> Result<Self, Ending> {
        let past = cli.relived_life().map(|number| Lives::find(folder, number)).transpose()?;
        let cli = past.as_ref().map_or_else(|| Ok(cli.clone()), |past| cli.relived(past))?;
        let prompt = Prompt::read(cli.prompt_file.as_deref(), cli.model.own_prompt())?;
        let (never, never_hash) = cli.list_of_words()?.unzip();
        ModelFile::check_voice(cli.voice())?;
        let file = match &past {
            None => ModelFile::find(&cli.model, &cli.model_dir, interrupt)?,
            // A line of the history, which others may write, opens files and downloads none.
            Some(_) => ModelFile::find_here(&cli.model, &cli.model_dir)?,
        };
        let voice = file.voice(cli.voice())?;
        let sampling = cli.sampling.speaking(voice.is_some()).with_seed()?;
        let about = Entry {
            model: file.to_string(),
            fingerprint: fingerprint(&file, voice.as_ref()),
            prompt: prompt.hash() + &never_hash.map(|hash| format!("+{hash}")).unwrap_or_default(),
            seed: sampling.seed,
            options: cli.kept(&sampling),
            ..Entry::default()
        };
        if let Some(past) = &past {
            past.check(&about.model, &about.fingerprint, &about.prompt)?;
            cli::of_another_version(past).iter().for_each(warn);
        }
        Ok(Self { cli, prompt, never, file, voice, sampling, about })
    }

    /// The first words of the life; they count as the prompt's.
    pub(crate) fn opening(&self) -> &str {
        self.cli.opening.as_deref().unwrap_or_default()
    }

    /// The model and its voice, for the slip.
    pub(crate) fn spoken(&self) -> String {
        self.voice.as_ref().map_or_else(|| self.file.to_string(), |voice| format!("{}, {voice}", self.file))
    }

    /// What the user may not expect.
    pub(crate) fn warning(&self) -> Option<String> {
        let path = self.cli.prompt_file.as_ref().filter(|_| self.cli.model.own_prompt().is_some())?;
        Some(format!(
            "model {} was trained with a prompt of its own: its text does not follow {path:?}; \
             leave out --prompt-file",
            self.cli.model
        ))
    }
}

/// What tells the model and its voice from others: the fingerprints of their files.
fn fingerprint(file: &ModelFile, voice: Option<&ModelFile>) -> String {
    let parts = [Some(file), voice].into_iter().flatten();
    parts.map(|file| file.fingerprint().unwrap_or_default()).collect::<Vec<_>>().join("+")
}
