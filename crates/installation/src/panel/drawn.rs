//! The button and the light of an installation that is drawn in a terminal.

use std::io;

use super::pulse::Means;
use super::thread::{Contact, Lamp, Pins};
use crate::life::ending::Ending;
use crate::life::lifespan::Fill;
use crate::life::link::{Link, Message};
use crate::life::listener::Listener;

impl Contact for Link {
    fn is_down(&mut self) -> bool {
        Self::is_down(self)
    }
}

/// The light that is drawn.
struct Light(Link);

impl Lamp for Light {
    fn means(&self) -> Means {
        Means::Dimmed
    }

    fn set(&mut self, luminance: f64) -> io::Result<()> {
        self.0.tell(Message::Light(luminance as f32))
    }
}

impl Drop for Light {
    fn drop(&mut self) {
        // If the cabinet is gone, nobody sees it.
        let _ = self.0.tell(Message::Light(0.0));
    }
}

impl Listener for Link {
    fn token(&mut self, _: &str, fill: Fill) -> Result<(), Ending> {
        // If the cabinet is gone, the life is interrupted.
        let _ = self.tell(Message::Fill { used: fill.used, size: fill.context_size });
        Ok(())
    }
}

/// Both, on this link.
pub(super) fn pins(link: Link) -> Pins {
    Pins { button: Some(Box::new(link.clone())), light: Some(Box::new(Light(link))), ..Pins::default() }
}
