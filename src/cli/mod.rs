//! The command line: options, defaults and their `TORMENT_…` variables.
//!
//! | file | what it knows |
//! |---|---|
//! | [`options`] | all options, and how they are parsed |
//! | [`hardware`] | the options of the button and the light |
//! | [`printer`] | the options of the printer |
//! | [`show`] | the options of a show: rest, lives a day, opening hours |
//! | [`sampling`] | the options by which the next token is chosen |
//! | [`relive`] | which options `relive` takes from an earlier life |
//! | [`usage`] | what is said instead of a life: wrong usage, help, version |
//! | [`environment`] | the same options as `TORMENT_…` variables |
//! | [`card`] | the folder on the SD card that wins over them, and what was lived with last |
//! | [`settings`] | the settings that a person writes there |
//! | `tests` | the manual page and the shells' completions, which a test writes |

mod card;
mod environment;
mod hardware;
mod options;
mod printer;
mod relive;
mod sampling;
mod settings;
mod show;
#[cfg(test)]
mod tests;
mod usage;

pub use options::{Cli, Command, DEFAULT_MODEL};
pub(crate) use relive::of_another_version;
pub use usage::Usage;
