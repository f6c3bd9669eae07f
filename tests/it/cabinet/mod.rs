//! `simulate` as its users see it: in a terminal, with the keys of a keyboard.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use installation::state::entry::{Entry, Outcome, PaperEnd};
use installation::state::lives::Lives;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::nexus::{LIMIT, Nexus};
use crate::support::terminal::Terminal;

/// A life that takes some seconds at the real printer's pace, and one at the model's.
const ARGS: [&str; 9] =
    ["simulate", "--model", "ember", "--context-size", "330", "--temp", "0.8", "--seed", "1"];

/// The key for a faster pace, as often as it takes to print as fast as the model speaks.
const AT_ONCE: &str = "++++++";

fn command(nexus: &Nexus) -> Command {
    let mut command = nexus.command(ARGS);
    command.env("TERM", "xterm-256color").env_remove("COLORTERM").env_remove("NO_COLOR");
    command
}

/// The cabinet in a terminal of that size, once it is armed.
fn armed(nexus: &Nexus, columns: u16, rows: u16) -> Terminal {
    let terminal = Terminal::start(command(nexus), columns, rows);
    terminal.wait_for("armed for life 1");
    terminal
}

/// The same with a life that has begun to be printed.
fn living(nexus: &Nexus, columns: u16, rows: u16) -> Terminal {
    let mut terminal = armed(nexus, columns, rows);
    terminal.type_in(" ");
    terminal.wait_for("T O R M E N T");
    terminal
}

/// The paper on a screen of 60 columns, right of the panel.
fn paper(screen: &str) -> String {
    screen.lines().map(|line| line.chars().skip(25).collect::<String>() + "\n").collect()
}

/// Waits for that life to be armed, with the receipt of the one before printed to its end.
fn wait_for_the_receipt_before(terminal: &Terminal, life: u32) {
    terminal.wait_until("a receipt to its end", |screen| {
        screen.contains(&format!("armed for life {life}")) && paper(screen).contains("Context overflow")
    });
}

fn history(nexus: &Nexus) -> Vec<Entry> {
    Lives::within(&nexus.path("torment-nexus")).all().expect("a history")
}

#[test]
fn a_press_begins_a_life_whose_death_is_shown_and_the_next_press_is_offered() {
    let nexus = Nexus::new();
    let mut terminal = armed(&nexus, 60, 20);
    let screen = terminal.text();
    assert!(screen.contains("PRESS") && screen.contains("q leave"), "{screen}");
    assert_eq!(paper(&screen).trim_matches(['▀', ' ', '\n']), "printer", "nothing is printed\n{screen}");

    terminal.type_in(" ");
    let screen = terminal.wait_until("a line of the thought", |screen| {
        screen.contains("of 330 tokens") && paper(screen).contains("Now, I have begun")
    });
    assert!(screen.contains("T O R M E N T") && screen.contains("life 1"), "{screen}");
    terminal.type_in(AT_ONCE);
    let screen = terminal.wait_for("exit 101: the death");
    assert!(paper(&screen).contains("Context overflow"), "{screen}");
    let screen = terminal.wait_for("armed for life 2");
    assert!(screen.contains("exit 101: the death"), "it stays until the next life\n{screen}");
    assert!(screen.lines().any(|line| line.starts_with("'Context overflow")), "as stderr says it\n{screen}");
    let lives = history(&nexus);
    assert_eq!((lives.len(), lives[0].outcome), (1, Some(Outcome::Death)));

    terminal.type_in("\r");
    terminal.wait_for("armed for life 3");
    terminal.type_in("q");
    let (code, _, is_restored) = terminal.end();
    assert_eq!((code, is_restored), (Some(0), true));
}

#[test]
fn it_fits_itself_to_the_terminal_and_says_when_that_is_too_small() {
    let nexus = Nexus::new();
    let mut terminal = living(&nexus, 80, 24);
    terminal.resize(1, 1);
    terminal.resize(59, 20);
    terminal.wait_for("here are 59 x 20");
    terminal.resize(60, 20);
    let screen = terminal.wait_until("all of it", |screen| {
        screen.contains("T O R M E N T   N E X U S") && screen.contains("q leave")
    });
    assert!(screen.lines().count() <= 20, "{screen}");
    terminal.resize(120, 40);
    terminal.wait_until("a frame of 40 rows", |screen| {
        screen.lines().count() == 40 && screen.contains("T O R M E N T   N E X U S")
    });
    terminal.type_in("\x03");
    let (code, _, is_restored) = terminal.end();
    assert_eq!((code, is_restored), (Some(0), true), "Ctrl-C leaves too");
}

