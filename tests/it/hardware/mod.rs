//! Tests of the systemd service, of the unit under a real
//! systemd, of the program on an emulated Zero 2 W, and of the
//! setup of the system.

mod emulator;
mod setup;
mod supervision;
mod systemd;
