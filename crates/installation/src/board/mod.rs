//! The state of the machine: temperature, supply voltage, memory, threads, clock,
//! inputs, boot.
//!
//! | file | what it knows |
//! |---|---|
//! | [`health`] | temperature, throttling, under-voltage, free memory |
//! | [`limits`] | limits of the process that would end it without a word |
//! | [`memory`] | `MemAvailable` |
//! | [`threads`] | starts threads; whether more can run |
//! | [`clock`] | the local date, if the clock can be believed |
//! | [`boot`] | which boot of the system this is |
//! | [`gpio`] | a line of the 40-pin header as an input; the only user of gpiocdev |

pub mod boot;
pub mod clock;
pub(crate) mod gpio;
pub mod health;
pub mod limits;
pub mod memory;
pub mod threads;
