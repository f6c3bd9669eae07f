//! See the map in `lib.rs`.

pub mod ending;
pub mod generator;
pub mod interrupt;
pub mod lifespan;
pub mod listener;
pub mod prompt;
