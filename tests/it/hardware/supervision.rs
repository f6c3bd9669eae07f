//! The systemd service: `systemd-analyze` accepts its unit and what the unit
//! lets the program do, and restarting the program as the unit says leads from
//! one life to the next.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command as StdCommand;

use assert_cmd::cargo::cargo_bin;

use crate::support::exhibition::{self, UNIT, setting};
use crate::support::fake_printer::{Behaviour, FakePrinter};
use crate::support::nexus::{Ended, Nexus};
use crate::support::receipt_reader::Paper;

/// The folder of systemd's own units; `None` if this machine has no systemd.
fn systemd() -> Option<&'static Path> {
    let units = Path::new("/lib/systemd/system");
    let installed = units.join("sysinit.target").exists();
    assert!(installed || std::env::var_os("CI").is_none(), "the gate needs systemd");
    installed.then_some(units)
}

/// The unit of the helper that takes a stick.
const STICK: &str =
    include_str!("../../../hardware/system/usr/lib/systemd/system/torment-nexus-stick@.service");

/// The result of `systemd-analyze verify` for `unit`, in a root folder that
/// holds the program; `None` if this machine has no systemd.
fn verify(unit: &str) -> Option<Ended> {
    let units = systemd()?;
    let root = tempfile::tempdir().expect("a root");
    let at = |path: &str| root.path().join(path);
    for folder in ["bin", "usr/bin", "etc/systemd/system", "lib/systemd/system", "usr/lib"] {
        fs::create_dir_all(at(folder)).expect("a folder");
    }
    fs::copy(cargo_bin!("torment-nexus"), at("usr/bin/torment-nexus")).expect("the program");
    fs::copy("/bin/sh", at("bin/sh")).expect("a shell");
    fs::write(at("etc/systemd/system/torment-nexus.service"), unit).expect("a unit");
    // Without its folders; a dangling link cannot be copied, and is not needed.
    let copy = ["-c", "cp -L \"$0\"/* \"$1\" 2>/dev/null"];
    let mut command = StdCommand::new("/bin/sh");
    let _ = command.args(copy).arg(units).arg(at("lib/systemd/system")).status();
    symlink("../../lib/systemd", at("usr/lib/systemd")).expect("a link");
    let mut command = StdCommand::new("systemd-analyze");
    command.args(["verify", "--root"]).arg(root.path()).arg("torment-nexus.service");
    Some(Ended::run(command))
}

/// The result of `systemd-analyze security` for `unit`, whose exit status is 0
/// if it rates the exposure 2.5 of 10 or lower; `None` if this machine has no
/// systemd.
fn rate(unit: &str) -> Option<Ended> {
    systemd()?;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("torment-nexus.service");
    fs::write(&file, unit).expect("a unit");
    let mut command = StdCommand::new("systemd-analyze");
    command.args(["security", "--offline=true", "--threshold=25"]).arg(file);
    Some(Ended::run(command))
}

/// The unit without each line that gives the setting `name` a value.
fn unit_without(name: &str) -> String {
    let sets = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    UNIT.split_inclusive('\n').filter(|line| !sets(line)).collect()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let Some(verified) = verify(UNIT) else { return };
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""));
    let broken = verify(&UNIT.replace("/usr/bin/torment-nexus", "/usr/bin/nexus")).expect("systemd");
    assert!(broken.stderr.contains("/usr/bin/nexus"), "it looks for the program: {}", broken.stderr);
}

#[test]
fn systemd_rates_the_unit_as_restricted_and_misses_each_restriction_that_is_taken_away() {
    for unit in [UNIT, STICK] {
        let Some(rated) = rate(unit) else { return };
        assert_eq!((rated.code, rated.stderr.as_str()), (Some(0), ""), "{}", rated.stdout);
    }
    for name in ["SystemCallFilter", "CapabilityBoundingSet", "RestrictNamespaces"] {
        let rated = rate(&unit_without(name)).expect("systemd");
        assert_eq!(rated.code, Some(1), "without {name}: {}{}", rated.stdout, rated.stderr);
    }
}

