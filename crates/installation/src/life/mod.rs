//! One life: the loop from the first token to the limit of the context, the
//! listeners that each token is told to, and every way it can end. Knows no
//! hardware and no type of llama.cpp.
//!
//! | file | what it knows |
//! |---|---|
//! | [`prompt`] | the system message: which file it comes from, and which texts are refused |
//! | [`lifespan`] | when a life ends, and which prompts leave room for one |
//! | [`generator`] | the loop: the next token, its text to the listener, until the limit |
//! | [`listener`] | the listeners that each token is told to: stdout, light and paper |
//! | [`progress`] | how far the piece is ready |
//! | [`vitals`] | the tokens used, and how hot and how limited the processor was |
//! | [`interrupt`] | SIGINT, SIGTERM and SIGHUP, to be polled or waited for |
//! | [`status`] | what the piece does: loads, waits, lives, dies, rests |
//! | [`reporter`] | tells the supervisor how a life goes |
//! | [`supervisor`] | tells that to systemd and to the cabinet, and systemd that the piece is alive; the only user of sd-notify |
//! | [`link`] | the socket to the cabinet, the program that draws the installation |
//! | [`schedule`] | whether the piece is open, rests or is closed at a moment: rest, lives a day, opening hours; pure |
//! | [`ending`] | every way to end, with its text and its exit code: the death's 101, a bug's 70 |
//!
//! [`generator::run`] asks a [`generator::Mind`] for tokens and gives each one,
//! with the fill of the context, to a [`listener::Listener`].

pub mod ending;
pub mod generator;
pub mod interrupt;
pub mod lifespan;
pub mod link;
pub mod listener;
pub mod progress;
pub mod prompt;
pub mod reporter;
pub mod schedule;
pub mod status;
pub mod supervisor;
pub mod vitals;
