//! The program: parses the arguments, does what they ask for, and turns its ending into a
//! message and an exit code.

use std::process::ExitCode;

use installation::board::limits;
use installation::life::ending;
use torment_nexus::cli::Cli;

fn main() -> ExitCode {
    ending::install_last_words();
    ending::conclude(|| {
        limits::loosen()?;
        let cli = Cli::from_command_line().map_err(|usage| torment_nexus::refuse(&usage))?;
        torment_nexus::run(&cli)
    })
}
