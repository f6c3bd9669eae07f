//! The state of the machine: temperature, supply voltage, memory, threads, clock,
//! boot.
//!
//! | file | what it knows |
//! |---|---|
//! | [`health`] | temperature, throttling, under-voltage, free memory |
//! | [`memory`] | `MemAvailable` |
//! | [`threads`] | starts threads; whether more can run |
//! | [`clock`] | the local date, if the clock can be believed |
//! | [`boot`] | which boot of the system this is |

pub(crate) mod boot;
pub(crate) mod clock;
pub(crate) mod health;
pub(crate) mod memory;
pub(crate) mod threads;
