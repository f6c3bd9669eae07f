//! What the model computes.

mod computing;
mod context_cost;
mod net;
mod prompt_state;
mod voice;
