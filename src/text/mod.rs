//! Text as it arrives, and the two streams it leaves by. Knows nothing of lives.
//!
//! | file | what it knows |
//! |---|---|
//! | [`utf8`] | the bytes of token pieces to valid text |
//! | [`wrap`] | wraps text into lines of a number of columns |
//! | [`shell`] | quotes a word of a command line |
//! | [`standard`] | the process's stdout, which never waits for its reader |
//! | [`stdout`] | text to stdout: token by token, or in lines where it is a terminal or the journal |
//! | [`stderr`] | warnings and reports that never change how the program ends |
//! | [`terminal`] | a terminal's width and colours, and a key that is read without Enter |

pub(crate) mod shell;
pub mod standard;
pub(crate) mod stderr;
pub mod stdout;
pub(crate) mod terminal;
pub(crate) mod utf8;
pub(crate) mod wrap;
