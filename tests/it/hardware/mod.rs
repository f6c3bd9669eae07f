//! Tests of the systemd service, of the unit under a real
//! systemd, of the program on an emulated Zero 2 W, of the
//! setup of the system, of what a stick brings, of the report on the card and the heartbeat, and
//! of the measurements on a first board.

mod emulator;
mod first_board;
mod heartbeat;
mod report;
mod setup;
mod stick;
mod supervision;
mod systemd;

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the script that the first argument names with the settings of the second.
const RUN: &str = "import importlib.machinery, importlib.util, sys
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader('script', sys.argv[1])
script = importlib.util.module_from_spec(importlib.util.spec_from_loader('script', loader))
loader.exec_module(script)
exec(sys.argv[2], vars(script))
sys.argv[1:] = sys.argv[3:]
script.main()
";

/// A script of `hardware/` in Python, its constants set to less by `settings`, without this
/// machine's options.
fn python(script: &str, settings: &str) -> Command {
    // The system's, as on the Pi.
    let system = Path::new("/usr/bin/python3");
    let mut command = Command::new(if system.exists() { system } else { Path::new("python3") });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hardware").join(script);
    command.args(["-c", RUN]).arg(script).arg(settings).stdin(Stdio::null()).current_dir("/");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TORMENT_")) {
        command.env_remove(name);
    }
    command.env("NEXUS_OPTIONS_READ", "1");
    command
}
