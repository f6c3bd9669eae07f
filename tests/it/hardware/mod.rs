//! Tests of the systemd service, and of the program on an emulated Zero 2 W.

mod emulator;
mod supervision;
