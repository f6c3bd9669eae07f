//! Text as it arrives, and the two streams it leaves by. Knows nothing of lives.
//!
//! | file | what it knows |
//! |---|---|
//! | [`utf8`] | the bytes of token pieces to valid text |
//! | [`wrap`] | wraps text into lines of a number of columns |
//! | [`fault`] | an error as one line: what, why, and the next step |
//! | [`environment`] | the variables of an EnvironmentFile=, as systemd reads it |
//! | `file` | the text of a small file that an option names |
//! | `never` | a list of words that are never said, and where one of them stands |
//! | [`shell`] | quotes a word of a command line |
//! | [`stdout`] | text to stdout, without waiting for its reader; in lines where it is a terminal or the journal |
//! | [`stderr`] | warnings and reports that never change how the program ends; what goes on, as a line that passes |
//! | `writer` | writes to a stream whose reader may not read, on a thread of its own |
//! | [`terminal`] | a terminal's width and colours; the wait for a stream's reader |

pub mod environment;
pub mod fault;
pub mod file;
pub mod never;
pub mod shell;
pub mod stderr;
pub mod stdout;
pub(crate) mod terminal;
pub(crate) mod utf8;
pub mod wrap;
mod writer;
