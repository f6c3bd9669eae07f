//! Endurance: many lives in a row, with faults from outside that a seeded dice draws,
//! under a supervisor that follows the unit's rules. `script/soak` runs these tests and
//! puts the figures together.
//!
//! | file | |
//! |---|---|
//! | `faults` | what it draws: a fault or a blow for each life |
//! | `supervisor` | starts, hears, kills and restarts the program as systemd would |
//! | `disk` | the state folder, which may become full or read-only |
//! | `witness` | what each life leaves, and what is wrong with it |
//! | `figures` | counts and distributions |
//!
//! A life begins at once: there is no button. The one place to press it is
//! [`Soak::command`], where it would be given.

mod disk;
mod faults;
mod figures;
mod supervisor;
mod witness;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use installation::state::entry::{Entry, Outcome, PaperEnd};
use nix::sys::signal::Signal;

use self::disk::Disk;
use self::faults::{BAG, Blow, Draw, Fault, STAGES, Stage};
use self::figures::{DISTRIBUTION, Numbers, publish, table};
use self::supervisor::{COUNTED, Ended, Lived, Scene, Stdout, Supervisor};
use self::witness::{OnPaper, Receipt, Witness};
use crate::support::dice::Dice;
use crate::support::fake_printer::{Behaviour, FakePrinter};
use crate::support::nexus::{DEATH, Nexus};

/// How many different texts there are.
const TEXTS: usize = 8;

/// The library of the package faketime.
const FAKETIME: &str = "faketime/libfaketime.so.1";

/// The watchdog in place of the unit's minute, where processes are stopped.
const SHORT_WATCHDOG: Duration = Duration::from_secs(2);

/// What `script/soak` was asked for: the seed, and whether the run is a short one.
fn asked() -> (u64, bool) {
    let seed = env::var("SOAK_SEED").expect("run script/soak");
    (seed.parse().expect("a number"), env::var_os("SOAK_SHORT").is_some())
}

/// A text of ember's: what a life without faults says and prints.
struct Text {
    seed: String,
    stdout: String,
    /// The bytes of its receipt.
    length: usize,
}

struct Soak {
    nexus: Nexus,
    state: PathBuf,
    texts: Vec<Text>,
    supervisor: Supervisor,
    witness: Witness,
    /// Of lives without a fault, what is [`COUNTED`].
    counts: [Numbers; 3],
    /// From the third line of the death to the next `READY=1`.
    from_death: Numbers,
    /// From the end of a process that did not die so.
    from_blow: Numbers,
    start: Instant,
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

impl Soak {
    fn new(watchdog: Option<Duration>) -> Self {
        let nexus = Nexus::new();
        let state = nexus.path("torment-nexus");
        let supervisor = Supervisor::of_the_unit(nexus.folder.path(), watchdog);
        let witness = Witness::of(&state);
        let mut soak = Self {
            nexus,
            state,
            texts: Vec::new(),
            supervisor,
            witness,
            counts: Default::default(),
            from_death: Numbers::default(),
            from_blow: Numbers::default(),
            start: Instant::now(),
        };
        // In a folder of their own, so that the first life of the soak is life 1.
        let apart = Nexus::new();
        soak.texts = (1..=TEXTS).map(|seed| Text::of(&apart, seed.to_string())).collect();
        soak
    }

    /// The program that lives this text on the fake printer.
    fn command(&self, text: usize, more: &[&str]) -> Command {
        self.nexus.command(arguments(&self.texts[text].seed).split(' ').chain(more.iter().copied()))
    }

    /// What holds for each life, however it ended.
    fn heard(&mut self, who: &str, lived: &Lived, text: usize, is_read: bool) {
        let all = &self.texts[text].stdout;
        if is_read {
            match lived.ended {
                Ended::With(101) => assert_eq!(lived.stdout, *all, "{who}: stdout is not complete"),
                _ => assert!(all.starts_with(lived.stdout.trim_end()), "{who}: stdout: {}", lived.stdout),
            }
        }
        if lived.ended == Ended::With(101) {
            assert!(lived.stderr.ends_with(DEATH), "{who}: {}", lived.stderr);
        }
        if let Some((time, died)) = lived.to_armed {
            let numbers = if died { &mut self.from_death } else { &mut self.from_blow };
            numbers.add(time.as_secs_f64() * 1000.0);
        }
    }

