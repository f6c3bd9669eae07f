//! Tests of the systemd service, of the program on an emulated Zero 2 W, and of the
//! setup of the system.

mod emulator;
mod setup;
mod supervision;
