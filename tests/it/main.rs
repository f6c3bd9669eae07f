//! The program as its users meet it: the real binary, the real ember.
//!
//! One test binary, since each one links llama.cpp anew. Every run is bounded,
//! happens in an empty folder of its own and sees no `TORMENT_…` variable but
//! those that its test sets.

mod bad_input;
mod help;
mod life;
mod nexus;
mod prompt;
mod signals;
