//! `hardware/first-board` with the real program and ember, and with stand-ins for
//! systemctl, journalctl and vcgencmd: what its file says, that nothing of this machine is
//! in it, and that the service is as it was before, however it ends.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{finds_first, python};
use crate::support::nexus::{Ended, LIMIT, Nexus, USED, wait};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A service that goes from one status to the next each time it is asked, from the first
/// one when it is started. What it was told is in `log`.
const SYSTEMCTL: &str = r#"cd "$STAND_INS" && echo "$*" >>log
case "$*" in
is-active*) cat state ;;
stop*) echo inactive >state ;;
start* | restart*) echo active >state; echo 0 >asked ;;
*LoadState*) echo loaded ;;
*ActiveState*) cat state ;;
*StatusText*)
    asked=$(($(cat asked) + 1))
    echo "$asked" >asked
    sed -n "${asked}p" statuses | grep . || tail -n 1 statuses
    ;;
esac
"#;

const STATUSES: &str = "loads the model\narmed, 3 lives so far\nlife 4 at 5 %, printing\n\
                        life 4 at 95 %, printing\ndies\nloads the model\narmed, 4 lives so far\n";

/// A warm board whose voltage was low once.
const VCGENCMD: &str = "case \"$*\" in\nmeasure_temp) echo \"temp=81.2'C\" ;;\n\
                        get_throttled) echo throttled=0x50004 ;;\nesac\n";

/// The kernel's and the service's first start, and a journal with names in it.
const JOURNALCTL: &str = r#"case "$*" in
*short-monotonic*)
    echo '[   21.500000] systemd[1]: Starting torment-nexus.service - Torment Nexus...'
    echo '[   43.250000] systemd[1]: Started torment-nexus.service - Torment Nexus.'
    ;;
*)
    echo 'the light on GPIO 18 is dimmed by hardware PWM'
    echo 'I think of my own words.'
    echo "warning: $(uname -n), 192.168.1.17 and fe80::ba27:ebff:fe00:1 are seen from /home/maria/box"
    ;;
esac
"#;

const LIVES: &str = "number,date,model,model_fingerprint,prompt_hash,seed,options,tokens,seconds,\
                     tokens_per_second,hottest_celsius,throttled,printer,ending,fault\n\
                     4,,ember,a,b,1,torment-nexus,,,,,,,,\n\
                     4,,ember,a,b,1,torment-nexus,1945,201.5,9.8,81.2,4,whole,death,\n";

/// A folder with the stand-ins, in which the script runs.
struct Board(Nexus);

impl Board {
    /// One whose service is `active` or `inactive`.
    fn new(state: &str) -> Board {
        let nexus = Nexus::new();
        for (name, script) in [("systemctl", SYSTEMCTL), ("vcgencmd", VCGENCMD), ("journalctl", JOURNALCTL)] {
            nexus.script(name, script);
        }
        nexus.file("state", format!("{state}\n"));
        nexus.file("asked", "0\n");
        nexus.file("statuses", STATUSES);
        nexus.file("lives.csv", LIVES);
        Board(nexus)
    }

    /// The script with these options, and with the parts that these variables name.
    fn command(&self, options: &[&str], parts: [&str; 3]) -> Command {
        let mut command = python();
        command.arg(Path::new(ROOT).join("hardware/first-board"));
        command.arg("--program").arg(cargo_bin!("torment-nexus")).args(options);
        let folder = self.0.folder.path();
        finds_first(command.current_dir(folder), folder);
        command.env("STAND_INS", folder).env("STATE_DIRECTORY", folder);
        command.env("TORMENT_MODEL", "ember").env("TORMENT_THREADS", "1");
        // Empty ones too: on a board with the package, its options name pins.
        for (name, value) in ["TORMENT_LED", "TORMENT_BUTTON", "TORMENT_PRINTER"].iter().zip(parts) {
            command.env(name, value);
        }
        command
    }

    /// The file of a run that came to its end, with these answers.
    #[track_caller]
    fn answered(&self, command: Command, answers: &str) -> String {
        let mut command = assert_cmd::Command::from_std(command);
        let ended = Ended::of(command.write_stdin(answers).timeout(LIMIT).output());
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        self.read("first-board.txt")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path(name)).unwrap_or_default()
    }

    /// What the service was told, without the questions.
    fn told(&self) -> Vec<String> {
        let questions = ["show", "is-active"];
        let log = self.read("log");
        let told = log.lines().filter(|line| !questions.iter().any(|question| line.starts_with(question)));
        told.map(str::to_owned).collect()
    }
}

/// The steps, as `--help` lists them.
fn steps() -> Vec<String> {
    let board = Board::new("inactive");
    let help = Ended::of(board.command(&["--help"], [""; 3]).output()).stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let listed = help.split_once("only these: ").expect("the steps").1;
    let listed = listed.split_once(" --program").expect("the next option").0;
    listed.split(", ").map(str::to_owned).collect()
}

/// The rows of the page's table: statement, where, step.
fn statements() -> Vec<[String; 3]> {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/first-board.md")).expect("the page");
    let table = page.split_once("## The statements").expect("its table").1;
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    rows.map(|row| cells(row).try_into().expect("three cells")).collect()
}

