//! `torment-nexus check`: looks at every part of the box and says what is well,
//! what is not, and the next step.
//!
//! | file | what it knows |
//! |---|---|
//! | [`report`] | findings, as lines, as JSON and on the slip; pure |
//! | [`service`] | starts again as the service: its options, folder and user |
//! | [`system`] | the board, the operating system and the service, from files |
//! | [`parts`] | the model, the state folder, the printer's device, the words of the receipt |
//! | [`trial`] | what a person has to see and do: light, button, paper |
//! | [`run`] | all of them in order |

mod parts;
mod report;
mod run;
pub(crate) mod service;
mod system;
mod trial;

pub(crate) use run::{check, refuse};
