//! See the map in `lib.rs`.

pub mod stderr;
pub mod stdout;
pub mod utf8;
pub mod wrap;
