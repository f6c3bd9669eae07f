//! The object without its mind: the button, the light and the receipt, a life from the
//! press to every ending, and what is kept between lives. Knows no model: a life asks a
//! [`life::generator::Mind`] for its tokens.
//!
//! | room | what it knows |
//! |---|---|
//! | [`panel`] | the button and the light |
//! | [`paper`] | the receipt and the printer |
//! | [`life`] | the loop from the first token to the death, and every other ending |
//! | [`state`] | what is kept between lives |
//! | [`board`] | temperature, supply voltage, free memory, threads and clock of the machine |
//! | [`text`] | text that arrives in pieces: UTF-8, line wrapping, stdout and stderr |
//!
//! A room may import only rooms below it, never one beside it:
//!
//! ```text
//! 3  panel  paper
//! 2  life  state
//! 1  board  text
//! ```

// build.rs stops a build for any other system earlier, with one line.
#[cfg(not(target_os = "linux"))]
compile_error!("torment-nexus runs on Linux only: it needs /proc, memfd, GPIO and termios as Linux has them");

pub mod board;
pub mod life;
pub mod panel;
pub mod paper;
pub mod state;
pub mod text;
