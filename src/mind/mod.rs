//! See the map in `lib.rs`.

pub mod context_cost;
pub mod prompt_state;
pub mod sampler;
pub mod session;
pub mod speculation;
