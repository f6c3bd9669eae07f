//! The language model: the only user of llama-cpp-2.
//!
//! A model file comes here with a header that [`crate::model_file::gguf`] let
//! pass. What llama.cpp refuses all the same is told in its own words, and an
//! assertion that fails inside it is a fault with exit status 1, not an abort.
//!
//! | file | what it knows |
//! |---|---|
//! | [`model`] | a loaded model: vocabulary, chat template, trained context |
//! | [`session`] | one life's context: tokens in, logits and the next token out |
//! | [`computing`] | threads, cache and batches: what decides speed, memory and the bits |
//! | [`choice`] | the next token by llama.cpp's samplers |
//! | [`sampler`] | the sampling options, and the best of the logits |
//! | [`speculation`] | which tokens follow where the text repeats itself |
//! | [`prompt_state`] | the KV cache of the prompt, kept in a file for the next life |
//! | [`context_cost`] | the memory that a context takes |
//! | [`log`] | llama.cpp's backend, log and abort |

mod choice;
pub mod computing;
mod context_cost;
mod log;
pub mod model;
pub(crate) mod prompt_state;
pub mod sampler;
pub mod session;
mod speculation;