    /// The counts of the first and of the last lives. Fails if the last ones had more.
    fn growth(&self) -> String {
        let rows = COUNTED.iter().zip(&self.counts).map(|((name, margin), numbers)| {
            let (first, last) = numbers.tenths();
            assert!(last <= first + margin, "{name} grow from {first} to {last}");
            (name, format!("{first:.0} and {last:.0}"))
        });
        table(["at most, without a fault", "median of the first and of the last tenth"], rows)
    }
}

fn arguments(seed: &str) -> String {
    format!(
        "--model ember --context-size 330 --temp 0.8 --seed {seed} --printer=printer --printer-baud 4000000 \
         --printer-line-ms 3"
    )
}

impl Text {
    fn of(nexus: &Nexus, seed: String) -> Self {
        let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
        let ended = nexus.run(arguments(&seed).split(' '));
        let length = printer.stop().bytes().len();
        Self { stdout: ended.died().stdout.clone(), seed, length }
    }
}

/// What became of the lives with a fault.
#[derive(Default)]
struct Tally {
    lives: usize,
    deaths: usize,
    whole: usize,
    lost: usize,
    interrupted: usize,
    unnumbered: usize,
}

/// One of the lives with faults; counts it.
fn life(soak: &mut Soak, disk: &Disk, seed: u64, number: u64, tally: &mut BTreeMap<Fault, Tally>) {
    let draw = faults::draw(seed, number, TEXTS);
    let Draw { fault, odd, text, .. } = draw;
    let who = format!("seed {seed}, draw {number} {draw:?}");
    let length = soak.texts[text].length;
    let wait = if fault == Fault::PaperEnds { "2" } else { "60" };
    let mut more = vec!["--paper-wait", wait];
    if draw.hears() {
        more.push("--printer-rx");
    }
    let mut command = soak.command(text, &more);
    let clock = soak.nexus.path("clock");
    let midway = || {
        let jump = ["-400d", "+400d", "-20y", "+12y", "-3h", "+26h"][odd % 6];
        fs::write(&clock, jump).expect("a file");
    };
    match fault {
        Fault::StateFull => disk.fill((odd % 3) as u64, &mut command),
        Fault::StateReadOnly => disk.set_read_only(true),
        Fault::HistoryCut => cut_the_history(soak, odd),
        Fault::ClockJumps => {
            let library = fs::read_dir("/usr/lib").expect("a folder").map_while(Result::ok);
            let library = library.map(|entry| entry.path().join(FAKETIME)).find(|path| path.exists());
            fs::write(&clock, "+0").expect("a file");
            command.env("LD_PRELOAD", library.expect("the package faketime, which script/soak installs"));
            command.env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
            // The kernel's monotonic clock does not jump.
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        }
        _ => {}
    }
    let link = soak.nexus.path("printer");
    let _ = fs::remove_file(&link);
    let printer = draw.printer(length).map(|behaviour| FakePrinter::at(&link, behaviour));
    let at = 1 + length * draw.place / 1000;
    let stdout = match fault {
        Fault::StdoutClosed => Stdout::Closed,
        Fault::StdoutFull => Stdout::Full,
        Fault::StdoutUnread => Stdout::Unread,
        _ => Stdout::Read,
    };
    let blow = Blow { signal: Signal::SIGTERM, stage: Stage::Life, after: Duration::ZERO, at };
    let scene = Scene {
        stdout,
        printer: printer.as_ref(),
        blow: (fault == Fault::Interrupted).then_some(blow),
        midway: (fault == Fault::ClockJumps).then_some((at, &midway as &dyn Fn())),
    };
    let lived = soak.supervisor.live(command, &soak.state, &scene);
    let received = printer.map(|printer| printer.stop().bytes()).unwrap_or_default();
    disk.mend();

    let who = format!("{who}\n{}\n", lived.stderr);
    let who = who.as_str();
    let is_interrupted = fault == Fault::Interrupted && lived.ended == Ended::With(130);
    assert!(lived.ended == Ended::With(101) || is_interrupted, "{who}: {:?}", lived.ended);
    soak.heard(who, &lived, text, stdout == Stdout::Read);
    let before = soak.witness.record;
    let line = soak.witness.files(who);
    let receipt = Receipt::of(&received, fault != Fault::SwitchedOnLate);
    let knows = (!fault.is_of_the_state(), fault != Fault::Hangs);
    soak.witness.receipt(who, &receipt, line.as_ref(), knows);
    if fault.leaves_the_paper_whole() {
        assert_eq!(receipt.on_paper, OnPaper::Whole, "{who}: {:#?}", receipt.lines);
        let rule = "─".repeat(32);
        let thought = receipt.lines.split(|line| *line == rule).nth(1).expect("two rules").join("\n");
        assert_eq!(words(&thought), words(&soak.texts[text].stdout), "{who}");
    }
    let is_counted = soak.witness.record > before;
    if !fault.is_of_the_state() {
        assert!(is_counted, "{who}: it is not counted");
        let line = line.as_ref().unwrap_or_else(|| panic!("{who}: it has no line"));
        let outcome = if is_interrupted { Outcome::Interrupted } else { Outcome::Death };
        assert_eq!(line.outcome, Some(outcome), "{who}");
        let is_whole = line.paper == Some(PaperEnd::Whole);
        assert!(is_whole || !fault.leaves_the_paper_whole(), "{who}: {line:?}");
    }
    let tally = tally.entry(fault).or_default();
    tally.lives += 1;
    tally.deaths += usize::from(lived.ended == Ended::With(101));
    tally.interrupted += usize::from(is_interrupted);
    tally.unnumbered += usize::from(!is_counted);
    let paper = line.filter(|_| is_counted).and_then(|line| line.paper);
    tally.whole += usize::from(paper == Some(PaperEnd::Whole));
    tally.lost += usize::from(matches!(paper, Some(PaperEnd::Lost | PaperEnd::NoPaper | PaperEnd::CutOff)));
    if fault == Fault::Nothing {
        soak.counts.iter_mut().zip(lived.counts).for_each(|(all, count)| all.add(count as f64));
    }
}

/// Cuts the last line of the history short, as a power cut may.
fn cut_the_history(soak: &Soak, odd: usize) {
    let path = soak.state.join("lives.csv");
    if let Ok(history) = fs::read(&path) {
        let history = history.trim_ascii_end();
        let line = history.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        fs::write(path, &history[..line + 1 + odd % (history.len() - line)]).expect("the history");
    }
}

#[test]
#[ignore = "requires script/soak"]
fn of_a_thousand_lives_with_faults_from_outside_each_leaves_what_it_has_to() {
    let (seed, is_short) = asked();
    let count = if is_short { 100 } else { 1000 };
    let mut soak = Soak::new(None);
    let disk = Disk::at(&soak.state.clone());
    let mut tally = BTreeMap::new();
    for number in 0..count {
        life(&mut soak, &disk, seed, number, &mut tally);
        if (number + 1) % 50 == 0 {
            println!("faults: {} lives in {:.0} s", number + 1, soak.start.elapsed().as_secs_f64());
        }
    }
    let entries = soak.witness.all();
    let growth = soak.growth();
    let deaths: usize = tally.values().map(|tally| tally.deaths).sum();
    let interrupted: usize = tally.values().map(|tally| tally.interrupted).sum();
    assert_eq!(deaths + interrupted, count as usize);
    for fault in [Fault::Unplugged, Fault::SwitchedOff, Fault::XoffHeld, Fault::PaperEnds, Fault::Hangs] {
        assert!(tally[&fault].lost > 0, "the printer is never lost: {fault:?}");
    }
    assert!(tally[&Fault::StateFull].unnumbered > 0, "the state folder is never full");

    let witness = &soak.witness;
    let mut text = table(
        ["lives in a row, with faults", &format!("seed {seed}")],
        [
            ("lives", count.to_string()),
            ("deaths (status 101, three lines)", deaths.to_string()),
            ("ended by SIGTERM (status 130)", interrupted.to_string()),
            ("the last number; lives in the history", format!("{}; {}", witness.record, entries.len())),
            ("receipts whole", witness.whole.to_string()),
            ("receipts that say that the life was interrupted", witness.interrupted.to_string()),
            (
                "receipts cut off; of these marked by the gap after them",
                format!("{}; {}", witness.cut, witness.marked),
            ),
            (
                "followed by a receipt that could not know, since the state folder was full or read-only",
                witness.unmarked.to_string(),
            ),
            ("taken whole by the port before the printer hung", witness.unknowable.to_string()),
            ("numbers twice or back, torn files, stdout incomplete", "0".to_owned()),
            ("state folder", disk.words().to_owned()),
            ("minutes", format!("{:.1}", soak.start.elapsed().as_secs_f64() / 60.0)),
        ],
    );
    text += "\n| fault | lives | deaths | receipt whole | lost or cut off | without a number |\n|---|---|---|---|---|---|\n";
    for (fault, _, words) in BAG {
        let Tally { lives, deaths, whole, lost, unnumbered, .. } = &tally[&fault];
        text += &format!("| {words} | {lives} | {deaths} | {whole} | {lost} | {unnumbered} |\n");
    }
    text += &format!("\n{growth}\n{DISTRIBUTION}");
    for ((name, _), numbers) in COUNTED.iter().zip(&soak.counts) {
        text += &numbers.row(name);
    }
    text += &soak.from_death.row("from the last line of the death to the next armed, ms");
    publish("faults", &text);
}

/// Lives that a signal ends at a moment that the dice draws, until there were `count`.
fn blows(name: &str, signal: Signal, count: usize, watchdog: Option<Duration>) {
    let (seed, _) = asked();
    let mut soak = Soak::new(watchdog);
    let mut stages: BTreeMap<Stage, usize> = BTreeMap::new();
    let (mut struck, mut deaths, mut early, mut number) = (0, 0, 0, 0);
    while struck < count {
        assert!(number < 8 * count as u64, "the signal comes too late again and again");
        let drawn = faults::blow(seed, signal, number, soak.texts[0].length);
        let text = Dice::of(seed, 1, number).within(0..TEXTS);
        let who = format!("seed {seed}, draw {number} {drawn:?}");
        let lived = blow_life(&mut soak, &who, text, drawn);
        let is_struck = match (lived.ended, signal) {
            (Ended::By(libc::SIGKILL), Signal::SIGKILL) => lived.struck,
            // A minute's watchdog made short may take a slow process for a hung one.
            (Ended::AsHung, Signal::SIGSTOP) => {
                early += usize::from(!lived.struck);
                lived.struck
            }
            (Ended::With(101), _) => false,
            (ended, _) => panic!("{who}: {ended:?}: {}", lived.stderr),
        };
        deaths += usize::from(lived.ended == Ended::With(101));
        if is_struck {
            struck += 1;
            *stages.entry(drawn.expect("it was struck").stage).or_default() += 1;
            if struck % 20 == 0 {
                println!("{name}: {struck} in {:.0} s", soak.start.elapsed().as_secs_f64());
            }
        }
        number += 1;
    }
    // Two whole lives find the open receipt of the last one, and mark it.
    for _ in 0..2 {
        let lived = blow_life(&mut soak, &format!("seed {seed}, after {name}"), 0, None);
        assert_eq!(lived.ended, Ended::With(101), "{}", lived.stderr);
        deaths += 1;
    }
    let entries = soak.witness.all();
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (1..=soak.witness.record).collect::<Vec<_>>(), "each counted life has a line");
    let of = |outcome| entries.iter().filter(|entry| entry.outcome == outcome).count();
    let (killed, died) = (of(None), of(Some(Outcome::Death)));
    assert_eq!(killed + died, entries.len());
    assert!(died >= deaths, "{died} deaths in the history, {deaths} seen");

