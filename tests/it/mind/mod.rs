//! What the model computes.

mod computing;
mod prompt_state;
