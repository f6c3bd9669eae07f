//! Tests of lives with a simulated printer on a pseudo-terminal.

mod again;
mod card;
mod printing;
