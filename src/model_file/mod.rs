//! From `--model` to a file that llama.cpp can open.
//!
//! | file | what it knows |
//! |---|---|
//! | [`name`] | what `--model` names: ember, a URL or a path |
//! | [`gguf`] | what a model file's header must say before llama.cpp sees it |
//! | [`download`] | from a URL to a verified file: resumed, never half there |

pub mod download;
pub mod gguf;
pub mod name;
