//! One life: the loop from the first token to the limit of the context, who it
//! is told to, and every way it can end. Knows no hardware and no llama type.
//!
//! | file | what it knows |
//! |---|---|
//! | [`prompt`] | the system message: which file, and what is no prompt |
//! | [`lifespan`] | when a life ends, and which prompts leave room for one |
//! | [`generator`] | the loop: a token, its text, the end |
//! | [`listener`] | who each token is told to: stdout, light and paper |
//! | [`interrupt`] | SIGINT, SIGTERM and SIGHUP as a question to ask |
//! | [`ending`] | every way to end, with its words and its exit code |
//!
//! [`generator::live`] asks a [`generator::Mind`] for tokens and gives each one,
//! with the fill of the context, to a [`listener::Listener`].

pub mod ending;
pub mod generator;
pub mod interrupt;
pub mod lifespan;
pub mod listener;
pub(crate) mod prompt;
