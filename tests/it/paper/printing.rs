//! A life with a printer: the receipt, and each way in which a printer can
//! fail.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use installation::life::generator::{self, Mind};
use installation::life::interrupt::Interrupt;
use installation::life::lifespan::Lifespan;
use installation::life::listener::{Listeners, PrinterStatus};
use installation::paper::format::Format;
use installation::paper::printer::Printer;
use installation::paper::receipt::{Line, Summary};
use installation::paper::settings::PrinterSettings;
use installation::paper::template::Template;
use installation::state::entry::PaperEnd;
use installation::state::lives::Lives;
use installation::text::stdout::Output;

use crate::support::fake_printer::{Behaviour, FAST, FakePrinter, Received, SLOW};
use crate::support::nexus::{DEATH, Ended, Nexus};
use crate::support::receipt_reader::Paper;

/// More bytes than are printed before a fault, 1,000, and fewer than a whole
/// receipt of ember has, 8,000.
const LESS_THAN_A_LIFE: usize = 6000;

/// The three lines of the death, wrapped to 32 columns.
const DEATH_ON_PAPER: [&str; 7] = [
    "WARNING: Context window",
    "exhausted!",
    "The torment nexus has consumed",
    "all available memory.",
    "thread 'main' panicked at",
    "'Context overflow -",
    "terminating.'",
];

/// The settings of [`FAST`], for tests without the program.
fn fast(device: PathBuf) -> PrinterSettings {
    let (format, line) = (Format::default(), Duration::from_millis(1));
    PrinterSettings {
        device,
        baud: 4_000_000,
        format,
        line,
        replies: false,
        busy: None,
        paper_wait: Duration::ZERO,
    }
}

/// A rule of 32 columns.
fn rule() -> String {
    "─".repeat(32)
}

/// Runs a life of ember with `args` on a printer with this `behaviour`, of the options
/// `printer`.
fn print_on(nexus: &Nexus, printer: &[&str], behaviour: Behaviour, args: &[&str]) -> (Ended, Received) {
    let fake = FakePrinter::at(&nexus.path("printer"), behaviour);
    let ended = nexus.ember(&[printer, args].concat());
    (ended, fake.stop())
}

fn print(nexus: &Nexus, args: &[&str]) -> (Ended, Received) {
    print_on(nexus, &FAST, Behaviour::Silent, args)
}

fn read(received: &Received) -> Paper {
    Paper::read(&received.bytes()).expect("the printer knows every byte")
}

