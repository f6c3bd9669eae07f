//! The whole exhibit: Debian with systemd on the card of an emulated board, the
//! package and its setup as a technician installs them, visitors, and what may
//! happen to it: `script/pi-exhibit`.

mod without_a_keyboard;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::board::{BUTTON, Board, LIGHT, LIMIT, run, tree};
use crate::support::nexus::wait;
use crate::support::receipt_reader::Paper;

/// The card that hardware/emulator/card makes, and where its partitions begin, in bytes.
const CARD: &str = "target/exhibit/card";
const BOOT: u32 = 2048 * 512;
const ROOT: u32 = 133_120 * 512;

/// The options of this exhibition, after those of hardware/default: no network, so
/// the built-in model; one thread, since the emulator computes on one core; lives of
/// about a minute. The printer of the emulated board takes every byte at once, so its
/// pace is only kept, not needed.
const OPTIONS: &str =
    "TORMENT_MODEL=ember TORMENT_THREADS=1 TORMENT_CONTEXT_SIZE=512 TORMENT_PRINTER_LINE_MS=400";

/// How long a life may take to be seen in the status: systemctl itself takes seconds
/// on the emulated board.
const SEEN: Duration = Duration::from_secs(120);

const SECOND: Duration = Duration::from_secs(1);

/// An SD card in a slot, and the paper that came out of the printer.
struct Exhibit {
    folder: TempDir,
    /// What was printed since the setup, before the present boot.
    paper: Vec<u8>,
    begun: Instant,
}

impl Exhibit {
    fn with_package(package: &Path) -> Self {
        let folder = TempDir::new_in(tree("target/exhibit")).expect("a folder");
        let exhibit = Self { folder, paper: Vec::new(), begun: Instant::now() };
        assert!(tree(CARD).exists(), "there is no {CARD}: run script/pi-exhibit");
        run(Command::new("cp").arg("--sparse=always").arg(tree(CARD)).arg(exhibit.card()));
        let curator = exhibit.folder.path().join("curator.py");
        fs::write(&curator, without_a_keyboard::CURATOR).expect("a file");
        for (from, to) in [(package, "torment-nexus.deb"), (&curator, "curator.py")] {
            let write = format!("write {} /root/{to}", from.display());
            let root = format!("{}?offset={ROOT}", exhibit.card().display());
            run(Command::new("/sbin/debugfs").args(["-w", "-R", &write, &root]));
        }
        exhibit
    }

    fn card(&self) -> PathBuf {
        self.folder.path().join("card")
    }

    /// What the `command` of mtools says of the card's first partition, as another computer
    /// shows it.
    fn on_fat(&self, command: &str, args: &[&str]) -> String {
        fat(command, &format!("{}@@{BOOT}", self.card().display()), args)
    }

    /// Switches the board on. Its firmware is not emulated: the kernel's command line
    /// is what cmdline.txt has on the card, and serial0 is the port that the printer's
    /// line is connected to.
    fn switch_on(&self) -> Machine {
        let text = self.on_fat("mtype", &["::cmdline.txt"]);
        let line = text.trim().replace("=serial0", "=ttyAMA0");
        assert!(line.contains("root="), "no cmdline.txt on the card: {text:?}");
        self.say(&format!("the board boots with {line:?}"));
        let board = Board::boot_from_card(&self.card(), &line);
        // QEMU does not emulate the pull-up.
        board.drive(BUTTON, true);
        let machine = Machine(board);
        machine.says("[the shell is there]", LIMIT);
        self.say("systemd has started the shell");
        machine
    }

    /// Shuts the system down.
    fn switch_off(&mut self, machine: Machine, keep_paper: bool) {
        machine.0.type_in("systemctl --no-block reboot\n");
        machine.says("[the system is down: reboot]", LIMIT);
        // The kernel's own last words, after the card was mounted read-only.
        thread::sleep(Duration::from_secs(1));
        if keep_paper {
            self.paper.extend(machine.0.printed());
        }
    }

    fn say(&self, words: &str) {
        println!("{:4} s: {words}", self.begun.elapsed().as_secs());
    }

    /// Waits until a line of the paper has these words.
    fn prints(&self, machine: &Machine, words: &str) {
        let what = || format!("{words:?} on paper: {:#?}", self.lines(machine));
        wait(what, LIMIT, SECOND, || (self.count(machine, words) > 0).then_some(()));
    }

