//! The language model: the only user of llama-cpp-2.
//!
//! Model files arrive here after [`model_file::gguf`] has accepted their
//! header. If llama.cpp refuses one all the same, its own error is quoted; if it
//! ends the process, [`net`] turns that into a fault.
//!
//! | file | what it knows |
//! |---|---|
//! | [`model`] | a loaded model: vocabulary, chat template, trained context |
//! | [`session`] | one life's context: decodes tokens, gives their logits, chooses the next token |
//! | [`computing`] | threads, cache and batches: what decides speed, memory and the exact results |
//! | [`choice`] | chooses the next token with llama.cpp's samplers |
//! | [`sampler`] | the sampling options, and the search for the greatest logits |
//! | [`careful`] | keeps the words of a list out of a life |
//! | [`prompt_state`] | the KV cache of the prompt, kept in a file for the next life; `session` writes it |
//! | [`context_cost`] | the memory that a context takes; `context_cost.cpp` asks llama.cpp |
//! | [`log`] | llama.cpp's backend and log |
//! | [`net`] | crashes inside llama.cpp, such as a failed assertion or SIGSEGV: one line and 1 or 70 |

pub mod careful;
mod choice;
pub mod computing;
mod context_cost;
mod log;
pub mod model;
pub mod net;
pub(crate) mod prompt_state;
pub mod sampler;
pub mod session;
