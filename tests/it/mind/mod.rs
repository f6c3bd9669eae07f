//! What the model computes.

mod computing;
mod net;
mod prompt_state;
