//! `lives.csv`, whatever ends the lives.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::Stdio;

use assert_cmd::Command;
use installation::state::entry::{Entry, Outcome, PaperEnd};
use installation::state::lives::Lives;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::resource::Resource::RLIMIT_FSIZE;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::fake_printer::{Behaviour, FakePrinter};
use crate::support::nexus::{DEATH, Ended, LIMIT, Nexus, ember_gguf, limit};

/// A short life on a printer that is much faster than any real one.
const SHORT: [&str; 8] =
    ["--context-size", "256", "--printer", "printer", "--printer-baud", "4000000", "--printer-line-ms", "1"];

/// The same on a slower one: it lasts longer than it takes to print 300 bytes.
const SLOW: [&str; 8] =
    ["--context-size", "256", "--printer", "printer", "--printer-baud", "115200", "--printer-line-ms", "50"];

fn lives(nexus: &Nexus) -> Lives {
    Lives::within(&nexus.path("torment-nexus"))
}

/// The lives of `lives.csv`. Fails if it has other lines than the columns, one of the
/// boot, and two of each life, or one if it was killed.
fn history(nexus: &Nexus) -> Vec<Entry> {
    let text = fs::read_to_string(nexus.path("torment-nexus/lives.csv")).expect("a history");
    let entries = lives(nexus).all().expect("a history");
    let ends = entries.iter().filter(|life| life.outcome.is_some()).count();
    let faults = text.matches(",none,fault,").count();
    assert!(text.ends_with('\n'));
    assert_eq!(text.lines().count(), 2 + entries.len() + ends + faults, "a line is torn: {text}");
    entries
}

fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

/// Begins a life and sends it a signal once so many bytes of its receipt are
/// printed.
fn stop(nexus: &Nexus, signal: Signal, bytes: usize) {
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let mut command = nexus.command(["--model", "ember"].iter().chain(&SLOW));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    printer.wait_for(bytes);
    kill(Pid::from_raw(child.id() as i32), signal).expect("it still runs");
    child.wait().expect("it ends");
    printer.stop();
}

/// Lives a short life with these options, while the printer is there.
fn live(nexus: &Nexus, args: &[&str]) -> Ended {
    live_within(nexus, args, u64::MAX)
}

/// The same where no file may become longer than that.
fn live_within(nexus: &Nexus, args: &[&str], longest: u64) -> Ended {
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let mut command = nexus.command(args.iter().chain(&SHORT));
    limit(&mut command, RLIMIT_FSIZE, longest);
    let ended = Ended::of(Command::from_std(command).timeout(LIMIT).output());
    printer.stop();
    ended
}

#[test]
fn of_20_lives_of_which_5_are_killed_each_has_its_number_and_its_whole_lines() {
    let nexus = Nexus::new();
    let mut killed = BTreeSet::new();
    while killed.len() < 5 {
        killed.insert(1 + random(20));
    }
    for life in 1..=20 {
        if killed.contains(&life) {
            let bytes = 1 + random(300) as usize;
            println!("life {life} is killed after {bytes} bytes");
            stop(&nexus, Signal::SIGKILL, bytes);
        } else {
            live(&nexus, &["--model", "ember"]).died();
        }
    }
    let lives = history(&nexus);
    assert_eq!(lives.iter().map(|life| life.number).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    for life in lives {
        let ends = match killed.contains(&life.number) {
            true => (None, None, None),
            // 95 % of 256.
            false => (Some(Outcome::Death), Some(PaperEnd::Whole), Some(243)),
        };
        assert_eq!((life.outcome, life.paper, life.figures.tokens), ends, "life {}", life.number);
        assert_eq!((life.model.as_str(), life.seed), ("ember", None));
        let options = &life.options;
        assert!(
            options.starts_with("torment-nexus --model ember ") && options.contains("-size 256 "),
            "{options}"
        );
        assert_eq!((life.fingerprint.len(), life.prompt.len()), (16, 16));
    }
}

#[test]
fn an_interrupted_life_has_its_tokens_and_a_fault_before_a_life_is_kept_for_the_slip() {
    let nexus = Nexus::new();
    stop(&nexus, Signal::SIGTERM, 200);
    let fault = live(&nexus, &["--model", "none.gguf"]);
    fault.failed(1, &["none.gguf"]);
    let [life] = &history(&nexus)[..] else { panic!("one life") };
    assert_eq!((life.outcome, life.paper), (Some(Outcome::Interrupted), Some(PaperEnd::Whole)));
    assert!(life.figures.tokens.is_some_and(|tokens| tokens > 10), "{life:?}");
    assert!(life.figures.seconds.is_some() && life.figures.rate.is_some(), "{life:?}");
    let record = lives(&nexus).read().expect("a record");
    assert_eq!((record.lives, record.starts), (1, 2));
    let kept = record.fault.expect("a fault").words;
    assert_eq!(format!("error: {kept}\n"), fault.stderr.replace("error: ", "error: before life 2: "));
}

#[test]
fn a_whole_life_is_two_writes_to_one_file_and_none_to_another() {
    let nexus = Nexus::new();
    // The first one makes the folder and keeps the prompt's state.
    live(&nexus, &["--model", "ember"]).died();
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).expect("inotify");
    // The kernel joins two events that are alike, unless another is between them.
    let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_CLOSE_WRITE;
    watch.add_watch(&nexus.path("torment-nexus"), flags).expect("a folder");
    live(&nexus, &["--model", "ember"]).died();
    let mut events = watch.read_events().expect("something was written");
    events.retain(|event| !event.mask.contains(AddWatchFlags::IN_CLOSE_WRITE));
    let names: Vec<_> = events.into_iter().filter_map(|event| event.name).collect();
    assert_eq!(names, ["lives.csv", "lives.csv"]);
}

#[test]
fn a_lost_printer_is_in_the_history_and_without_printer_and_button_there_is_none() {
    let nexus = Nexus::new();
    nexus.ember(&["--context-size", "256"]).died();
    assert!(!nexus.path("torment-nexus/lives.csv").exists());
    nexus.ember(&SHORT).died();
    assert_eq!(history(&nexus)[0].paper, Some(PaperEnd::Lost));
}

#[test]
fn a_full_disk_costs_a_warning_and_a_line_and_nothing_else() {
    let nexus = Nexus::new();
    nexus.file("model.gguf", ember_gguf());
    nexus.file("prompt.txt", "You are here.");
    let model = ["--model", "model.gguf"];
    live(&nexus, &model).died();
    // The disk is full so many bytes after the end of the history.
    const FULL: u64 = 100_000;
    let path = nexus.path("torment-nexus/lives.csv");
    let before = fs::read(&path).expect("a history");
    for (room, number, is_open) in [(10, 1, false), (600, 2, true)] {
        let mut full = before.clone();
        full.resize(FULL as usize - room, b'\n');
        fs::write(&path, &full).expect("a long history");
        let ended = live_within(&nexus, &model, FULL);
        let warning = ended.died().stderr.strip_suffix(DEATH).expect("the death comes last");
        assert!(warning.starts_with("warning: cannot keep the life number in "), "{warning}");
        assert_eq!(warning.lines().count(), 1, "{warning}");
        let after = fs::read(&path).expect("a history");
        assert!(after.starts_with(&full) && after.ends_with(b"\n"), "a part of a line is left");
        let record = lives(&nexus).read().expect("a record");
        assert_eq!((record.lives, record.receipt_open), (number, is_open), "room for {room} bytes");
    }
}