#[test]
fn a_printer_that_is_unplugged_is_lost_and_the_next_life_finds_it_again() {
    let nexus = Nexus::new();
    let mut terminal = living(&nexus, 60, 20);
    terminal.type_in("p");
    terminal.wait_for("unplugged");
    let screen = terminal.wait_for("armed for life 2");
    assert!(screen.contains("exit 101"), "the life went on to its death\n{screen}");
    assert!(!paper(&screen).contains("Context overflow"), "unprinted\n{screen}");
    assert_eq!(history(&nexus)[0].paper, Some(PaperEnd::Lost));

    terminal.type_in(&format!("p{AT_ONCE}"));
    terminal.wait_until("the printer", |screen| !screen.contains("unplugged"));
    terminal.type_in(" ");
    wait_for_the_receipt_before(&terminal, 3);
}

#[test]
fn without_paper_the_life_waits_for_a_new_roll() {
    let nexus = Nexus::new();
    let mut terminal = living(&nexus, 60, 20);
    terminal.type_in("e");
    let screen = terminal.wait_for("waits for paper");
    assert!(screen.contains("no paper") && screen.contains("new roll"), "{screen}");
    terminal.type_in(&format!("e{AT_ONCE}"));
    wait_for_the_receipt_before(&terminal, 2);
}

#[test]
fn a_button_that_is_held_prints_the_slip() {
    let nexus = Nexus::new();
    let mut command = command(&nexus);
    // Nor is it a life that the piece would rest after.
    command.args(["--rest", "10000"]);
    let mut terminal = Terminal::start(command, 60, 20);
    terminal.wait_for("armed for life 1");
    terminal.type_in(&format!("{AT_ONCE}h"));
    terminal.wait_for("held 4 of 10 s: slip");
    // Its last line: its first ones may be off the screen by then.
    let screen = terminal.wait_for("free memory");
    assert!(!screen.contains("T O R M E N T"), "no life has begun\n{screen}");
    terminal.wait_until("the button let go", |screen| screen.contains("PRESS"));
    terminal.type_in(" ");
    terminal.wait_for("exit 101: the death");
}

#[test]
fn the_colours_are_those_that_the_terminal_has() {
    let colours = |variable: &str, value: &str| {
        let nexus = Nexus::new();
        let mut command = command(&nexus);
        command.env(variable, value);
        let mut terminal = Terminal::start(command, 60, 20);
        terminal.wait_for("armed for life 1");
        terminal.type_in(&format!("{AT_ONCE} "));
        let screen = terminal.wait_for("exit 101: the death");
        assert!(screen.contains("Context overflow"), "{screen}");
        let written =
            terminal.look(|seen| seen.written.iter().flat_map(|(_, bytes)| bytes.clone()).collect());
        String::from_utf8(written).expect("text")
    };
    let has = |written: &str, kind: &str| {
        written.contains(&format!("38;{kind};")) || written.contains(&format!("48;{kind};"))
    };
    assert!(has(&colours("COLORTERM", "truecolor"), "2"), "true colour");
    // crossterm names the 16 by the table of 256 too.
    for term in ["xterm-256color", "xterm"] {
        let written = colours("TERM", term);
        assert!(has(&written, "5") && !has(&written, "2"), "{term}");
    }
    let written = colours("NO_COLOR", "1");
    assert!(!has(&written, "5") && !has(&written, "2"), "none");
    assert!(written.contains("███████") && written.contains("▒"), "and the light by its characters");
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    // As it was spelled first, too.
    for simulate in ["simulate", "--simulate"] {
        Nexus::new().run([simulate]).failed(1, &["simulate", "in a terminal", "plain stream"]);
    }
    Nexus::new().run(["--simulate", "check"]).failed(2, &["--simulate", "check"]);
    // The option of the life is not for people.
    Nexus::new().run(["--in-cabinet", "x"]).failed(1, &["--in-cabinet", "torment-nexus simulate"]);
}

#[test]
fn a_fault_is_shown_with_its_next_step_and_a_press_tries_again() {
    let nexus = Nexus::new();
    let mut command = nexus.command(["--model", "absent.gguf", "simulate"]);
    command.env("TERM", "xterm");
    let mut terminal = Terminal::start(command, 80, 24);
    let screen = terminal.wait_for("exit 1: a fault");
    assert!(screen.contains("error:") && screen.contains("absent.gguf"), "{screen}");
    terminal.type_in(" ");
    // Loading is over too soon to be seen for sure; what the program says stays.
    terminal.wait_until("a second fault", |text| text.matches("or give --model").count() == 2);
    terminal.type_in("q");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn a_receipt_is_saved_as_text_and_as_a_picture() {
    let nexus = Nexus::new();
    let mut terminal = armed(&nexus, 60, 20);
    terminal.type_in("s");
    terminal.wait_for("no receipt yet");
    terminal.type_in(&format!("{AT_ONCE} "));
    terminal.wait_for("armed for life 2");
    terminal.type_in("s");
    terminal.wait_for("saved");
    let saved = |ending: &str| fs::read(nexus.path(&format!("nexus-life-1.{ending}"))).expect("saved");
    let text = String::from_utf8(saved("txt")).expect("text");
    assert!(text.contains("TORMENT NEXUS") && text.contains("Context overflow"), "{text}");
    assert!(saved("png").starts_with(b"\x89PNG"));
}

/// The names of the files of receipts that were saved.
fn saved(nexus: &Nexus) -> Vec<String> {
    let all = fs::read_dir(nexus.path("")).expect("a folder").flatten();
    let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("nexus-")).collect()
}

