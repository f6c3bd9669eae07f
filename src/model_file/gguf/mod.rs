//! What a GGUF header must say before llama.cpp sees the file.
//!
//! llama.cpp reports most of what is wrong with a file, but some of it ends the
//! process: an assertion, an exception that nobody catches, a call through a
//! null pointer, more memory than there is. So this module reads the header
//! itself, which is all that is read of the file, and holds it against one rule
//! for each of those. Errors that llama.cpp itself reports are left to it, and
//! so are missing keys: converters differ, and llama.cpp knows what each
//! architecture needs.
//!
//! | the header says | without this, llama.cpp would |
//! |---|---|
//! | more keys, tensors, elements or bytes than the file has | allocate by the count, then report |
//! | a vocabulary that memory does not hold | be killed for it |
//! | weights that end after the file does | report it, in a log that is not shown |
//! | adapter, vision part, importance matrix, one part of several; embedding, encoder, voice, diffusion or draft model; pooling; attention that is not causal | load it, and abort or speak nonsense |
//! | no vocabulary, or tokenizer `none` | abort in `llama_vocab::tokenize` |
//! | a token twice, as C strings see them | abort: `id_to_token.size() == token_to_id.size()` |
//! | a token of thousands of bytes | recurse, or allocate by the square or cube of it |
//! | `llama` or `rwkv` tokenizer without its byte tokens | throw through its caller; loop without end |
//! | texts that begin or end with a token that is not there | abort: `special_bos_id != LLAMA_TOKEN_NULL` |
//! | a block count of 0 or above 512, all blocks for prediction | abort in `load_hparams` |
//! | expert counts that contradict each other, or none where they must be | abort in `load_hparams` |
//! | a sliding window of billions of tokens | throw through its caller |
//! | an unknown kind of rope scaling | abort in `load_hparams` |
//! | heads that do not share their keys evenly; more than 2^31 | abort at the first token; panic in llama-cpp-2 |
//! | rope over more than a head, an odd part of it, no section or nothing of it; values and keys of different lengths where they are the same; a negative epsilon | abort at the first token, or turn nothing for ever |
//! | weights of a type that has no dot product; vectors that are not F32 | call a null pointer; abort at the first token |
//! | an alignment below 32 | abort: `buffer pointer must be aligned` |
//!
//! The rules were read in llama.cpp's source as of llama-cpp-sys-2 0.1.161 and
//! hunted for with mutated headers, `tests/it/model_file/gguf_fuzz.rs`. They name
//! architectures where llama.cpp's graphs differ; for what escapes them,
//! [`crate::mind::session`] turns llama.cpp's abort into a fault.
//!
//! | file | what it knows |
//! |---|---|
//! | `reader` | the file's bytes, bounded |
//! | `header` | what the header says |
//! | `rules` | what it must say |
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
