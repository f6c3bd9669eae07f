//! The state of the machine: temperature, supply voltage, memory, threads, clock,
//! inputs, boot.
//!
//! | file | what it knows |
//! |---|---|
//! | [`health`] | temperature, throttling, under-voltage, free memory |
//! | [`memory`] | `MemAvailable` |
//! | [`threads`] | starts threads; whether more can run |
//! | [`clock`] | the local date, if the clock can be believed |
//! | [`boot`] | which boot of the system this is |
//! | [`link`] | the socket to the program that draws the installation |
//! | [`gpio`] | a line of the 40-pin header as an input; the only user of gpiocdev |
//! | `processor` | whether a PC's processor has what the program is built for |

pub(crate) mod boot;
pub(crate) mod clock;
pub(crate) mod gpio;
pub(crate) mod health;
#[cfg(feature = "cabinet")]
pub(crate) mod link;
pub(crate) mod memory;
#[cfg(kernels = "avx2")]
mod processor;
pub(crate) mod threads;
