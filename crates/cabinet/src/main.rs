//! The program that draws the installation: its arguments are those of the lives.

use std::process::ExitCode;

use installation::life::ending;
use installation::life::interrupt::Interrupt;
use installation::life::supervisor::Supervisor;

fn main() -> ExitCode {
    ending::install_last_words();
    ending::conclude(|| cabinet::draw(&Interrupt::on_signals(false, &Supervisor::default())?))
}
