//! The program as its users meet it: the real binary, the real ember.
//!
//! One test binary, since each one links llama.cpp anew. Every run is bounded,
//! happens in an empty folder of its own, and sees of the `TORMENT_…` variables
//! only those that its test sets and `TORMENT_THREADS=1`.

mod allocations;
mod bad_input;
mod build_key;
mod computing;
mod download;
mod emulator;
mod fake_printer;
mod gguf;
mod gguf_file;
mod gguf_fuzz;
mod hardware;
mod help;
mod life;
mod nexus;
mod paper;
mod printing;
mod prompt;
mod prompt_state;
mod server;
mod signals;
mod supervision;
