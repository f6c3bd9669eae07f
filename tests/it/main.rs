//! The program as its users meet it: the real binary, the real ember.
//!
//! In folders like those of `src/`. One test binary, since each one links
//! llama.cpp anew (`tests/allocations.rs` is another, for its allocator). Every run is bounded,
//! happens in an empty folder of its own, and sees of the `TORMENT_…` variables
//! only those that its test sets and `TORMENT_THREADS=1`.

mod build_key;
mod cli;
mod hardware;
mod house;
mod life;
mod mind;
mod model_file;
mod panel;
mod paper;
mod support;
