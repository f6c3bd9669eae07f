//! Checks a file's GGUF header before llama.cpp opens the file.
//!
//! llama.cpp reports most of what is wrong with a file, but some of it ends the
//! process: an assertion, an exception that nobody catches, a call through a
//! null pointer, more memory than there is. So this module reads the header,
//! and nothing else of the file, and checks one rule for each of those ways.
//! Errors that llama.cpp itself reports are left to it, and so are missing
//! keys: converters differ, and llama.cpp knows what each architecture needs.
//!
//! | the header says | without this, llama.cpp would |
//! |---|---|
//! | more keys, tensors, elements or bytes than the file has | allocate memory for that count, then report it |
//! | a vocabulary that does not fit into the free memory | be killed by the kernel |
//! | weights that end after the file does | report it, in a log that is not shown |
//! | adapter, vision part, importance matrix, one part of several; embedding, encoder, voice, diffusion or draft model; pooling; attention that is not causal | load it, and abort or generate nonsense |
//! | no vocabulary, or tokenizer `none` | abort in `llama_vocab::tokenize` |
//! | two tokens that are the same C string | abort: `id_to_token.size() == token_to_id.size()` |
//! | a token of thousands of bytes | recurse for each byte, or allocate the square or cube of the length |
//! | `llama` or `rwkv` tokenizer without its byte tokens | throw an exception that nobody catches; loop for ever |
//! | texts begin or end with a token that the vocabulary lacks | abort: `special_bos_id != LLAMA_TOKEN_NULL` |
//! | a block count of 0 or above 512; all blocks for multi-token prediction | abort in `load_hparams` |
//! | expert counts that contradict each other; none in an architecture that requires experts | abort in `load_hparams` |
//! | a sliding window of billions of tokens | throw an exception that nobody catches |
//! | an unknown kind of rope scaling | abort in `load_hparams` |
//! | a head count that is no multiple of the key-value head count; more than 2^31 heads | abort at the first token; panic in llama-cpp-2 |
//! | rope over more dimensions than a head has, over an odd number or none, or with only empty sections; different lengths of keys and values in an architecture that asserts equal ones; a negative epsilon | abort at the first token; loop for ever, if rope has no dimensions |
//! | weights of a type that has no dot product; vectors that are not F32 | call a null pointer; abort at the first token |
//! | an alignment below 32 | abort: `buffer pointer must be aligned` |
//!
//! The rules come from llama.cpp's source, as of llama-cpp-sys-2 0.1.161, and
//! from fuzzing with mutated headers, `tests/it/model_file/gguf_fuzz.rs`. They
//! name architectures where llama.cpp's graphs differ. If a file passes the
//! rules and llama.cpp aborts all the same, [`crate::mind::session`] turns the
//! abort into a fault.
//!
//! | file | what it knows |
//! |---|---|
//! | `reader` | reads the file, never beyond its length |
//! | `header` | the values of the header that the rules need |
//! | `rules` | the rules that the header must satisfy |
//! | `tables` | limits, types, and the architectures that a rule names |
//! | `fault` | why a file is refused |

mod fault;
mod header;
mod reader;
mod rules;
mod tables;
#[cfg(test)]
mod tests;

pub use fault::Fault;
pub use rules::check;
pub(crate) use rules::check_path;
pub(crate) use tables::MAGIC;