#[test]
fn every_step_has_a_section_with_its_figures_or_why_it_was_not_tried() {
    let board = Board::new("active");
    let answers = "the metal case of 10.0.0.7, 21 °C\n\n34 s, dark at first\n";
    let file = board.answered(board.command(&[], [""; 3]), answers);
    let sections: Vec<_> = file.lines().filter_map(|line| line.strip_prefix("== ")).collect();
    assert_eq!(sections, steps());
    for figure in [
        "ok   model: ember, verified",
        "-> the metal case of ADDRESS, 21 °C",
        "-> (no answer)",
        "prompt not kept: armed after ",
        "computed: none is kept yet",
        "prompt kept, model in memory: armed after ",
        "begun 21.5, armed 43.25",
        "-> 34 s, dark at first",
        USED,
        "depth ",
        "81.2 °C, limits: throttled",
        "80 °C: after 0 s; limits since the board's start: low voltage, throttled",
        "kB at first",
        "VmHWM ",
        "major faults: ",
        "statuses: life N at N %, printing; dies; loads the model",
        "tokens 1945, seconds 201.5",
        "journal: the light on GPIO 18 is dimmed by hardware PWM",
        "journal: warning: HOST, ADDRESS and ADDRESS are seen from /home/USER/box",
        "not tried here: TORMENT_LED is not set in /etc/default/torment-nexus",
        "not tried here: TORMENT_PRINTER is not set in /etc/default/torment-nexus",
    ] {
        assert!(file.contains(figure), "no {figure:?} in {file}");
    }
    let tried = |step: &str| step != "paper";
    for step in ["speed", "memory", "paper"] {
        let section = file.split_once(&format!("== {step}\n")).expect("a section").1;
        let section = section.split("\n\n== ").next().expect("its text");
        let (_, listed) =
            section.split_once(if tried(step) { "it lifts:\n" } else { "so this stays:\n" }).expect("a list");
        let of_step = |row: &&[String; 3]| row[2].split(", ").any(|name| name == step);
        let rows: Vec<_> =
            statements().iter().filter(of_step).map(|row| format!("  {}: {}", row[1], row[0])).collect();
        assert!(!rows.is_empty() && listed.trim_end() == rows.join("\n"), "{section}");
    }
    assert!(!file.contains("failed: "), "{file}");
    assert!(!file.contains("I think of"), "a life's text is not sent: {file}");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
    let of_a_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    for (at, host) in file.match_indices(host.trim()) {
        let alone = !file[..at].ends_with(of_a_word) && !file[at + host.len()..].starts_with(of_a_word);
        assert!(!alone, "{host} in {file}");
    }
    let told = board.told();
    assert_eq!(told[0], "stop torment-nexus.service");
    let end = ["unset-environment TORMENT_VERBOSE", "restart --no-block torment-nexus.service"];
    assert_eq!(told[told.len() - 2..], end);
}

/// None of these steps opens the parts that are named.
#[test]
fn what_was_seen_of_light_button_and_paper_is_in_the_file() {
    let board = Board::new("inactive");
    let only = ["--only", "service", "light", "button", "paper", "slip"];
    let answers: String = (1..=12).map(|number| format!("answer {number}\n")).collect();
    let file = board.answered(board.command(&only, ["18", "23", "/dev/serial0"]), &answers);
    for number in 1..=12 {
        assert!(file.contains(&format!("-> answer {number}\n")), "no answer {number}: {file}");
    }
    assert!(!file.contains("not tried here") && !file.contains("failed: "), "{file}");
    let told = board.told();
    assert_eq!(told.last().map(String::as_str), Some("stop torment-nexus.service"), "it was off before");
    // Without a life of the service nothing is asked of it, and a second file is written.
    let command = board.command(&["--only", "light"], ["18", "23", "/dev/serial0"]);
    board.answered(command, "answer\n");
    let file = board.read("first-board2.txt");
    assert!(file.contains("not tried here: this needs the step service"), "{file}");
}

#[test]
fn interrupted_by_any_signal_it_starts_the_service_again_and_keeps_what_it_has() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let board = Board::new("active");
        let mut command = board.command(&["--only", "speed"], [""; 3]);
        command.stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stopped = || board.read("log").contains("stop ").then_some(());
        wait(|| "a stop of the service", LIMIT, Duration::from_millis(10), stopped);
        kill(Pid::from_raw(child.id() as i32), signal).expect("it runs");
        let ended = Ended::of(child.wait_with_output());
        assert_eq!(ended.code, Some(130), "{signal}: {}{}", ended.stdout, ended.stderr);
        let file = board.read("first-board.txt");
        assert!(file.contains("== speed\ninterrupted: "), "{signal}: {file}");
        let last = board.told().pop();
        assert_eq!(last.as_deref(), Some("restart --no-block torment-nexus.service"), "{signal}");
    }
}

#[test]
fn a_service_that_cannot_be_stopped_is_one_line_and_a_missing_program_too() {
    let board = Board::new("active");
    board.0.file("systemctl", "#!/bin/sh\necho active\n");
    let ended = Ended::of(board.command(&["--only", "speed"], [""; 3]).stdin(Stdio::null()).output());
    let line = "error: the service runs and cannot be stopped; run this with sudo\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), line));
    let ended = Ended::of(board.command(&["--program", "none"], [""; 3]).stdin(Stdio::null()).output());
    let line = "error: there is no program none; install the package, or give --program ./torment-nexus\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), line));
}

#[test]
fn every_statement_of_the_page_names_steps_that_are_there() {
    let (steps, statements) = (steps(), statements());
    assert!(statements.len() > 30, "{statements:?}");
    for [statement, _, named] in statements {
        let known = |name: &str| steps.iter().any(|step| step == name);
        let by_hand = named.starts_with("by hand: ") || named.starts_with("none: ");
        assert!(by_hand || named.split(", ").all(known), "{named} of {statement:?} are no steps");
    }
}
