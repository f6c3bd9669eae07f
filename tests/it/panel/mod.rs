//! Tests of the button and the light on a machine without GPIO pins.

mod pins;
