//! What the model computes.

mod computing;
mod context_cost;
mod prompt_state;
