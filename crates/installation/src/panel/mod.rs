//! The panel that a visitor meets: the button and the light.
//!
//! | file | what it knows |
//! |---|---|
//! | [`settings`] | which pins may be used |
//! | [`handle`] | the panel as the rest of the program sees it; the light as a listener of loads and lives |
//! | [`thread`] | the thread that reads the button and sets the light |
//! | [`wake`] | what wakes that thread |
//! | [`button`] | debounces the button's level into presses; pure |
//! | [`pulse`] | what the light shows over time; pure |
//! | [`flash_limit`] | no more than three flashes in a second; pure |
//! | [`pins`] | takes the button by the kernel's GPIO device and the light by rppal; the only user of rppal's GPIO |
//! | [`drawn`] | the button and the light of an installation that is drawn in a terminal |
//! | [`pwm`] | dims the light with a hardware PWM channel, through sysfs |
//!
//! The thread receives phases (loading, armed, alive, dying, resting, closed,
//! fault, wrong options) and sends presses. The fill is a shared number that it reads at its own pace.

mod button;
mod drawn;
mod flash_limit;
mod handle;
mod pins;
mod pulse;
mod pwm;
mod settings;
mod thread;
mod wake;

#[cfg(test)]
mod tests;

pub use button::HELD;
pub use handle::Panel;
pub use settings::{PanelSettings, Pin};
pub use thread::Gesture;
