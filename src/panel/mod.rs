//! The panel that a visitor meets: the button and the light.
//!
//! | file | what it knows |
//! |---|---|
//! | [`settings`] | which pins there are to use |
//! | [`handle`] | the panel as the rest of the program sees it; the light as a listener |
//! | [`thread`] | the thread that polls the button and moves the light |
//! | [`button`] | presses from a level that bounces; pure |
//! | [`pulse`] | what the light shows over time; pure |
//! | [`flash_limit`] | no more than three flashes in a second; pure |
//! | [`pins`] | a Raspberry Pi's pins; the only user of rppal's GPIO |
//! | [`pwm`] | the light dimmed by hardware: a channel in sysfs |
//!
//! Phases go in (loading, armed, alive, dying, fault) and presses come out. The
//! fill of the context is a number that the thread reads at its own pace.

mod button;
mod flash_limit;
mod handle;
mod pins;
mod pulse;
mod pwm;
mod settings;
mod thread;

#[cfg(test)]
mod tests;

pub(crate) use handle::Panel;
pub(crate) use settings::{Pin, Settings};
pub(crate) use thread::Asked;