/// The thought of a receipt: the text between its first two rules.
fn thought(lines: &[String]) -> String {
    let is_rule = |line: &String| !line.is_empty() && line.chars().all(|character| character == '─');
    lines.split(is_rule).nth(1).expect("two rules").join("\n")
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Asserts that the life reached its death, and that stdout has all of its
/// text: that of the same life without a printer.
#[track_caller]
fn assert_lived(nexus: &Nexus, ended: &Ended, args: &[&str]) {
    ended.died();
    assert_eq!(ended.stdout, nexus.ember(args).stdout, "stdout is not complete");
}

/// Asserts that all words of a life are on this paper.
#[track_caller]
fn assert_printed(ended: &Ended, paper: &Paper) {
    assert_eq!(words(&thought(&paper.lines())), words(&ended.stdout));
}

/// Prints a life of these options to its death, of which every word is on paper, and nothing
/// is said besides.
#[track_caller]
fn print_whole(nexus: &Nexus, printer: &[&str], behaviour: Behaviour, args: &[&str]) -> Paper {
    let (ended, received) = print_on(nexus, printer, behaviour, args);
    assert_eq!(ended.died().stderr, DEATH);
    let paper = read(&received);
    assert_printed(&ended, &paper);
    paper
}

/// Asserts that a printer with this behaviour after 1,000 bytes is lost, which is said once
/// and with these words, and gets nothing more, and that the life goes on to its death.
#[track_caller]
fn assert_lost(printer: &[&str], behaviour: Behaviour, args: &[&str], words: &str) {
    let nexus = Nexus::new();
    let (ended, received) = print_on(&nexus, printer, behaviour, args);
    assert_lived(&nexus, &ended, &[]);
    let lost: Vec<_> = ended.stderr.lines().filter(|line| line.contains("lost")).collect();
    assert_eq!(lost.len(), 1, "{}", ended.stderr);
    let said = format!("printer \"printer\" lost: {words}");
    assert!(lost[0].starts_with(&said), "{}", ended.stderr);
    assert!(received.bytes().len() < LESS_THAN_A_LIFE, "it is sent more");
}

#[test]
fn a_receipt_has_header_thought_death_numbers_and_room_to_tear() {
    let nexus = Nexus::new();
    let (ended, received) = print(&nexus, &["--temp", "0.8", "--seed", "3"]);
    assert_eq!(ended.died().stderr, DEATH);
    let paper = read(&received);
    let lines = paper.lines();
    assert_eq!(paper.titles(), ["TORMENT NEXUS"]);
    assert!(lines.contains(&"life 1".to_owned()), "{lines:#?}");
    assert!(paper.columns() <= 32, "{lines:#?}");
    assert_printed(&ended, &paper);
    let death = lines.iter().position(|line| *line == DEATH_ON_PAPER[0]).expect("the death is there");
    assert_eq!(lines[death..][..DEATH_ON_PAPER.len()], DEATH_ON_PAPER);
    let end = lines[death + DEATH_ON_PAPER.len()..].to_vec();
    let value = |name: &str| {
        let line =
            end.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {end:#?}"));
        line[name.len()..].trim().to_owned()
    };
    assert_eq!(value("tokens "), "1945 of 2048");
    assert_eq!(value("seed "), "3");
    for name in ["seconds ", "tokens/s "] {
        assert!(value(name).parse::<f64>().expect("a number") > 0.0, "{name}");
    }
    let bar = end.last().expect("a bar");
    assert_eq!((bar.matches('■').count(), bar.matches('·').count()), (30, 2), "95 % of 32 columns");
    assert!(paper.mm() < 1200.0, "{} mm", paper.mm());
}

#[test]
fn a_greedy_life_has_no_seed_and_80_mm_paper_has_48_columns() {
    let nexus = Nexus::new();
    let (ended, received) = print(&nexus, &["-c", "400", "--printer-columns", "48"]);
    assert_lived(&nexus, &ended, &["-c", "400"]);
    let paper = read(&received);
    assert_eq!(paper.columns(), 48);
    assert!(!paper.lines().iter().any(|line| line.starts_with("seed")), "{:#?}", paper.lines());
    assert_eq!(paper.heat, None);
}

#[test]
fn the_life_number_counts_on_and_an_unwritable_state_costs_only_the_number() {
    let nexus = Nexus::new();
    for life in 1..=3 {
        let (_, received) = print(&nexus, &["-c", "400", "--state-dir", "state"]);
        assert!(read(&received).lines().contains(&format!("life {life}")));
    }
    nexus.file("file", "");
    let (ended, received) = print(&nexus, &["-c", "400", "--state-dir", "file"]);
    assert!(ended.died().stderr.starts_with("warning: cannot keep the life number"), "{}", ended.stderr);
    assert!(!read(&received).lines().iter().any(|line| line.starts_with("life ")));
}

#[test]
fn at_9600_baud_nothing_is_overrun_by_a_life_on_a_slow_printer() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    // A short life, since every line takes 0.35 s. Ember still generates far
    // faster than the printer prints.
    let args = ["-c", "210"];
    let ended = nexus.ember(&[&["--printer", "printer", "-v"], &args[..]].concat());
    assert_lived(&nexus, &ended, &args);
    assert!(ended.stderr.contains("waiting for the paper"), "{}", ended.stderr);
    let received = printer.stop();
    let paper = read(&received);
    assert_printed(&ended, &paper);
    let lines = paper.lines();
    // 46 tokens were generated in `seconds`, which are mostly waits for the
    // printer. The rate leaves the waits out, so it is much higher than 46 /
    // `seconds`.
    let value = |name: &str| {
        let value = lines.iter().find_map(|line| line.strip_prefix(name)).expect("it is on the receipt");
        value.trim().parse::<f64>().expect("a number")
    };
    assert!(value("tokens/s ") > 2.0 * 46.0 / value("seconds "), "{lines:#?}");
    // The program assumes an input buffer of 40 bytes. The times in this test
    // are only as exact as the scheduler, so it assumes 256 bytes, some seven
    // lines.
    let line = Duration::from_millis(350);
    assert_eq!(received.overruns(9600, line, 256), 0);
    assert!(received.overruns(9600, 2 * line, 256) > 0, "the fake printer counts nothing");
}

#[test]
fn an_unplugged_printer_is_lost_and_the_life_goes_on() {
    assert_lost(&SLOW, Behaviour::Unplugged { at: 1000 }, &[], "");
}

#[test]
fn a_printer_plugged_in_again_is_used_by_the_next_life_with_a_gap_before_it() {
    let nexus = Nexus::new();
    let (ended, _) = print_on(&nexus, &SLOW, Behaviour::Unplugged { at: 1000 }, &[]);
    assert!(ended.died().stderr.contains("lost"));
    let (ended, received) = print(&nexus, &["-c", "400"]);
    assert_eq!(ended.died().stderr, DEATH);
    let bytes = received.bytes();
    assert!(bytes.starts_with(b"\n"), "it begins on a fresh line");
    let paper = read(&received);
    assert!(paper.lines().contains(&"life 2".to_owned()));
    assert!(paper.gap_before("TORMENT") >= 15.0, "{} mm", paper.gap_before("TORMENT"));
    assert_printed(&ended, &paper);
    // A receipt that was printed to its end needs no gap after it.
    let paper = print_whole(&nexus, &FAST, Behaviour::Silent, &["-c", "400"]);
    assert!(paper.gap_before("TORMENT") < 1.0);
}

#[test]
fn a_printer_plugged_in_again_during_a_life_gets_nothing_stale() {
    let nexus = Nexus::new();
    let link = nexus.path("printer");
    let first = FakePrinter::at(&link, Behaviour::Unplugged { at: 1000 });
    let mut command = nexus.command(["--model", "ember", "--printer", "printer", "--printer-line-ms", "20"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it starts");
    let received = first.stop_when_unplugged();
    let second = FakePrinter::at(&link, Behaviour::Silent);
    let ended = Ended::of(child.wait_with_output());
    assert_lived(&nexus, &ended, &[]);
    assert!(received.bytes().len() >= 1000);
    assert_eq!(second.stop().bytes(), b"");
}

#[test]
fn a_printer_powered_late_prints_the_rest_as_it_should() {
    let nexus = Nexus::new();
    let args = ["--temp", "0.8", "--seed", "3"];
    let (ended, received) = print_on(&nexus, &SLOW, Behaviour::PoweredAt(1000), &args);
    assert_lived(&nexus, &ended, &args);
    let lines = read(&received).lines();
    let start = lines.iter().position(|line| *line == rule()).expect("the thought ends");
    let printed = lines[..start].join("\n");
    let all = words(&ended.stdout);
    let rest = words(&printed);
    assert!(rest.len() > 300 && all.ends_with(&rest), "{printed}");
    assert_eq!(lines[start + 1..][..DEATH_ON_PAPER.len()], DEATH_ON_PAPER);
}

#[test]
fn a_printer_that_is_absent_is_lost_and_said_to_be_so() {
    let nexus = Nexus::new();
    let ended = nexus.ember(&["--printer", "nowhere", "-c", "400"]);
    assert_lived(&nexus, &ended, &["-c", "400"]);
    let said = ended.stderr.strip_suffix(DEATH).expect("the death comes last");
    let [warning, lost] = said.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {said}") };
    assert!(warning.starts_with("warning: there is no printer \"nowhere\""), "{warning}");
    assert!(lost.starts_with("printer \"nowhere\" lost: No such file"), "{lost}");
    // So the light has heard it.
    let history = Lives::within(&nexus.path("torment-nexus")).all().expect("a history");
    assert_eq!(history[0].paper, Some(PaperEnd::Lost));
}

#[test]
fn a_printer_that_stays_out_of_paper_is_waited_for_in_one_life_and_used_again_with_a_new_roll() {
    let nexus = Nexus::new();
    // The second life would be killed long before its wait were over.
    for (life, from, wait) in [(1, 1000, "4"), (2, 0, "86400")] {
        let out = Behaviour::OutOfPaper { from, questions: usize::MAX };
        let args = ["--printer-rx", "-c", "400", "--paper-wait", wait];
        let (ended, received) = print_on(&nexus, &SLOW, out, &args);
        let said = &ended.died().stderr;
        assert!(said.contains("printer \"printer\" lost: it is out of paper;"), "{said}");
        let is_begun = received.bytes().windows(7).any(|bytes| bytes == b"TORMENT");
        assert_eq!((is_begun, said.contains("put in a new roll")), (life == 1, life == 1), "{said}");
        let history = Lives::within(&nexus.path("torment-nexus")).all().expect("a history");
        assert_eq!(history[life - 1].paper, Some(PaperEnd::NoPaper));
    }
    let paper = print_whole(&nexus, &SLOW, Behaviour::Answers, &["--printer-rx", "-c", "400"]);
    assert!(paper.lines().contains(&"life 3".to_owned()));
}

#[test]
fn a_printer_that_holds_xoff_is_lost() {
    assert_lost(&SLOW, Behaviour::Xoff { at: 1000 }, &["--printer-rx"], "it has taken nothing for 10 s");
}

#[test]
fn a_printer_that_paces_itself_is_obeyed_and_lost_when_it_holds_xoff() {
    let paces_itself = ["--printer", "printer", "--printer-line-ms", "0"];
    assert_lost(&paces_itself, Behaviour::Xoff { at: 1000 }, &[], "it has taken nothing for 10 s");
}

#[test]
fn an_xoff_on_a_wire_that_leads_nowhere_stops_nothing() {
    print_whole(&Nexus::new(), &SLOW, Behaviour::Xoff { at: 1000 }, &[]);
}

#[test]
fn a_printer_that_answers_is_asked_after_every_line() {
    let paper = print_whole(&Nexus::new(), &FAST, Behaviour::Answers, &["--printer-rx", "-c", "500"]);
    let text = paper.lines().iter().filter(|line| !line.is_empty()).count();
    assert_eq!(paper.questions, text);
}

#[test]
fn a_printer_that_never_answers_is_printed_on() {
    let paper = print_whole(&Nexus::new(), &FAST, Behaviour::Silent, &["--printer-rx"]);
    assert!(paper.questions > 0);
}

#[test]
fn a_printer_that_babbles_is_printed_on() {
    for rx in [&["--printer-rx"][..], &[]] {
        print_whole(&Nexus::new(), &FAST, Behaviour::Babbles, rx);
    }
}

/// Starts a life on a printer that takes 50 ms for a line, and interrupts the
/// life once the printer has received `after` bytes.
fn interrupt(nexus: &Nexus, behaviour: Behaviour, after: usize, args: &[&str]) -> (Ended, Received) {
    let printer = FakePrinter::at(&nexus.path("printer"), behaviour);
    let slow = ["--model", "ember", "--printer", "printer", "--printer-line-ms", "50"];
    let mut command = nexus.command(slow.iter().chain(args));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    printer.wait_for(after);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("it still runs");
    let ended = Ended::of(child.wait_with_output());
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    (ended, printer.stop())
}

#[test]
fn an_interrupted_receipt_says_so_and_can_be_torn_off() {
    let nexus = Nexus::new();
    let (ended, received) = interrupt(&nexus, Behaviour::Silent, 600, &[]);
    assert!(ended.stderr.starts_with("interrupted at "), "{}", ended.stderr);
    let paper = read(&received);
    let lines = paper.lines();
    assert_eq!(lines[lines.len() - 2..], [rule(), "interrupted".to_owned()], "{lines:#?}");
    assert!(received.bytes().ends_with(b"\x1bJ\x78"), "no room to tear");
    let all = words(&ended.stdout);
    let printed = thought(&lines);
    assert!(all.starts_with(&words(&printed)), "{printed} is not the beginning of {all:?}");
    // The receipt has its end, so the next one needs no gap.
    let paper = print_whole(&nexus, &FAST, Behaviour::Silent, &["-c", "400"]);
    assert!(paper.gap_before("TORMENT") < 1.0);
}

#[test]
fn an_interrupt_does_not_wait_until_a_held_printer_is_lost() {
    let nexus = Nexus::new();
    let (ended, _) = interrupt(&nexus, Behaviour::Xoff { at: 600 }, 600, &["--printer-rx"]);
    assert!(!ended.stderr.contains("lost"), "{}", ended.stderr);
}

/// A mind that generates a given text once, three bytes at a time.
struct Scripted(&'static [u8]);

impl Mind for Scripted {
    fn next(&mut self, piece: &mut Vec<u8>) -> anyhow::Result<()> {
        let (now, later) = self.0.split_at(self.0.len().min(3));
        piece.extend_from_slice(now);
        self.0 = later;
        Ok(())
    }
}

#[test]
fn typographic_characters_and_accents_are_folded_and_commands_never_pass() {
    let script = "‘Who’s there?’ — “Nobody…” said Zoë, naïve as a señor in a café;\n\n\n\n\
                  Dvořák–Łódź œuvre №5 → 火 🔥 ½ ∞ ≤ €3.\u{1b}@\u{1d}V\0\u{9b}2J\u{202e}\u{200b}\r\n\
                  Donaudampfschifffahrtsgesellschaftskapitän";
    let tokens = script.len().div_ceil(3);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let link = folder.path().join("printer");
    let fake = FakePrinter::at(&link, Behaviour::Silent);
    let settings = fast(link);
    let (_raise, interrupt) = Interrupt::new();
    let status = PrinterStatus::default();
    let mut printer = Printer::begin(&settings, &Template::default(), None, &status, &interrupt);
    let mut stdout = Vec::new();
    let mut listeners = Listeners::new(Output::new(&mut stdout), vec![&mut printer], true, &interrupt);
    let size = (tokens as u32 + 1) * 100 / 95 + 1;
    let lifespan = Lifespan::new(size.try_into().expect("not 0"), 1, 8192).expect("room");
    let used = generator::run("", &mut Scripted(script.as_bytes()), &mut listeners, lifespan, &interrupt)
        .expect("a life");
    let summary = Summary { used, context_size: size, seconds: 1.0, rate: 1.0, seed: None, voice: None };
    drop(listeners);
    printer.finish(&summary);
    assert!(!status.is_lost());
    let said = script.replace(['\u{1b}', '\u{1d}', '\0', '\u{9b}', '\r'], "");
    assert!(
        String::from_utf8(stdout).expect("valid UTF-8").starts_with(&said),
        "stdout has all but what a terminal obeys"
    );
    let printed = thought(&read(&fake.stop()).lines());
    let expected = "
'Who's there?' -- \"Nobody...\"
said Zoë, naïve as a señor in a
café;

Dvorák-Lódz oeuvre No5 - ? fire
½ ∞ ≤ EUR3.@V2J
Donaudampfschifffahrtsgesellscha
ftskapitän
";
    assert_eq!(printed.trim(), expected.trim());
}

#[test]
fn a_slip_is_printed_whole_and_counts_no_life() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let link = folder.path().join("printer");
    let lives = Lives::within(&folder.path().join("state"));
    let fake = FakePrinter::at(&link, Behaviour::Silent);
    let settings = fast(link);
    let (_raise, interrupt) = Interrupt::new();
    let status = PrinterStatus::default();
    let lines = vec![Line::Title("SERVICE".to_owned()), Line::Row("lives".to_owned(), "41".to_owned())];
    Printer::slip(&settings, Some(lives.clone()), &status, &interrupt, lines);
    let record = lives.read().expect("a record");
    assert_eq!((record.lives, record.receipt_open), (0, false));
    let paper = read(&fake.stop());
    // The first receipt since boot begins on a fresh line: the printer may hold
    // garbage.
    assert_eq!(paper.lines(), ["", "SERVICE", "lives                         41"]);
    assert!(!status.is_lost());
}

#[test]
fn with_a_printer_a_closed_or_full_stdout_is_said_once_and_the_life_goes_on() {
    for full in [false, true] {
        let nexus = Nexus::new();
        let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
        let mut command = nexus.command(["--model", "ember"].iter().chain(&FAST));
        let full = full.then(|| fs::File::options().write(true).open("/dev/full").expect("Linux has it"));
        command.stdout(full.map_or_else(Stdio::piped, Stdio::from)).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        drop(child.stdout.take());
        let ended = Ended::of(child.wait_with_output());
        let warning = ended.died().stderr.strip_suffix(DEATH).expect("the death comes last");
        assert!(warning.starts_with("warning: ") && warning.contains("stdout"), "{warning}");
        assert_eq!(warning.lines().count(), 1, "{warning}");
        let lines = read(&printer.stop()).lines();
        assert_eq!(words(&thought(&lines)), words(&nexus.ember(&[]).stdout));
    }
}

#[test]
fn a_path_that_is_no_serial_device_is_an_error_before_anything_is_loaded() {
    let nexus = Nexus::new();
    nexus.file("file", "");
    for path in ["file", ".", "/dev/null"] {
        // The model does not exist either: the printer is checked first.
        let ended = nexus.run(["--model", "none.gguf", "--printer", path]);
        ended.failed(1, &[path, "no serial device", "no USB printer", "--printer"]);
    }
}

#[test]
fn the_receipt_can_be_looked_at() {
    let nexus = Nexus::new();
    let (_, received) = print(&nexus, &["-c", "400"]);
    let path = nexus.path("receipt.png");
    read(&received).write_png(&path).expect("a picture");
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(&path).expect("a file")));
    let info = decoder.read_info().expect("a PNG").info().size();
    assert!(info.0 == 512 && info.1 > 500, "{info:?}");
}

#[test]
fn the_small_font_needs_little_more_than_half_of_the_paper() {
    let nexus = Nexus::new();
    let large = print_whole(&nexus, &FAST, Behaviour::Silent, &[]);
    let small = print_whole(&nexus, &FAST, Behaviour::Silent, &["--printer-font", "small"]);
    assert!(small.is_small() && !large.is_small());
    assert_eq!((large.columns(), small.columns()), (32, 42));
    let words_of = |paper: &Paper| paper.lines().join("\n").split_whitespace().count();
    assert!(words_of(&small) > 1000, "{}", words_of(&small));
    println!("a life in the large font: {:.0} mm, in the small one: {:.0} mm", large.mm(), small.mm());
    assert!((0.5..0.62).contains(&(small.mm() / large.mm())), "{} of {} mm", small.mm(), large.mm());
}

#[test]
fn an_80_mm_printer_gets_48_columns_and_cuts_each_receipt_off() {
    let nexus = Nexus::new();
    let epson = ["--printer-kind", "epson", "-c", "400"];
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    for _ in 0..2 {
        let ended =
            nexus.ember(&[&["--printer", "printer", "--printer-baud", "4000000"], &epson[..]].concat());
        assert_eq!(ended.died().stderr, DEATH);
    }
    let received = printer.stop();
    assert!(received.bytes().ends_with(b"\x1dV\x42\0"), "the receipt is not cut off at its end");
    assert!(!received.bytes().contains(&0xFF), "this kind does not sleep, and would print it");
    let paper = read(&received);
    assert_eq!((paper.columns(), paper.cut_lengths().len()), (48, 2));
    let uncut = [&epson[..], &["--printer-cut=no"]].concat();
    let paper = print_whole(&nexus, &FAST, Behaviour::Silent, &uncut);
    assert_eq!(paper.cut_lengths(), [] as [f64; 0], "a single option wins");
    let options = ["-c", "400", "--printer-cut", "--printer-columns", "20", "--printer-heat", "11,120,40"];
    let paper = print_whole(&nexus, &FAST, Behaviour::Silent, &options);
    assert_eq!((paper.columns(), paper.cut_lengths().len(), paper.heat), (20, 1, Some([11, 120, 40])));
}

/// Reads all of a named pipe, beginning after `pause`.
fn read_pipe(path: PathBuf, pause: Duration) -> std::thread::JoinHandle<Vec<u8>> {
    // Opened at once, because the program's own attempt fails without a reader.
    let pipe = fs::File::options().read(true).write(true).open(&path).expect("a pipe");
    std::thread::spawn(move || {
        std::thread::sleep(pause);
        let mut pipe = pipe;
        let mut bytes = Vec::new();
        let mut buffer = [0; 64];
        // The end of a receipt on this kind of printer.
        while !bytes.ends_with(b"\x1dV\x42\0") {
            let length = std::io::Read::read(&mut pipe, &mut buffer).expect("bytes");
            bytes.extend(&buffer[..length]);
        }
        bytes
    })
}

#[test]
fn a_printer_that_is_no_terminal_is_printed_on_and_waited_for() {
    let nexus = Nexus::new();
    let path = nexus.path("lp0");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a named pipe");
    // It takes nothing for a while, then all of it: a pipe holds 64 KB, so the
    // whole life is said before the first byte is read.
    let reader = read_pipe(path, Duration::from_millis(300));
    let ended = nexus.ember(&["--printer", "lp0", "--printer-kind", "epson"]);
    assert_lived(&nexus, &ended, &[]);
    let paper = Paper::read(&reader.join().expect("a receipt")).expect("the printer knows every byte");
    assert_printed(&ended, &paper);
}

#[test]
fn a_named_pipe_that_nobody_reads_is_an_absent_printer() {
    let nexus = Nexus::new();
    nix::unistd::mkfifo(&nexus.path("lp0"), nix::sys::stat::Mode::S_IRWXU).expect("a named pipe");
    let ended = nexus.ember(&["--printer", "lp0", "-c", "400"]);
    assert_lived(&nexus, &ended, &["-c", "400"]);
    assert!(ended.stderr.starts_with("printer \"lp0\" lost: No such device"), "{}", ended.stderr);
}

#[test]
fn the_receipts_words_belong_to_the_artist_and_the_death_stays() {
    let nexus = Nexus::new();
    nexus.file("epitaph", "Es war einmal.\n\nOder nicht.\n");
    nexus.file(
        "receipt",
        "\u{feff}= ~ {title} ~\r\n= Leben {life}\r\n---\n{thought}\n---\n{death}\n---\n{epitaph}\n\
         Wörter | {tokens} von {context}\n{bar}\n",
    );
    let options = ["-c", "400", "--title", "Die Qual", "--epitaph", "epitaph", "--receipt", "receipt"];
    let lines = print_whole(&nexus, &FAST, Behaviour::Silent, &options).lines();
    assert_eq!(lines[..3], ["", "~ Die Qual ~", "Leben 1"]);
    let death = lines.iter().position(|line| *line == DEATH_ON_PAPER[0]).expect("the death stays");
    let end = &lines[death + DEATH_ON_PAPER.len()..];
    assert_eq!(end[..5], [rule(), "Es war einmal.".into(), String::new(), "Oder nicht.".into(), rule()]);
    assert_eq!(end[5], format!("Wörter{:>26}", "380 von 400"));
}

#[test]
fn a_printer_without_cp437_gets_ascii_only() {
    let nexus = Nexus::new();
    nexus.file("epitaph", "Größe – “so” ½\n");
    let options = ["-c", "400", "--title", "É", "--epitaph", "epitaph", "--printer-code-page", "ascii"];
    let (ended, received) = print(&nexus, &options);
    assert_eq!(ended.died().stderr, DEATH);
    let paper = read(&received);
    assert_eq!(paper.titles(), ["E"]);
    let lines = paper.lines();
    for line in ["-".repeat(32), "Grosse - \"so\" 1/2".into(), format!("{}..", "#".repeat(30))] {
        assert!(lines.contains(&line), "{line} is not in {lines:#?}");
    }
    // One byte wakes the printer.
    let foreign: Vec<u8> = received.bytes().into_iter().filter(|byte| !byte.is_ascii()).collect();
    assert_eq!(foreign, [0xFF]);
}

#[test]
fn words_that_cannot_be_printed_are_an_error_before_the_model_is_looked_for() {
    let nexus = Nexus::new();
    nexus.file("escape", "a\x1b@b");
    nexus.file("template", "{thought}\n{nobody}\n");
    for (option, value, part) in [
        ("--epitaph", "escape", "cannot print"),
        ("--epitaph", "absent", "name a text file in UTF-8 with --epitaph"),
        ("--receipt", "template", "line 2: {nobody} is no value"),
        ("--receipt", "/dev/zero", "no regular file"),
    ] {
        let absent = ["--model", "absent.gguf", option, value];
        nexus.run(absent).failed(1, &[part, value]);
    }
    nexus.run(["--model", "absent.gguf", "--title", "a\u{1b}b"]).failed(2, &["--title", "cannot print"]);
}

#[test]
fn a_roll_that_is_changed_in_time_leaves_the_life_complete_on_paper() {
    let nexus = Nexus::new();
    let out = Behaviour::OutOfPaper { from: 1000, questions: 5 };
    let args = ["--printer-rx", "-c", "500", "--paper-wait", "60"];
    let (ended, received) = print_on(&nexus, &SLOW, out, &args);
    assert_lived(&nexus, &ended, &["-c", "500"]);
    let said: Vec<_> = ended.stderr.lines().collect();
    assert!(said[0].contains("out of paper; put in a new roll: the life waits 60 s"), "{}", ended.stderr);
    assert!(said[1].contains("there is paper again"), "{}", ended.stderr);
    assert_printed(&ended, &read(&received));
}

#[test]
fn little_paper_is_written_on_the_foot_where_the_printer_says_so() {
    let paper = print_whole(&Nexus::new(), &FAST, Behaviour::NearEnd, &["--printer-rx", "-c", "500"]);
    assert_eq!(paper.lines().last().map(String::as_str), Some("little paper is left"));
}
