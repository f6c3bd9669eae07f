//! Turns the value of `--model` into a file that llama.cpp can open.
//!
//! | file | what it knows |
//! |---|---|
//! | [`name`] | what `--model` names: ember, a URL or a path |
//! | [`voice`] | what `--lora` names, and which model has a voice of its own |
//! | `hash` | the SHA-256 of a model file, and of samples of it |
//! | [`gguf`] | checks a model file's header before llama.cpp opens it |
//! | [`download`] | downloads a URL to a verified file; resumes a download that broke off |

pub mod download;
pub mod gguf;
mod hash;
pub mod name;
pub mod voice;
