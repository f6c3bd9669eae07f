//! What a person at a terminal sees: lines of its width, a text at reading speed, one
//! line while the model loads; and a terminal that is as it was afterwards.

use nix::sys::signal::Signal;

use crate::support::fake_printer::{Behaviour, FakePrinter};
use crate::support::nexus::Nexus;
use crate::support::pty::{Terminal, wait_until};

/// A life of some 230 tokens: no warning says that the prompt leaves little room.
const SHORT: [&str; 4] = ["--model", "ember", "-c", "400"];

/// So slow that the life would outlast every test.
const SLOW: [&str; 2] = ["--pace", "1"];

const DEATH_LINE: &str = "panicked at 'Context overflow - terminating.'";

const ROWS: u16 = 60;

fn run(nexus: &Nexus, columns: u16, args: &[&str]) -> Terminal {
    Terminal::run(&nexus.command([&SHORT[..], args].concat()), ROWS, columns, &[])
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Everything before the death.
fn thought(screen: &str) -> &str {
    screen.split("WARNING:").next().unwrap_or_default()
}

#[test]
fn no_word_is_broken_at_the_edge_of_the_terminal_and_elsewhere_no_line_is() {
    let nexus = Nexus::new();
    let plain = nexus.ember(&["-c", "400"]).stdout;
    assert!(plain.lines().any(|line| line.len() > 120), "{plain}");
    for columns in [31, 80] {
        let terminal = run(&nexus, columns, &[]);
        terminal.wait_for(DEATH_LINE);
        let screen = terminal.screen(ROWS, columns);
        assert_eq!(words(thought(&screen)), words(&plain), "{screen}");
        assert_eq!(terminal.ended().0, Some(101));
    }
}

#[test]
fn a_terminal_that_becomes_narrower_gets_shorter_lines_from_the_next_one_on() {
    let nexus = Nexus::new();
    let mut terminal = run(&nexus, 70, &["--pace", "200"]);
    wait_until("the second line", || terminal.text().matches('\n').count() >= 2);
    terminal.resize(ROWS, 30);
    let at = terminal.text().len();
    let later = |terminal: &Terminal| terminal.text()[at..].matches('\n').count();
    wait_until("more lines", || later(&terminal) >= 3);
    terminal.press(b" ");
    let (code, text) = terminal.ended();
    assert_eq!(code, Some(101), "{text}");
    let before: Vec<_> = text[..at].lines().collect();
    assert!(before[0].len() > 40, "{text}");
    let after: Vec<_> = thought(&text[at..]).lines().skip(1).collect();
    assert!(after.len() > 3 && after.iter().all(|line| line.len() <= 30), "{after:#?}");
}

#[test]
fn a_key_hurries_the_paced_life_and_the_terminal_is_as_before() {
    let nexus = Nexus::new();
    let mut terminal = run(&nexus, 80, &[&SLOW[..], &["-v"]].concat());
    wait_until("single keys", || terminal.gives_single_keys());
    terminal.press(b"@");
    let (code, text) = terminal.ended();
    assert_eq!(code, Some(101), "{text}");
    assert!(!text.contains('@'), "the key is shown: {text}");
    // The wait is no part of the rate.
    assert!(text.contains("s of waiting for the reader"), "{text}");
    let rate = text.split(" tokens/s without").next().and_then(|text| text.rsplit(' ').next());
    let rate: f64 = rate.expect("a rate").parse().expect("a number");
    assert!(rate > 1.0, "{rate}: {text}");
}

#[test]
fn every_ending_of_a_paced_life_sets_the_terminal_back() {
    for (signals, code) in [
        (&[Signal::SIGTERM][..], 130),
        // The second one ends the program at once.
        (&[Signal::SIGINT, Signal::SIGTERM], 130),
        (&[Signal::SIGQUIT], 128 + 3),
        (&[Signal::SIGABRT], 70),
    ] {
        let nexus = Nexus::new();
        let terminal = run(&nexus, 80, &SLOW);
        wait_until("single keys", || terminal.gives_single_keys());
        for signal in signals {
            terminal.signal(*signal);
        }
        let (ended, text) = terminal.ended();
        assert_eq!(ended, Some(code), "{signals:?}: {text}");
    }
}

#[test]
fn ctrl_c_ends_a_paced_life_at_once() {
    let nexus = Nexus::new();
    let mut terminal = run(&nexus, 80, &SLOW);
    wait_until("single keys", || terminal.gives_single_keys());
    terminal.press(b"\x03");
    let (code, text) = terminal.ended();
    assert_eq!(code, Some(130), "{text}");
    assert!(text.contains("interrupted at "), "{text}");
}

#[test]
fn ctrl_z_gives_the_terminal_back_to_the_shell() {
    let nexus = Nexus::new();
    let mut terminal = run(&nexus, 80, &SLOW);
    wait_until("single keys", || terminal.gives_single_keys());
    terminal.press(b"\x1a");
    wait_until("the stop", || !terminal.gives_single_keys());
    terminal.is_as_before();
    terminal.signal(Signal::SIGCONT);
    // As after any stop, a key needs Enter then.
    terminal.press(b"\n");
    assert_eq!(terminal.ended().0, Some(101));
}

#[test]
fn the_terminal_is_left_alone_where_it_is_not_the_programs() {
    // No pace, no stdin, or a stdout that is no terminal: there the pace is off, so that
    // the life ends by itself.
    for (args, elsewhere, ends) in [(&[][..], &[][..], true), (&SLOW, &[0], false), (&SLOW, &[1], true)] {
        let nexus = Nexus::new();
        let command = nexus.command([&SHORT[..], args].concat());
        let terminal = Terminal::run(&command, ROWS, 80, elsewhere);
        if ends {
            assert_eq!(terminal.ended().0, Some(101), "{args:?}, {elsewhere:?}");
            continue;
        }
        terminal.wait_for("I");
        terminal.is_as_before();
        terminal.signal(Signal::SIGTERM);
        assert_eq!(terminal.ended().0, Some(130));
    }
}

#[test]
fn in_the_background_a_paced_life_neither_stops_nor_touches_the_terminal() {
    let nexus = Nexus::new();
    let program = nexus.command([&SHORT[..], &SLOW].concat());
    // A shell with job control puts the program into a group of its own.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "set -m; \"$@\" <\"$(tty)\" & wait $!", "sh"]);
    shell.arg(program.get_program()).args(program.get_args()).current_dir(nexus.folder.path());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let terminal = Terminal::run(&shell, ROWS, 80, &[]);
    terminal.wait_for("I");
    let at = terminal.text().len();
    wait_until("more of the text", || terminal.text().len() > at);
    terminal.is_as_before();
}

#[test]
fn the_load_is_one_line_that_is_gone_before_the_first_word() {
    let nexus = Nexus::new();
    let terminal = run(&nexus, 80, &[]);
    terminal.wait_for(DEATH_LINE);
    let (text, screen) = (terminal.text(), terminal.screen(ROWS, 80));
    assert!(text.contains("loading ember: "), "{text}");
    assert!(text.contains("tokens of the prompt"), "{text}");
    assert!(!screen.contains("loading"), "{screen}");
    assert!(screen.starts_with(&thought(&screen)[..20]), "{screen}");
    assert!(!thought(&screen).starts_with('\n'), "{screen}");
    drop(terminal);
    // A start that fails leaves its error only.
    let command = nexus.command(["--model", "ember", "-c", "9999"]);
    let terminal = Terminal::run(&command, ROWS, 80, &[]);
    terminal.wait_for("error: ");
    let screen = terminal.screen(ROWS, 80);
    assert!(screen.starts_with("error: "), "{screen}");
    assert_eq!(terminal.ended().0, Some(1));
}

#[test]
fn the_rest_is_one_line_that_goes_with_it() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let fast = ["--printer", "printer", "--printer-baud", "4000000", "--printer-line-ms", "1"];
    nexus.ember(&[&["-c", "300"], &fast[..]].concat()).died();
    let mut terminal = run(&nexus, 80, &[&fast[..], &["--rest", "10000"]].concat());
    terminal.wait_for("resting after a life");
    assert_eq!(terminal.screen(ROWS, 80), "resting after a life");
    terminal.press(b"\x03");
    terminal.wait_for("interrupted");
    assert!(terminal.screen(ROWS, 80).contains("interrupted while the piece rests"));
    assert!(!terminal.screen(ROWS, 80).contains("resting after"));
    assert_eq!(terminal.ended().0, Some(130));
    drop(printer.stop());
}