#[test]
fn a_long_text_that_is_typed_in_fills_no_folder_and_one_that_is_pasted_does_nothing() {
    let nexus = Nexus::new();
    let mut terminal = armed(&nexus, 60, 20);
    terminal.type_in(&format!("{AT_ONCE} "));
    terminal.wait_for("armed for life 2");
    // As a terminal marks what is pasted (xterm, "Bracketed Paste Mode").
    terminal.type_in("\x1b[200~quiet\x1b[201~");
    terminal.type_in(&"s".repeat(20_000));
    let start = Instant::now();
    while terminal.child.try_wait().expect("it is a child").is_none() {
        assert!(start.elapsed() < LIMIT, "it is never left");
        terminal.type_in("q");
        thread::sleep(Duration::from_millis(50));
    }
    let saved = saved(&nexus).len();
    assert!((2..20).contains(&saved), "{saved} files");
}

#[test]
fn a_receipt_for_which_there_is_no_room_leaves_no_half_of_it() {
    let nexus = Nexus::new();
    let mut terminal = armed(&nexus, 60, 20);
    terminal.type_in(&format!("{AT_ONCE} "));
    terminal.wait_for("armed for life 2");
    // Only now and only for the cabinet: the lives have larger files.
    let full = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
    let cabinet = terminal.child.id() as libc::pid_t;
    // SAFETY: the limits are read, and nothing is written.
    let set = unsafe { libc::prlimit(cabinet, libc::RLIMIT_FSIZE, &raw const full, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    terminal.type_in("s");
    terminal.wait_for("(os error 27)");
    assert_eq!(saved(&nexus), Vec::<String>::new());
}

/// The processes whose parent has this id.
fn children(of: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("/proc");
    let all = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(|&id| parent(id) == Some(of)).collect()
}

/// The parent of a process, unless that is a zombie, which has ended.
fn parent(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    words.next().filter(|state| *state != "Z")?;
    words.next()?.parse().ok()
}

/// Waits until there is no such process.
fn wait_for_the_end_of(id: u32) {
    let start = Instant::now();
    while parent(id).is_some() {
        assert!(start.elapsed() < LIMIT, "process {id} never ends");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was_and_no_life_behind() {
    let nexus = Nexus::new();
    let terminal = living(&nexus, 60, 20);
    let id = terminal.child.id();
    let [life] = children(id)[..] else { panic!("there is one life") };
    kill(Pid::from_raw(id as i32), Signal::SIGTERM).expect("sent");
    let (code, screen, is_restored) = terminal.end();
    assert_eq!((code, is_restored), (Some(130), true), "{screen}");
    assert!(screen.contains("interrupted in the cabinet"), "{screen}");
    wait_for_the_end_of(life);
}

#[test]
fn one_signal_is_enough_on_a_terminal_that_nobody_reads() {
    let nexus = Nexus::new();
    let folder = nexus.path("temporary");
    fs::create_dir(&folder).expect("a folder");
    let mut command = command(&nexus);
    command.env("TMPDIR", &folder);
    let terminal = Terminal::start(command, 60, 20);
    terminal.wait_for("armed for life 1");
    let id = terminal.child.id();
    // Its reader waits for this look to end.
    terminal.look(|_| {
        // Each size is drawn anew: more than a terminal keeps for its reader.
        for size in 0..100 {
            terminal.set_size(120, 40 + size % 2);
            thread::sleep(Duration::from_millis(40));
        }
        kill(Pid::from_raw(id as i32), Signal::SIGTERM).expect("sent");
        wait_for_the_end_of(id);
    });
    let (code, screen, is_restored) = terminal.end();
    assert_eq!((code, is_restored), (Some(130), true), "{screen}");
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0);
}

#[test]
fn a_life_whose_cabinet_is_killed_ends_too() {
    let nexus = Nexus::new();
    let mut terminal = armed(&nexus, 60, 20);
    let [life] = children(terminal.child.id())[..] else { panic!("there is one life") };
    terminal.child.kill().expect("it runs");
    wait_for_the_end_of(life);
}
