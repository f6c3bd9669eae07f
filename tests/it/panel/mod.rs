//! Button and light where there are none.

mod pins;
