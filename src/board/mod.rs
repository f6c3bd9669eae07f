//! See the map in `lib.rs`.

pub mod clock;
pub mod health;
pub mod memory;
