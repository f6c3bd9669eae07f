//! What the machine says of itself: temperature, supply, memory, clock.
//!
//! | file | what it knows |
//! |---|---|
//! | [`health`] | temperature, throttling, under-voltage, free memory |
//! | [`memory`] | `MemAvailable` |
//! | [`clock`] | the local date, if the clock can be believed |

pub(crate) mod clock;
pub(crate) mod health;
pub(crate) mod memory;