#[test]
fn the_exhibitions_options_are_options_of_the_program() {
    let nexus = Nexus::new();
    // A wrong option ends with exit status 2. A right one gets as far as the
    // context of one token, which ends with 1.
    let names: Vec<_> = exhibition::all().map(|(name, _)| name).collect();
    assert!(
        ["TORMENT_BUTTON", "TORMENT_LED", "TORMENT_PRINTER", "TORMENT_NEVER"]
            .iter()
            .all(|name| names.contains(name))
    );
    let help = nexus.run(["--help"]).stdout;
    for (name, value) in exhibition::all() {
        let option = name.trim_start_matches("TORMENT_").to_lowercase().replace('_', "-");
        assert!(help.contains(&format!("--{option} ")), "{name} is no option");
        let mut command = nexus.command(["--model", "ember", "--context-size", "1"]);
        if name != "TORMENT_MODEL" && name != "TORMENT_PRINTER" {
            command.env(name, value);
        }
        let ended = Ended::run(command);
        assert_eq!(ended.code, Some(1), "{name}={value} is wrong usage: {}", ended.stderr);
    }
}

#[test]
fn the_next_start_waits_after_a_fault_longer_after_wrong_usage_and_not_after_a_death() {
    let line = setting("ExecStopPost").replace("$$", "$");
    let script =
        line.strip_prefix("/bin/sh -c '").and_then(|line| line.strip_suffix('\'')).expect("a script");
    let nexus = Nexus::new();
    nexus.script("sleep", "echo $1 >>slept");
    // The results and statuses of systemd.exec(5).
    for (result, status, slept) in [
        ("success", "101", ""),
        ("success", "TERM", ""),
        ("exit-code", "1", "4\n"),
        ("exit-code", "70", "4\n"),
        ("exit-code", "2", "60\n"),
        ("signal", "KILL", "4\n"),
        ("oom-kill", "KILL", "4\n"),
        ("watchdog", "KILL", "4\n"),
        ("timeout", "TERM", "4\n"),
    ] {
        let mut command = StdCommand::new("/bin/sh");
        command.args(["-c", script]).current_dir(nexus.folder.path());
        command.env("SERVICE_RESULT", result).env("EXIT_STATUS", status);
        command.env("PATH", nexus.folder.path());
        assert_eq!(Ended::run(command).code, Some(0));
        let found = fs::read_to_string(nexus.path("slept")).unwrap_or_default();
        assert_eq!(found, slept, "after {result}, {status}");
        let _ = fs::remove_file(nexus.path("slept"));
    }
    assert!(!UNIT.contains("RestartPreventExitStatus"), "it is tried again for ever");
    let pause: u32 = setting("RestartSec").parse().expect("seconds");
    assert!(pause <= 1 && pause + 4 >= 5);
}

/// Starts the program again and again, as systemd does by the unit, as long as
/// each exit status counts as a success. The pauses between lives are left out.
#[test]
fn supervised_the_piece_lives_and_dies_three_times_on_three_receipts() {
    let successes: Vec<i32> =
        setting("SuccessExitStatus").split(' ').map(|code| code.parse().expect("a number")).collect();
    assert_eq!(setting("Restart"), "always");
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let mut thoughts = Vec::new();
    for _ in 0..3 {
        let mut command = nexus.command(["--model", "ember", "--context-size", "256", "--temp", "0.8"]);
        command.args(["--printer", "printer", "--printer-baud", "4000000", "--printer-line-ms", "1"]);
        command.env("STATE_DIRECTORY", nexus.path("state"));
        let ended = Ended::run(command);
        ended.died();
        assert!(ended.code.is_some_and(|code| successes.contains(&code)));
        thoughts.push(ended.stdout);
    }
    assert!(
        thoughts[0] != thoughts[1] && thoughts[1] != thoughts[2],
        "no two visitors carry home the same receipt"
    );
    let lines = Paper::read(&printer.stop().bytes()).expect("the printer knows every byte").lines();
    let lives: Vec<_> = lines.iter().filter(|line| line.starts_with("life ")).collect();
    assert_eq!(lives, ["life 1", "life 2", "life 3"]);
    assert_eq!(lines.iter().filter(|line| *line == "terminating.'").count(), 3, "{lines:#?}");
}