#[test]
fn the_warning_is_red_where_the_terminal_has_colours_and_nobody_minds() {
    const RED: &str = "\x1b[1;31mWARNING: Context window exhausted!\x1b[0m";
    for (variable, value, red) in
        [("TERM", "xterm-256color", true), ("NO_COLOR", "1", false), ("TERM", "dumb", false)]
    {
        let nexus = Nexus::new();
        let mut command = nexus.command(SHORT);
        command.env(variable, value);
        let terminal = Terminal::run(&command, ROWS, 80, &[]);
        terminal.wait_for(DEATH_LINE);
        let text = terminal.text();
        assert_eq!(text.contains(RED), red, "{variable}={value}: {text:?}");
        assert!(text.contains("WARNING: Context window exhausted!"), "{text:?}");
        if value == "dumb" {
            assert!(!text.contains('\x1b'), "{text:?}");
        }
        assert_eq!(terminal.ended().0, Some(101));
    }
}

#[test]
fn a_terminal_stopped_by_ctrl_s_does_not_keep_a_signal_from_ending_the_life() {
    // With -v the handler of the signal has something to say too.
    for args in [&[][..], &["-v"]] {
        let nexus = Nexus::new();
        let mut terminal = Terminal::run(
            &nexus.command([&["--model", "ember"], &["--pace", "300"], args].concat()),
            ROWS,
            80,
            &[],
        );
        wait_until("single keys", || terminal.gives_single_keys());
        terminal.wait_for(" ");
        terminal.press(b"\x13");
        // The program has written what the terminal does not take.
        let program = terminal.program().expect("it runs");
        let mut at = (usize::MAX, 0);
        wait_until("the end of the output", || {
            let now = terminal.text().len();
            at = if at.0 == now { (now, at.1 + 1) } else { (now, 0) };
            at.1 > 100
        });
        assert_eq!(terminal.program(), Some(program));
        terminal.signal(Signal::SIGTERM);
        let (code, text) = terminal.ended();
        assert_eq!(code, Some(130), "{text}");
    }
}