    /// How many lines of the paper have these words.
    fn count(&self, machine: &Machine, words: &str) -> usize {
        self.lines(machine).iter().filter(|line| line.contains(words)).count()
    }

    /// Every number of a life on the paper, in order.
    fn numbers(&self, machine: &Machine) -> Vec<u64> {
        let number = |receipt: &Vec<String>| {
            let line = receipt.iter().find_map(|line| line.strip_prefix("life ")?.parse().ok());
            line.unwrap_or_else(|| panic!("a receipt without a number: {receipt:#?}"))
        };
        self.receipts(machine).iter().map(number).collect()
    }

    /// The receipts, each from its title on.
    fn receipts(&self, machine: &Machine) -> Vec<Vec<String>> {
        let lines = self.lines(machine);
        lines.split(|line| line.starts_with("TORMENT NEXUS")).skip(1).map(<[String]>::to_vec).collect()
    }

    fn lines(&self, machine: &Machine) -> Vec<String> {
        let mut bytes = [self.paper.clone(), machine.0.printed()].concat();
        // A line that is being printed.
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
        Paper::read(&bytes).unwrap_or_else(|error| panic!("the paper: {error}")).lines()
    }
}

/// A booted board, and a technician at its shell.
struct Machine(Board);

impl Machine {
    /// Runs a command. Returns its status, and what it wrote.
    fn runs(&self, command: &str) -> (i32, String) {
        let before = self.0.console().len();
        self.0.type_in(&format!("{command}\n"));
        self.answer(command, before)
    }

    /// The status and the words of the command that was typed when the console was
    /// that long.
    fn answer(&self, command: &str, before: usize) -> (i32, String) {
        let what = || format!("an end of {command}: {}", &self.0.console()[before..]);
        wait(what, LIMIT, Duration::from_millis(100), || {
            let console = self.0.console();
            let (said, rest) = console[before..].rsplit_once("[status ")?;
            let (status, _) = rest.split_once("]\n")?;
            Some((status.parse().expect("a status"), said.trim().to_owned()))
        })
    }

    fn must(&self, command: &str) -> String {
        let (status, said) = self.runs(command);
        assert_eq!(status, 0, "{command}: {said}");
        said
    }

    /// A property of the unit.
    fn show(&self, property: &str) -> String {
        self.must(&format!("systemctl show --value -p {property} torment-nexus"))
    }

