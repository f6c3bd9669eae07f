//! The program as its users meet it: the real binary with the real ember.
//!
//! The tests are in folders like those of `src/`. They are one test binary,
//! since each binary links llama.cpp anew (`tests/allocations.rs` is another
//! one because of its allocator). Every run has a time limit and an empty
//! folder of its own, and sees no `TORMENT_…` variables but those that its test
//! sets and `TORMENT_THREADS=1`.

mod build_key;
mod cabinet;
mod cli;
mod first_command;
mod hardware;
mod house;
mod life;
mod mind;
mod model_file;
mod panel;
mod paper;
mod soak;
mod state;
mod support;
