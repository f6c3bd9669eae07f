//! Tests of lives with a simulated printer on a pseudo-terminal.

mod again;
mod by_hand;
mod card;
mod printing;
