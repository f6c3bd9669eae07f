//! The command line: options, defaults and their `TORMENT_…` variables.
//!
//! | file | what it knows |
//! |---|---|
//! | [`options`] | all options, and how they are parsed |
//! | [`hardware`] | the options of the button and the light |
//! | [`printer`] | the options of the printer |
//! | [`sampling`] | the options by which the next token is chosen |
//! | [`usage`] | what is said instead of a life: wrong usage, help, version |
//! | [`environment`] | the same options as `TORMENT_…` variables |

mod environment;
mod hardware;
mod options;
mod printer;
mod sampling;
mod usage;

pub use options::{Cli, DEFAULT_MODEL};
pub use usage::Usage;
