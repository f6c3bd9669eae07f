//! The state of the machine: temperature, supply voltage, memory, clock.
//!
//! | file | what it knows |
//! |---|---|
//! | [`health`] | temperature, throttling, under-voltage, free memory |
//! | [`memory`] | `MemAvailable` |
//! | [`clock`] | the local date, if the clock is synchronised |

pub(crate) mod clock;
pub(crate) mod health;
pub(crate) mod memory;
