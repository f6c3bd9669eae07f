//! Model files: on disk, broken, and from servers that misbehave.

mod download;
mod gguf;
mod gguf_fuzz;
