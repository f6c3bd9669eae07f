//! What the model computes, from within.

mod computing;
mod prompt_state;
