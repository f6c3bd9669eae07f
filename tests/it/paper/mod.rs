//! Tests of lives with a simulated printer on a pseudo-terminal.

mod card;
mod printing;
