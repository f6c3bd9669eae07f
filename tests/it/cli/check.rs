//! `torment-nexus check` on a machine that is no board.

use std::fs;

use crate::support::fake_printer::{Behaviour, FakePrinter};
use crate::support::nexus::{Ended, Nexus};
use crate::support::receipt_reader::Paper;

/// Runs the check in `nexus` as on a machine without the service's options.
fn check(nexus: &Nexus, before: &[&str], after: &[&str]) -> Ended {
    let mut command = nexus.command([before, &["check"], after].concat());
    command.env("NEXUS_OPTIONS_READ", "");
    Ended::of(command.stdin(std::process::Stdio::null()).output())
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
fn the_report_is_json_on_request_and_nothing_else_is_on_stdout() {
    let ended = check(&Nexus::new(), &["--model", "ember"], &["--quick", "--json"]);
    let json = ended.stdout.trim();
    assert!(json.starts_with('{') && json.ends_with('}') && json.lines().count() == 1, "{json}");
    assert!(json.contains(r#""part":"model","state":"ok""#) || json.contains(r#""state":"ok""#), "{json}");
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
