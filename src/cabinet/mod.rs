//! The installation drawn in a terminal: `torment-nexus --simulate`.
//!
//! ```text
//!  terminal ── keys ──► run ◄─ drawn lines ── printer ◄─ bytes ── a life: this program
//!     ▲                  │                                        as a child process,
//!     └──── frames ── view of state ◄── link: light, fill ─────── with --in-cabinet
//!                        └───────────── link: button, room ─────►
//! ```
//!
//! | file | what it knows |
//! |---|---|
//! | [`run`] | the loop: what happens is told to the state, and what that wants is done |
//! | [`state`] | what is known of the installation, and what a key means; pure |
//! | [`view`] | the state as a frame; pure |
//! | [`colours`] | which colours the terminal has |
//! | [`roll`] | the paper that was printed, as rows of the terminal; pure |
//! | [`machine`] | the printer: bytes and time to lines; pure |
//! | [`printer`] | the printer's thread and its pseudo-terminal |
//! | [`child`] | a life in a process of its own |
//! | [`screen`] | the terminal, and that it is left as it was |
//! | [`save`] | a receipt as files |
//!
//! The only user of ratatui and crossterm.

#[cfg(feature = "cabinet")]
mod child;
#[cfg(feature = "cabinet")]
mod colours;
#[cfg(feature = "cabinet")]
mod machine;
#[cfg(feature = "cabinet")]
mod printer;
#[cfg(feature = "cabinet")]
mod roll;
#[cfg(feature = "cabinet")]
mod run;
#[cfg(feature = "cabinet")]
mod save;
#[cfg(feature = "cabinet")]
mod screen;
#[cfg(feature = "cabinet")]
mod state;
#[cfg(feature = "cabinet")]
mod view;

#[cfg(feature = "cabinet")]
pub(crate) use run::draw;

/// Says that this program was built without the cabinet.
///
/// # Errors
///
/// Always.
#[cfg(not(feature = "cabinet"))]
pub(crate) fn draw(
    _: &crate::cli::Cli,
    _: &crate::life::interrupt::Interrupt,
) -> Result<std::convert::Infallible, crate::life::ending::Ending> {
    Err(anyhow::anyhow!(
        "--simulate is not in this build, as in the board's; build it with plain cargo build"
    )
    .into())
}
