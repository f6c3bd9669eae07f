//! What a person at a terminal sees: lines of its width, and one line while the model
//! loads.

use std::cell::Cell;

use nix::sys::signal::Signal;

use super::signal;
use crate::support::fake_printer::{Behaviour, FAST, FakePrinter};
use crate::support::nexus::Nexus;
use crate::support::terminal::Terminal;

/// A life of some 230 tokens: no warning says that the prompt leaves little room.
const SHORT: [&str; 4] = ["--model", "ember", "-c", "400"];

const DEATH_LINE: &str = "panicked at 'Context overflow - terminating.'";

const ROWS: u16 = 60;

fn run(nexus: &Nexus, columns: u16, args: &[&str]) -> Terminal {
    run_in(nexus, columns, args, &[])
}

fn run_in(nexus: &Nexus, columns: u16, args: &[&str], variables: &[(&str, &str)]) -> Terminal {
    let mut command = nexus.command(args);
    command.env("TERM", "xterm-256color").env_remove("NO_COLOR").envs(variables.iter().copied());
    Terminal::start(command, columns, ROWS)
}

/// All that was written so far.
fn written(terminal: &Terminal) -> String {
    let bytes: Vec<_> =
        terminal.look(|seen| seen.written.iter().flat_map(|(_, bytes)| bytes.clone()).collect());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Everything before the death.
fn thought(screen: &str) -> &str {
    screen.split("WARNING:").next().unwrap_or_default()
}

#[test]
fn no_word_is_broken_at_the_edge_of_the_terminal_and_elsewhere_no_line_is() {
    let nexus = Nexus::new();
    let plain = nexus.run(SHORT).stdout;
    assert!(plain.lines().any(|line| line.len() > 120), "{plain}");
    for columns in [31, 80] {
        let terminal = run(&nexus, columns, &SHORT);
        let (code, screen, is_restored) = terminal.end();
        assert_eq!(words(thought(&screen)), words(&plain), "{screen}");
        assert_eq!((code, is_restored), (Some(101), true));
    }
}

#[test]
fn a_terminal_that_becomes_narrower_gets_shorter_lines_from_the_next_one_on() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    // The paper holds the life back, so that there is time.
    let slow = ["--printer", "printer", "--printer-baud", "115200", "--printer-line-ms", "100"];
    let mut terminal = run(&nexus, 70, &[&SHORT[..], &slow].concat());
    terminal.wait_until("the second line", |_| written(&terminal).matches('\n').count() >= 2);
    terminal.resize(30, ROWS);
    let at = written(&terminal).len();
    terminal.wait_until("the death", |_| written(&terminal).contains(DEATH_LINE));
    let text = written(&terminal);
    let before: Vec<_> = text[..at].lines().collect();
    assert!(before[0].len() > 40, "{text}");
    let after: Vec<_> = thought(&text[at..]).lines().skip(1).collect();
    assert!(after.len() > 3 && after.iter().all(|line| line.len() <= 30), "{after:#?}");
    assert_eq!(terminal.end().0, Some(101));
    drop(printer.stop());
}

#[test]
fn the_load_is_one_line_that_is_gone_before_the_first_word() {
    let nexus = Nexus::new();
    let terminal = run(&nexus, 80, &SHORT);
    let screen = terminal.wait_for(DEATH_LINE);
    let text = written(&terminal);
    assert!(text.contains("loading ember: "), "{text}");
    assert!(text.contains("tokens of the prompt"), "{text}");
    assert!(!screen.contains("loading"), "{screen}");
    assert!(screen.starts_with(&thought(&screen)[..20]), "{screen}");
    assert!(!thought(&screen).starts_with('\n'), "{screen}");
    // A start that fails leaves its error only.
    let terminal = run(&nexus, 80, &["--model", "ember", "-c", "9999"]);
    let (code, screen, _) = terminal.end();
    assert!(screen.starts_with("error: ") && !screen.contains("loading"), "{screen}");
    assert_eq!(code, Some(1));
}

#[test]
fn the_rest_is_one_line_that_goes_with_it() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    nexus.ember(&[&["-c", "300"], &FAST[..]].concat()).died();
    let terminal = run(&nexus, 80, &[&SHORT[..], &FAST, &["--rest", "10000"]].concat());
    assert_eq!(terminal.wait_for("resting after a life"), "resting after a life");
    signal(&terminal.child, Signal::SIGINT);
    let (code, screen, _) = terminal.end();
    assert!(screen.contains("interrupted while the piece rests"), "{screen}");
    assert!(!screen.contains("resting after"), "{screen}");
    assert_eq!(code, Some(130));
    drop(printer.stop());
}

#[test]
fn the_warning_is_red_where_the_terminal_has_colours_and_nobody_minds() {
    const RED: &str = "\x1b[1;31mWARNING: Context window exhausted!\x1b[0m";
    for (variable, value, red) in
        [("TERM", "xterm-256color", true), ("NO_COLOR", "1", false), ("TERM", "dumb", false)]
    {
        let nexus = Nexus::new();
        let terminal = run_in(&nexus, 80, &SHORT, &[(variable, value)]);
        terminal.wait_for(DEATH_LINE);
        let text = written(&terminal);
        assert_eq!(text.contains(RED), red, "{variable}={value}: {text:?}");
        assert!(text.contains("WARNING: Context window exhausted!"), "{text:?}");
        if value == "dumb" {
            assert!(!text.contains('\x1b'), "{text:?}");
        }
        assert_eq!(terminal.end().0, Some(101));
    }
}

#[test]
fn a_terminal_stopped_by_ctrl_s_does_not_keep_a_signal_from_ending_the_life() {
    // With -v the handler of the signal has something to say too.
    for args in [&["--model", "ember"][..], &["--model", "ember", "-v"]] {
        let nexus = Nexus::new();
        let mut terminal = run(&nexus, 80, args);
        terminal.wait_until("a line", |_| written(&terminal).contains('\n'));
        terminal.type_in("\x13");
        // The program has written what the terminal does not take.
        let at = Cell::new((usize::MAX, 0));
        terminal.wait_until("the end of the output", |_| {
            let now = written(&terminal).len();
            at.set(if at.get().0 == now { (now, at.get().1 + 1) } else { (now, 0) });
            at.get().1 > 50
        });
        signal(&terminal.child, Signal::SIGTERM);
        assert_eq!(terminal.end().0, Some(130));
    }
}
