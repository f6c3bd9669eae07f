//! The texts that are kept, and an earlier receipt printed again.

use crate::support::fake_printer::{Behaviour, FAST, FakePrinter};
use crate::support::nexus::{Ended, Nexus};
use crate::support::receipt_reader::Paper;

const LIFE: [&str; 6] = ["--context-size", "300", "--temp", "0.8", "--model", "ember"];

fn print(nexus: &Nexus, args: &[&str]) -> (Ended, Paper) {
    let fake = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let ended = nexus.run([&LIFE[..], &FAST[..], args].concat());
    (ended, Paper::read(&fake.stop().bytes()).expect("the printer knows every byte"))
}

#[test]
fn the_last_texts_are_kept_listed_and_written_again() {
    let nexus = Nexus::new();
    print(&nexus, &["--keep-texts", "0"]).0.died();
    nexus.run(["lives", "1"]).failed(1, &["no text is kept", "--keep-texts"]);
    let lives: Vec<_> =
        ["3", "4", "5"].map(|seed| print(&nexus, &["--keep-texts=2", "--seed", seed]).0).into();
    for life in &lives {
        life.died();
    }
    let list = nexus.run(["lives"]);
    assert_eq!((list.code, list.stdout.lines().count()), (Some(0), 4), "{list:?}");
    let last = format!("seed 5, 285 tokens, death: {}", &lives[2].stdout.trim()[..20]);
    assert!(list.stdout.starts_with("life 1, ") && list.stdout.contains(&last), "{list:?}");
    assert_eq!(nexus.run(["lives", "4"]).stdout.trim(), lives[2].stdout.trim());
    nexus.run(["lives", "1"]).failed(1, &["no text of life 1 is kept", "from life 3 to 4"]);
}

#[test]
fn a_receipt_is_printed_again_as_it_was_and_counts_no_life() {
    let nexus = Nexus::new();
    let (life, first) = print(&nexus, &["--seed", "3"]);
    life.died();
    let (again, second) = print(&nexus, &["lives", "1", "--print"]);
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
    // The header of the first has its date, and stands after the gap of a fresh printer.
    let from_its_number = |paper: &Paper| {
        let lines = paper.lines();
        let at = lines.iter().position(|line| line == "life 1").expect("its number");
        lines[at..].iter().filter(|line| !line.contains(':')).cloned().collect::<Vec<_>>()
    };
    let first = from_its_number(&first);
    assert_eq!(from_its_number(&second), first);
    assert_eq!(second.titles(), ["TORMENT NEXUS"]);
    let (next, paper) = print(&nexus, &["--seed", "3"]);
    next.died();
    assert!(paper.lines().contains(&"life 2".to_owned()));
}
