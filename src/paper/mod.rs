//! See the map in `lib.rs`.

pub mod escpos;
pub mod pace;
pub mod paper;
pub mod printer;
pub mod receipt;
pub mod serial;
