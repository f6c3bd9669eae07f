//! What is said instead of a life: wrong usage, `--help` and `--version`.

use clap::Error;

use installation::life::ending::Ending;
use installation::panel::Pin;
use installation::text::stderr::say;

/// Arguments that begin no life.
#[derive(Debug)]
pub struct Usage {
    error: Error,
    light: Option<Pin>,
}

impl Usage {
    pub(super) fn new(error: Error, light: Option<Pin>) -> Self {
        Self { error, light }
    }

    /// Prints clap's message. Help and version are what was asked for.
    pub(crate) fn print(&self) -> Ending {
        if self.error.use_stderr() {
            say(self.error.render());
            return Ending::Usage;
        }
        // As clap does when it exits: there is nowhere else to say it.
        let _ = self.error.print();
        Ending::Done
    }

    /// What is wrong.
    pub(crate) fn words(&self) -> String {
        let message = self.error.render().to_string();
        message.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default().to_owned()
    }

    /// The light's pin, if the arguments are wrong and it is known.
    pub(crate) fn light(&self) -> Option<Pin> {
        self.light.filter(|_| self.error.use_stderr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;

    #[test]
    fn wrong_usage_is_shown_on_the_light_and_help_is_not() {
        let light = Pin::new(18).ok();
        let shown = |kind| Usage::new(Error::new(kind), light).light();
        assert_eq!(shown(ErrorKind::InvalidValue), light);
        assert_eq!(shown(ErrorKind::ArgumentConflict), light);
        assert_eq!(shown(ErrorKind::DisplayHelp), None);
        assert_eq!(shown(ErrorKind::DisplayVersion), None);
    }
}
