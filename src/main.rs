//! The program: parses the arguments, runs a life, and turns its ending into a
//! message and an exit code.

use std::process::ExitCode;

use installation::life::ending;
use installation::life::interrupt::Interrupt;
use torment_nexus::cli::Cli;

fn main() -> ExitCode {
    ending::install_last_words();
    ending::conclude(|| {
        let cli = Cli::from_command_line().map_err(|usage| torment_nexus::refuse(&usage))?;
        let interrupt = Interrupt::on_signals(cli.reports())?;
        torment_nexus::run(&cli, &interrupt)
    })
}
