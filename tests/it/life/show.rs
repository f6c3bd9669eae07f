//! The economy of a show: rest, lives a day, opening hours.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::fake_printer::{Behaviour, FakePrinter};
use crate::support::nexus::{Ended, Nexus};

const FAST: [&str; 6] = ["--printer", "printer", "--printer-baud", "4000000", "--printer-line-ms", "1"];

/// Starts ember with `args`, waits until it is armed, and ends it with a signal
/// unless it has begun a life by itself. Returns what it said.
fn armed(nexus: &Nexus, args: &[&str]) -> Ended {
    let all = ["--model", "ember", "-c", "300", "-v"].iter().chain(&FAST).chain(args);
    let mut command = nexus.command(all);
    let mut child =
        command.env("TZ", "UTC").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    while !said.contains("armed after") {
        assert!(stderr.read_line(&mut said).expect("a line") > 0, "it ended: {said}");
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("it still runs");
    std::io::Read::read_to_string(&mut stderr, &mut said).expect("its last words");
    let mut ended = Ended::of(child.wait_with_output());
    ended.stderr = said;
    ended
}

#[test]
fn after_a_life_the_piece_rests_and_a_signal_ends_that() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    // The first life since the start has nothing to rest from.
    let first = nexus.ember(&[&["-c", "300", "--rest", "10000"], &FAST[..]].concat());
    first.died();
    let second = armed(&nexus, &["--rest", "10000"]);
    assert_eq!(second.code, Some(130));
    assert!(second.stderr.contains("interrupted while the piece rests"), "{}", second.stderr);
    drop(printer.stop());
    let history = fs::read_to_string(nexus.path("torment-nexus/lives.csv")).expect("a history");
    assert_eq!(history.lines().count(), 4, "columns, boot, birth and end: {history}");
}

#[test]
fn outside_its_hours_and_after_its_last_life_it_waits_where_the_clock_is_believed() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let first = nexus.ember(&[&["-c", "300", "--lives-per-day", "1"], &FAST[..]].concat());
    first.died();
    let history = fs::read_to_string(nexus.path("torment-nexus/lives.csv")).expect("a history");
    let believed = !history.contains("\n1,,");
    // An hour that begins half a day from now.
    let seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    let then = (seconds / 3600 + 12) % 24;
    let hours = format!("{then:02}:00-{:02}:00", (then + 1) % 24);
    for args in [&["--open", hours.as_str()][..], &["--lives-per-day", "1"]] {
        let ended = armed(&nexus, args);
        assert_eq!(ended.code, Some(130), "{args:?}: {}", ended.stderr);
        match believed {
            true => assert!(ended.stderr.contains("while the piece rests"), "{args:?}: {}", ended.stderr),
            false => assert!(ended.stderr.contains("the clock is not set"), "{args:?}: {}", ended.stderr),
        }
    }
    drop(printer.stop());
}

#[test]
fn hours_that_are_none_are_wrong_usage() {
    for hours in ["10-18", "25:00-26:00", "10:00-10:00"] {
        Nexus::new().ember(&["--open", hours]).failed(2, &["--open", hours]);
    }
}
