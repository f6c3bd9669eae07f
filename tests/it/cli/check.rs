//! `torment-nexus check` on a machine that is no board.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::life::{ended, signal, sleeps, wait_until};
use crate::support::fake_printer::{Behaviour, FakePrinter};
use crate::support::nexus::{Ended, Nexus};
use crate::support::receipt_reader::Paper;

/// Runs the check in `nexus` as on a machine without the service's options.
fn check(nexus: &Nexus, before: &[&str], after: &[&str]) -> Ended {
    let mut command = nexus.command([before, &["check"], after].concat());
    command.env("NEXUS_OPTIONS_READ", "");
    Ended::of(command.stdin(Stdio::null()).output())
}

/// The state that the report gives a part.
fn state(report: &str, part: &str) -> String {
    let line = report.lines().find(|line| line.get(5..).is_some_and(|rest| rest.starts_with(part)));
    line.unwrap_or_else(|| panic!("nothing of {part}: {report}"))[..4].trim().to_owned()
}

#[test]
fn on_a_laptop_the_check_says_which_parts_need_the_board_and_that_not_all_is_well() {
    let nexus = Nexus::new();
    let ended = check(&nexus, &["--model", "ember"], &["--quick"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for (part, expected) in
        [("board", "skip"), ("serial port", "skip"), ("model", "ok"), ("memory", "ok"), ("printer", "warn")]
    {
        if part == "board" && std::path::Path::new("/proc/device-tree/model").exists() {
            continue;
        }
        assert_eq!(state(&ended.stdout, part), expected, "{part}: {}", ended.stdout);
    }
    let last = ended.stdout.lines().last().expect("a summary");
    assert!(last.contains("not looked at"), "{last}");
}

#[test]
fn a_model_that_is_absent_or_damaged_is_found_without_the_network() {
    let nexus = Nexus::new();
    let url = ["--model", "http://127.0.0.1:9/mind.gguf"];
    let absent = check(&nexus, &url, &["--quick"]);
    assert_eq!(
        (state(&absent.stdout, "model"), state(&absent.stdout, "memory")),
        ("FAIL".into(), "skip".into())
    );
    fs::create_dir(nexus.path("models")).expect("a folder");
    let ember = crate::support::nexus::ember_gguf();
    let record = |sha256: &str| {
        format!("url: http://127.0.0.1:9/mind.gguf\nsize: {}\nsha256: {sha256}\n", ember.len())
    };
    nexus.file("models/mind.gguf", &ember);
    nexus.file("models/mind.gguf.origin", record(&"0".repeat(64)));
    let damaged = check(&nexus, &url, &["--quick"]);
    assert_eq!(state(&damaged.stdout, "model"), "FAIL", "{}", damaged.stdout);
    assert!(damaged.stdout.contains("is not what was downloaded -> delete it"), "{}", damaged.stdout);
}

#[test]
fn the_report_is_one_json_object_on_request_whatever_keeps_the_check_from_its_end() {
    let nexus = Nexus::new();
    let of = |arguments: &[&str]| {
        let ended = check(&nexus, arguments, &["--quick", "--json"]);
        let json: Value = serde_json::from_str(&ended.stdout).expect("JSON, and nothing else");
        (ended.code, json)
    };
    let found = |json: &Value, part: &str| {
        let parts = json["parts"].as_array().expect("parts").clone();
        let part = parts.into_iter().find(|each| each["part"] == part).expect("the part");
        (
            part["state"].as_str().expect("a state").to_owned(),
            part["found"].to_string() + &part["next"].to_string(),
        )
    };
    let (code, json) = of(&["--model", "ember"]);
    assert_eq!((code, found(&json, "model").0.as_str()), (Some(1), "ok"));
    for (arguments, words) in [
        (&["--temp", "warm"][..], "'warm' for '--temp"),
        (&["--button", "18", "--led", "18"], "both GPIO 18"),
        (&["--button", "18", "--led", "18"], "give each a pin of its own"),
        (&["--button", "24", "--printer-busy", "24"], "--printer-busy and --button are both GPIO 24"),
        (&["--loud"], "--loud"),
    ] {
        let (code, json) = of(arguments);
        let (state, found) = found(&json, "options");
        assert_eq!((code, state.as_str()), (Some(2), "fail"));
        assert!(found.contains(words), "{found}");
    }
    // A fault of a part does not end it.
    let page = nexus.file("page.gguf", "<html>");
    let (code, json) = of(&["--model", &page.to_string_lossy()]);
    assert_eq!((code, json["well"].as_bool()), (Some(1), Some(false)));
}

#[test]
fn the_check_creates_nothing() {
    let nexus = Nexus::new();
    for folder in ["new/state", "there"] {
        let ended = check(&nexus, &["--model", "ember", "--state-dir", folder], &["--quick"]);
        assert_eq!(state(&ended.stdout, "state"), "ok", "{}", ended.stdout);
        let made: Vec<_> = fs::read_dir(nexus.folder.path()).expect("a folder").collect();
        assert!(made.iter().flatten().all(|made| made.file_name() == "there"), "{made:?}");
        fs::create_dir_all(nexus.path("there")).expect("a folder");
    }
    assert_eq!(fs::read_dir(nexus.path("there")).expect("a folder").count(), 0);
    nexus.file("there/lives.lock", "");
    fs::create_dir(nexus.path("there/lives.csv")).expect("a folder");
    let ended = check(&nexus, &["--model", "ember", "--state-dir", "there"], &["--quick"]);
    assert_eq!(state(&ended.stdout, "state"), "FAIL", "{}", ended.stdout);
}

/// Starts the check in `nexus` with these arguments.
fn start_check(nexus: &Nexus, arguments: &[&str], stdout: Stdio) -> Child {
    let mut command = nexus.command([&["check", "--model", "ember"], arguments].concat());
    command.env("NEXUS_OPTIONS_READ", "").stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

#[test]
fn one_signal_ends_a_check_whose_stdout_nobody_reads() {
    let nexus = Nexus::new();
    let (_unread, mut pipe) = std::io::pipe().expect("a pipe");
    fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(4096)).expect("a small pipe");
    pipe.write_all(&[b'x'; 4096]).expect("it has room");
    let child = start_check(&nexus, &["--quick"], pipe.into());
    wait_until("the wait for a reader", || sleeps(&child));
    signal(&child, Signal::SIGTERM);
    assert_eq!(ended(child).0, Some(130));
}

#[test]
fn a_signal_while_the_strip_is_printed_is_no_fault_of_the_printer() {
    let nexus = Nexus::new();
    let _printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let mut child =
        start_check(&nexus, &["--printer", "printer", "--printer-line-ms", "1500"], Stdio::null());
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("the strip is printed")));
    signal(&child, Signal::SIGTERM);
    let rest: Vec<_> = lines.collect();
    assert_eq!(ended(child).0, Some(130));
    assert!(!rest.iter().any(|line| line.contains("prints on it")), "{rest:?}");
}

#[test]
fn the_strip_has_every_character_a_ruler_and_numbered_lines_at_falling_intervals() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let ended = check(&nexus, &["--model", "ember", "--printer", "printer", "--printer-baud", "115200"], &[]);
    assert_eq!(state(&ended.stdout, "paper"), "skip", "{}", ended.stdout);
    let paper = Paper::read(&printer.stop().bytes()).expect("the printer knows every byte");
    let lines = paper.lines();
    assert!(lines.contains(&"....+....1....+....2....+....3..".to_owned()), "{lines:#?}");
    let all = lines.concat();
    for character in ('!'..='~').chain("ÇüéñÑ░▒▓│ßΓπ■".chars()) {
        assert!(all.contains(character), "{character} is missing");
    }
    let numbered = lines.iter().filter(|line| line.contains(" ms abc")).count();
    assert_eq!(numbered, 32, "{lines:#?}");
    let words = lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("not looked at"), "the result is on the strip: {words}");
    assert_eq!(paper.columns(), 32);
}
