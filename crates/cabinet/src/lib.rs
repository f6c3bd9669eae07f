//! The installation drawn in a terminal: `torment-nexus-cabinet`, which
//! `torment-nexus simulate` starts, and which the board does not have.
//!
//! ```text
//!  terminal ── keys ──► run ◄─ drawn lines ── printer ◄─ bytes ── a life: torment-nexus
//!     ▲                  │                                        as a child process,
//!     └──── frames ── view of state ◄── link: what it does ────── with --in-cabinet
//!                        └───────────── link: button, room ─────►
//! ```
//!
//! | file | what it knows |
//! |---|---|
//! | `main.rs` | the program |
//! | [`run`] | the loop: what happens is told to the state, and what that wants is done |
//! | [`state`] | what is known of the installation, and what a key means; pure |
//! | [`view`] | the state as a frame; pure |
//! | [`colours`] | which colours the terminal has |
//! | [`roll`] | the paper that was printed, as rows of the terminal; pure |
//! | [`machine`] | the printer: bytes and time to lines; pure |
//! | [`printer`] | the printer's thread and its pseudo-terminal |
//! | [`child`] | a life in a process of its own |
//! | [`screen`] | the terminal: which key means what, and that it is left as it was |
//! | [`drawing`] | printed lines as a picture |
//! | [`save`] | a receipt as files |
//!
//! The only user of ratatui and crossterm.

mod child;
mod colours;
pub mod drawing;
mod machine;
mod printer;
mod roll;
mod run;
mod save;
mod screen;
mod state;
mod view;

pub use run::draw;
