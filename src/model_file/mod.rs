//! See the map in `lib.rs`.

pub mod download;
pub mod gguf;
pub mod http;
pub mod name;
pub mod progress;