    let witness = &soak.witness;
    let ended = format!("ended by {signal}");
    let rows = [
        (ended.as_str(), struck.to_string()),
        ("starts", (number + 2).to_string()),
        ("lives that came to their death", deaths.to_string()),
        ("lives counted; of these: death, killed", format!("{}; {died}, {killed}", witness.record)),
        ("receipts whole", witness.whole.to_string()),
        (
            "receipts cut off; of these marked by the gap after them",
            format!("{}; {}", witness.cut, witness.marked),
        ),
        ("numbers twice or back, torn files, stdout that differs", "0".to_owned()),
        ("ended by the watchdog before the signal", early.to_string()),
        ("failures as systemd counts them", soak.supervisor.failures.to_string()),
        ("minutes", format!("{:.1}", soak.start.elapsed().as_secs_f64() / 60.0)),
    ];
    let mut text = table([&format!("lives {ended}"), &format!("seed {seed}")], rows);
    let rows = STAGES.map(|(stage, words)| (words, stages.get(&stage).copied().unwrap_or(0).to_string()));
    text += &format!("\n{}\n{DISTRIBUTION}", table([&format!("when {signal} came"), "times"], rows));
    text += &soak.from_blow.row("from the end of the process to the next armed, ms");
    publish(name, &text);
}

