//! Tests of the systemd service, of the unit under a real
//! systemd, of the program on an emulated Zero 2 W, of the
//! setup of the system, of the report on the card, and of the measurements on a first
//! board.

mod emulator;
mod first_board;
mod report;
mod setup;
mod supervision;
mod systemd;
