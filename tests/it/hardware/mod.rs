//! The service under its rules, and the emulated Zero 2 W.

mod emulator;
mod supervision;