fn blow_life(soak: &mut Soak, who: &str, text: usize, blow: Option<Blow>) -> Lived {
    if blow.is_some_and(|blow| blow.stage == Stage::Prefill) {
        let _ = fs::remove_file(soak.state.join("prompt-state"));
    }
    let command = soak.command(text, &[]);
    let printer = FakePrinter::at(&soak.nexus.path("printer"), Behaviour::Silent);
    let scene = Scene { stdout: Stdout::Read, printer: Some(&printer), blow, midway: None };
    let lived = soak.supervisor.live(command, &soak.state, &scene);
    let received = printer.stop().bytes();
    soak.heard(who, &lived, text, true);
    let line: Option<Entry> = soak.witness.files(who);
    soak.witness.receipt(who, &Receipt::of(&received, true), line.as_ref(), (true, true));
    lived
}

#[test]
#[ignore = "requires script/soak"]
fn two_hundred_lives_ended_by_sigkill_lose_no_number_and_tear_no_file() {
    let (_, is_short) = asked();
    let count = if is_short { 40 } else { 200 };
    blows("sigkill", Signal::SIGKILL, count, None);
}

#[test]
#[ignore = "requires script/soak"]
fn a_hundred_lives_stopped_by_sigstop_are_ended_by_the_watchdog_and_go_on() {
    let (_, is_short) = asked();
    let count = if is_short { 15 } else { 100 };
    blows("sigstop", Signal::SIGSTOP, count, Some(SHORT_WATCHDOG));
}
