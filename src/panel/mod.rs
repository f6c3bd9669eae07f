//! See the map in `lib.rs`.

pub mod button;
pub mod pulse;
pub mod pwm;
pub mod thread;
