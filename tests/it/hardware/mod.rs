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

use crate::support::nexus::with_default_signals;

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

/// Runs the program of its third argument, and raises the signal of the second before the
/// operation of that number in which it creates, renames or removes something on the boot
/// partition, or writes what is told. (Python names each to an audit hook beforehand.)
const ENDED: &str = r#"
import ctypes, os, runpy, sys
left, signal, *sys.argv = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
def step():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal)
def hook(event, args):
    if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir") or event == "open" and args[2] & os.O_CREAT:
        if "firmware" in str(args[0]) or "told" in str(args[0]):
            step()
class Libc(ctypes.CDLL):
    def __getattr__(self, name):
        call = super().__getattr__(name)
        # The next use asks again.
        self.__dict__.pop(name, None)
        return call if name != "renameat2" else lambda *given: step() or call(*given)
ctypes.CDLL = Libc
sys.addaudithook(hook)
runpy.run_path(sys.argv[0], run_name="__main__")
"#;

/// The system's Python, as on the Pi, without this machine's options.
fn python() -> Command {
    let system = Path::new("/usr/bin/python3");
    let mut command = Command::new(if system.exists() { system } else { Path::new("python3") });
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TORMENT_")) {
        command.env_remove(name);
    }
    with_default_signals(&mut command);
    command
}

/// Has the command find the programs of this folder first.
fn finds_first(command: &mut Command, folder: &Path) {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", folder.display()));
}

/// A script of `hardware/`, its constants set to less by `settings`.
fn script(name: &str, settings: &str) -> Command {
    let mut command = python();
    command.args(["-c", RUN]).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("hardware").join(name));
    command.arg(settings).current_dir("/").env("NEXUS_OPTIONS_READ", "1");
    command
}
