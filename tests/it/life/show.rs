//! The economy of a show: rest, lives a day, opening hours.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use installation::state::lives::Lives;
use nix::sys::signal::Signal;

use super::{ended, signal, start};
use crate::support::fake_printer::{Behaviour, FAST, FakePrinter};
use crate::support::nexus::Nexus;

/// Starts ember with `args`, waits until it is armed, and ends it with a signal
/// unless it has begun a life by itself. Returns what it said.
fn interrupted(nexus: &Nexus, args: &[&str]) -> String {
    let mut command = nexus.command(["--model", "ember", "-c", "300", "-v"].iter().chain(&FAST).chain(args));
    command.env("TZ", "UTC");
    let mut child = start(command, Stdio::null());
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    while !said.contains("armed after") {
        assert!(stderr.read_line(&mut said).expect("a line") > 0, "it ended: {said}");
    }
    signal(&child, Signal::SIGTERM);
    stderr.read_to_string(&mut said).expect("its last words");
    assert_eq!(ended(child).0, Some(130), "{args:?}: {said}");
    said
}

#[test]
fn after_a_life_the_piece_rests_and_a_signal_ends_that() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    // The first life since the start has nothing to rest from.
    nexus.ember(&[&["-c", "300", "--rest", "10000"], &FAST[..]].concat()).died();
    let said = interrupted(&nexus, &["--rest", "10000"]);
    assert!(said.contains("interrupted while the piece rests"), "{said}");
    drop(printer.stop());
    assert_eq!(Lives::within(&nexus.path("torment-nexus")).all().expect("a history").len(), 1);
}

#[test]
fn outside_its_hours_and_after_its_last_life_it_waits_where_the_clock_is_believed() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    nexus.ember(&[&["-c", "300", "--lives-per-day", "1"], &FAST[..]].concat()).died();
    let lives = Lives::within(&nexus.path("torment-nexus")).all().expect("a history");
    let believed = !lives[0].date.is_empty();
    // An hour that begins half a day from now.
    let seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    let then = (seconds / 3600 + 12) % 24;
    let hours = format!("{then:02}:00-{:02}:00", (then + 1) % 24);
    for args in [&["--open", hours.as_str()][..], &["--lives-per-day", "1"]] {
        let said = interrupted(&nexus, args);
        let words = if believed { "while the piece rests" } else { "the clock is not set" };
        assert!(said.contains(words), "{args:?}: {said}");
    }
    drop(printer.stop());
}

#[test]
fn a_life_that_cannot_be_written_is_said_not_to_count_for_the_day() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    nexus.file("file", "");
    fs::create_dir_all(nexus.path("unwritable/lives.csv")).expect("a folder");
    for (folder, told) in
        [("file", "--lives-per-day is ignored"), ("unwritable", "--lives-per-day does not count")]
    {
        let args = ["--model", "ember", "-c", "300", "--lives-per-day", "1", "--state-dir", folder];
        let ended = nexus.run(args.iter().chain(&FAST));
        assert_eq!(ended.died().stderr.matches(told).count(), 1, "{}", ended.stderr);
    }
    drop(printer.stop());
}
