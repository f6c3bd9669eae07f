//! Tests of model files: valid, damaged, and from servers with faults.

mod download;
mod gguf;
mod gguf_fuzz;