    /// Waits until the status begins with these words.
    fn wait(&self, words: &str, limit: Duration) -> String {
        let begun = Instant::now();
        loop {
            let status = self.show("StatusText");
            if status.starts_with(words) {
                return status;
            }
            if begun.elapsed() > limit {
                let journal = self.runs("journalctl -b -u torment-nexus -n 40 --no-pager").1;
                panic!("no {words:?} but {status:?}: {journal}");
            }
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn armed(&self, lives: u64) {
        self.wait(&format!("armed, {lives} "), LIMIT);
    }

    /// Waits until the console has these words.
    fn says(&self, words: &str, limit: Duration) {
        self.0.wait_for(words, 1, limit).unwrap_or_else(|fault| panic!("{fault}"));
    }

    /// Presses the button as long as it takes the slow board to notice it.
    fn push(&self) {
        self.0.drive(BUTTON, false);
        thread::sleep(Duration::from_millis(700));
        self.0.drive(BUTTON, true);
    }

    /// Holds the button for longer than a question needs.
    fn hold(&self) {
        self.0.drive(BUTTON, false);
        thread::sleep(Duration::from_secs(5));
        self.0.drive(BUTTON, true);
    }

    /// Presses the button for this life, and waits until it lives.
    fn press(&self, life: u64) {
        self.push();
        self.wait(&format!("life {life} at "), SEEN);
    }

    /// Waits until a command succeeds.
    fn until(&self, command: &str) {
        wait(|| command, LIMIT, SECOND, || (self.runs(command).0 == 0).then_some(()));
    }

    /// The process of the piece.
    fn main_pid(&self) -> u64 {
        self.show("MainPID").parse().expect("a number")
    }

    /// What the journal of this boot has that contains these words.
    fn journal(&self, words: &str) -> String {
        self.runs(&format!("journalctl -b --no-pager -o cat | grep -F '{words}' | tail -n 3")).1
    }
}

/// Runs a program of mtools on a FAT file system.
fn fat(command: &str, image: &str, args: &[&str]) -> String {
    let output = Command::new(command).args(["-i", image]).args(args).output().expect("mtools");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Draws what was printed from the start of the printer before these words on.
fn draw(machine: &Machine, words: &str, file: &str) {
    let printed = machine.0.printed();
    let find = |needle: &[u8], within: &[u8]| within.windows(needle.len()).rposition(|bytes| bytes == needle);
    let at = find(words.as_bytes(), &printed).unwrap_or_else(|| panic!("{words} is not on the paper"));
    let begin = find(b"\x1b@", &printed[..at]).expect("the printer is set up");
    let paper = Paper::read(&printed[begin..]).unwrap_or_else(|error| panic!("the paper: {error}"));
    paper.write_png(&tree("target/exhibit").join(file)).expect("a picture");
}

/// A life from the press to the death. Whether the light was seen on and off.
fn lives(machine: &Machine, life: u64) -> (bool, bool) {
    machine.press(life);
    let begun = Instant::now();
    let (mut on, mut off) = (false, false);
    let ended = format!("armed, {life} ");
    while !machine.show("StatusText").starts_with(&ended) {
        assert!(begun.elapsed() < LIMIT, "life {life} does not end: {}", machine.show("StatusText"));
        for _ in 0..20 {
            *(if machine.0.is_high(LIGHT) { &mut on } else { &mut off }) = true;
            thread::sleep(Duration::from_millis(100));
        }
    }
    (on, off)
}

/// From a blank system to a piece that survives its accidents. Prints what it sees;
/// the last line is the result.
#[test]
#[ignore = "boots Debian on an emulated Zero 2 W: script/pi-exhibit"]
fn the_package_and_its_setup_make_an_exhibit_that_survives_its_accidents() {
    let package = std::env::var("EXHIBIT_PACKAGE").expect("EXHIBIT_PACKAGE names the package");
    let mut exhibit = Exhibit::with_package(&tree(&package));

    // The technician.
    let machine = exhibit.switch_on();
    machine.must("apt-get install -qq -y --no-install-recommends ./torment-nexus.deb");
    exhibit.say("the package is installed");
    for option in OPTIONS.split(' ') {
        machine.must(&format!("echo {option} >>/etc/default/torment-nexus"));
    }
    let looked = machine.must("torment-nexus-setup --dry-run");
    assert!(looked.contains("setup: to be done"), "{looked}");
    let done = machine.must("torment-nexus-setup --yes");
    assert!(done.ends_with("restart now: reboot"), "{done}");
    exhibit.say(done.lines().last().unwrap_or_default());
    let again = machine.must("torment-nexus-setup --yes");
    assert!(again.ends_with("setup: nothing to change"), "{again}");
    assert_eq!(machine.runs("systemctl is-active torment-nexus").1, "inactive", "it waits for the restart");
    exhibit.switch_off(machine, false);
    let machine = exhibit.switch_on();

    // Opening night: nobody types anything.
    machine.armed(0);
    exhibit.say("armed by itself");
    assert_eq!(machine.show("NRestarts"), "0");
    let lines = exhibit.lines(&machine);
    assert!(lines.iter().all(|line| line.trim().is_empty()), "nothing else is on the paper: {lines:#?}");
    for life in 1..=3 {
        let light = lives(&machine, life);
        assert_eq!(light, (true, true), "the light beats");
        exhibit.say(&format!("life {life}: a press, a receipt, a death"));
    }
    let receipts = exhibit.receipts(&machine);
    assert_eq!(exhibit.numbers(&machine), [1, 2, 3]);
    for receipt in &receipts {
        let whole = receipt.iter().any(|line| line.starts_with("tokens"));
        assert!(whole && receipt.contains(&"terminating.'".to_owned()), "{receipt:#?}");
    }

    // Accidents in mid-life: the next life has the next number.
    machine.press(4);
    machine.must("systemctl kill -s KILL torment-nexus");
    machine.armed(4);
    exhibit.say("life 4: killed, and armed again");
    machine.press(5);
    machine.must("systemctl kill -s STOP torment-nexus");
    machine.armed(5);
    let watchdog = machine.journal("Watchdog timeout");
    assert!(watchdog.contains("torment-nexus.service: Watchdog timeout"), "{watchdog}");
    exhibit.say("life 5: stopped, noticed by the watchdog, and armed again");

    // The technician looks at it.
    machine.must("systemctl stop torment-nexus");
    let (status, check) = machine.runs("torment-nexus check --quick");
    println!("{check}");
    assert!(!check.contains("FAIL"), "{check}");
    // Hardware that is not emulated: PWM, the watchdog, the thermometer.
    assert_eq!(status, 1, "{check}");
    for well in ["board", "serial port", "journal", "state", "disk", "model", "memory", "receipt", "printer"]
    {
        let line = check.lines().find(|line| line.get(5..).is_some_and(|line| line.starts_with(well)));
        assert!(line.is_some_and(|line| line.starts_with("ok ")), "{well}: {check}");
    }
    let before = machine.0.console().len();
    machine.0.type_in("torment-nexus check\n");
    machine.says("ress the button", SEEN);
    thread::sleep(Duration::from_secs(2));
    machine.push();
    let (_, check) = machine.answer("torment-nexus check", before);
    println!("{check}");
    assert!(check.contains("pressed"), "{check}");
    draw(&machine, "every character", "check-strip.png");
    exhibit.say("check runs, hears the press and prints its strip");

    // The next day.
    machine.must("systemctl start torment-nexus");
    machine.armed(5);
    exhibit.switch_off(machine, true);
    without_a_keyboard::edit_the_card(&exhibit);
    let machine = exhibit.switch_on();
    machine.armed(5);
    exhibit.say("armed by itself again");
    machine.press(6);
    // Held through the death: the slip.
    machine.0.drive(BUTTON, false);
    machine.armed(6);
    let is_there = |line: &String| line.starts_with("free memory");
    wait(
        || format!("a slip: {:#?}", exhibit.lines(&machine)),
        LIMIT,
        SECOND,
        || exhibit.lines(&machine).into_iter().find(is_there),
    );
    machine.0.drive(BUTTON, true);
    draw(&machine, "technician's slip", "slip.png");
    exhibit.say("life 6: a receipt, and the slip of a button held through the death");
    without_a_keyboard::look_at_the_card(&exhibit, &machine);
    without_a_keyboard::take_a_stick(&exhibit, &machine);

    // The kernel chooses as when memory runs out, and nothing has to run out: an emulated
    // board without memory may stand still for minutes.
    without_a_keyboard::ask_for_a_heartbeat(&machine);
    machine.must("systemctl restart torment-nexus");
    machine.armed(8);
    without_a_keyboard::hear_the_heartbeat(&exhibit, &machine);
    machine.press(9);
    let pid = machine.main_pid();
    machine.must("echo f >/proc/sysrq-trigger");
    machine.armed(9);
    let killed = machine.journal(&format!("Killed process {pid} (torment-nexus)"));
    assert!(killed.contains("Out of memory"), "{killed}");
    // systemd may notice the process before the kernel's count of the unit's kills: then
    // the result is a signal's.
    let result = machine.journal("torment-nexus.service: Failed with result");
    assert!(!result.is_empty(), "the unit has failed");
    exhibit.say(result.lines().last().unwrap_or_default());
    let all = machine.journal("Out of memory: Killed process");
    assert_eq!(all.lines().count(), 1, "no other program was killed: {all}");
    exhibit.say(&format!("life 9: {killed}"));
    machine.press(10);
    wait(
        || format!("a receipt of life 10: {:#?}", exhibit.lines(&machine)),
        SEEN,
        SECOND,
        || exhibit.lines(&machine).into_iter().find(|line| line == "life 10"),
    );
    exhibit.say("life 10 lives");
    machine.until("grep -Eq '\"(oom-kill|signal)\"' /run/heard");
    println!("{}", machine.must("cat /run/heard"));

    let numbers = exhibit.numbers(&machine);
    assert_eq!(numbers.last(), Some(&10));
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len(), "{numbers:?}");
    assert!(numbers.is_sorted(), "{numbers:?}");
    let kept = machine.must("cut -d, -f1-4 /var/lib/torment-nexus/lives.csv");
    println!("{kept}");
    let boots = machine.must("journalctl --list-boots --no-pager | wc -l");
    assert!(boots.trim().parse::<u32>().expect("a number") >= 2, "{boots}");
    println!(
        "armed by itself after the setup; 3 presses, 3 receipts; SIGKILL and SIGSTOP survived; check ran; \
         after a restart life 6 and the slip; the card: title, report, a wrong line told; \
         the stick: a list, left, held and spoken with, taken back, pulled out; \
         a heartbeat at a start, an hour and a fault; the OOM killer survived; numbers on paper {numbers:?}; {} s",
        exhibit.begun.elapsed().as_secs()
    );
}
