//! `hardware/stick` below a temporary root, with a stand-in for systemctl; the tests play the
//! program, which answers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::Resource;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ENDED, finds_first, python, script};
use crate::support::gguf_file::{Gguf, Value};
use crate::support::nexus::{Ended, LIMIT, Nexus, limit, wait};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hardware/stick");
const CARD: &str = "boot/firmware/torment-nexus";
const STICK: &str = "mnt/torment-nexus";
const TOLD: &str = "run/torment-nexus-stick/told";
const OFFER: &str = "run/torment-nexus-stick/offer";

/// A GGUF file of this purpose, and no longer than its header.
fn gguf(purpose: &str) -> Vec<u8> {
    Gguf::empty().set("general.type", Value::text(purpose)).bytes()
}

/// A box whose card has settings with a word, and a stick with that word.
struct Plugged(Nexus);

impl Plugged {
    /// One with something of each kind to take.
    fn new() -> Self {
        let plugged = Self(Nexus::new());
        for folder in [CARD, STICK, "run/torment-nexus", "run/torment-nexus-stick", "bin"] {
            fs::create_dir_all(plugged.0.path(folder)).expect("a folder");
        }
        plugged.write(CARD, "settings.txt", "title = OLD\nstick-key = “sesame” # ours\n");
        plugged.write(CARD, "prompt.txt", "old");
        plugged.write(STICK, "key.txt", "\u{feff}sesame\r\n");
        plugged.0.script("bin/systemctl", "echo \"$*\" >>log\ncat status");
        plugged.0.file("status", "armed, 3 lives so far");
        plugged.write(STICK, "Settings.TXT", "title = NEW\r\nStick_Key: theirs\r\n");
        plugged.write(STICK, "prompt.txt", "new");
        plugged.write(STICK, "voice.gguf", gguf("adapter"));
        plugged.write(STICK, "large-q4.gguf", gguf("model"));
        plugged
    }

    fn write(&self, folder: &str, name: &str, content: impl AsRef<[u8]>) {
        self.0.file(&format!("{folder}/{name}"), content);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path(name)).unwrap_or_default()
    }

    /// The files of the card with their content, those of the folders too.
    fn card(&self) -> BTreeMap<String, Vec<u8>> {
        fn below(folder: &Path) -> Vec<PathBuf> {
            let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one").path());
            entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
        }
        let card = self.0.path(CARD);
        let name = |path: &Path| path.strip_prefix(&card).expect("below").to_string_lossy().into_owned();
        below(&card).into_iter().map(|path| (name(&path), fs::read(&path).expect("a file"))).collect()
    }

    fn command(&self, before: &[&str]) -> Command {
        let mut command = python();
        command.args(before).args([SCRIPT, "--root", "."]).current_dir(self.0.folder.path());
        self.within(command)
    }

    /// The same command with the stand-in for systemctl.
    fn within(&self, mut command: Command) -> Command {
        finds_first(&mut command, &self.0.path("bin"));
        command
    }

    /// Runs it to its end with this answer, and returns its offer.
    #[track_caller]
    fn answered(&self, answer: &str, mut command: Command) -> String {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let mut ended = || child.try_wait().expect("a status");
        let pause = Duration::from_millis(10);
        let offer = || Some(self.read(OFFER)).filter(|offer| !offer.is_empty() || ended().is_some());
        let offer = wait(|| "an offer", LIMIT, pause, offer);
        if let Some(nonce) = offer.lines().nth(1).and_then(|line| line.strip_prefix("nonce ")) {
            self.write("run/torment-nexus", "answer", format!("{answer} {nonce}"));
        }
        wait(|| "its end", LIMIT, pause, ended);
        let ended = Ended::of(child.wait_with_output());
        assert!(!ended.stderr.contains("Traceback"), "{}", ended.stderr);
        offer
    }

    /// What came of it, for the paper.
    #[track_caller]
    fn tells(&self, what: &str) {
        let told = self.read(TOLD);
        assert!(told.starts_with(&format!("{what} (")), "{told}");
    }

    /// As systemd does after its end.
    fn clear(&self) {
        assert!(self.command(&[]).arg("--clear").status().expect("it starts").success());
    }

    #[track_caller]
    fn say(&self, answer: &str) -> String {
        let offer = self.answered(answer, self.command(&[]));
        assert!(!self.0.path(OFFER).exists(), "the offer is still there");
        offer
    }
}

#[test]
fn what_a_stick_brings_is_taken_after_a_yes_and_the_former_is_had_back_within_the_day() {
    let plugged = Plugged::new();
    let before = plugged.card();
    let offer = plugged.say("no");
    assert!(offer.starts_with("take\nnonce "), "{offer}");
    let lines: Vec<_> = offer.lines().skip(2).collect();
    let (former, new) = ("1 kB, replaces the former", "1 kB, new");
    let expected =
        [("prompt.txt", former), ("settings.txt", former), ("voice.gguf", new), ("model.gguf", new)];
    assert_eq!(lines, expected.map(|(name, what)| format!("{name}: {what}")));
    assert_eq!(plugged.card(), before);
    assert_eq!(plugged.read(TOLD) + &plugged.read("log"), "");

    plugged.say("yes");
    let card = plugged.card();
    let settings = "title = NEW\r\n# Stick_Key: theirs\nstick-key = “sesame” # ours\n";
    assert_eq!(String::from_utf8_lossy(&card["settings.txt"]), settings, "the card's word stays");
    assert_eq!((&card["prompt.txt"], &card["model.gguf"]), (&b"new".to_vec(), &gguf("model")));
    assert_eq!(card["previous/settings.txt"], before["settings.txt"]);
    plugged.tells("the stick's files are in use");
    assert!(plugged.read("log").ends_with("try-restart --no-block torment-nexus.service\n"));

    // A life that has begun is not cut short.
    plugged.0.file("status", "life 4 at 5 %, printing");
    plugged.0.file("log", "");
    let offer = plugged.say("yes");
    assert!(offer.starts_with("back\n") && offer.contains("prompt.txt: the former one\n"), "{offer}");
    assert!(offer.contains("voice.gguf: none, as before\n"), "{offer}");
    let now: BTreeMap<_, _> =
        plugged.card().into_iter().filter(|(name, _)| !name.starts_with("previous/")).collect();
    assert_eq!(now, before);
    plugged.tells("the former files are in use again");
    assert!(!plugged.read("log").contains("restart"), "{}", plugged.read("log"));

    plugged.say("yes");
    let yesterday = std::time::SystemTime::now() - Duration::from_secs(90_000);
    let record = File::options().append(true).open(plugged.0.path(&format!("{CARD}/previous/taken.txt")));
    record.and_then(|record| record.set_modified(yesterday)).expect("another time");
    let offer = plugged.say("yes");
    assert!(offer.ends_with("\nnothing on this stick is new to the card\n"), "{offer}");
}

#[test]
fn a_stick_without_the_word_of_the_card_is_not_looked_at() {
    let plugged = Plugged::new();
    fs::remove_file(plugged.0.path("mnt/torment-nexus/key.txt")).expect("a key");
    for (settings, key) in [
        ("stick-key = sesame\n", None),
        ("stick-key = sesame\n", Some("sesam")),
        ("stick-key = abc\n", Some("abc")),
        ("#stick-key = sesame\n", Some("sesame")),
        ("stick-keys = sesame\n", Some("sesame")),
        ("", Some("")),
    ] {
        plugged.write(CARD, "settings.txt", settings);
        key.into_iter().for_each(|key| plugged.write(STICK, "key.txt", key));
        let before = plugged.card();
        assert_eq!(plugged.say("yes"), "", "{settings:?}, {key:?}");
        assert_eq!((plugged.card(), plugged.read(TOLD)), (before, String::new()));
    }
}

#[test]
fn what_cannot_be_taken_from_a_stick_is_one_line_each_and_the_rest_is_taken() {
    let plugged = Plugged::new();
    plugged.0.file("secret", "not the stick's");
    symlink(plugged.0.path("secret"), plugged.0.path("mnt/torment-nexus/epitaph.txt")).expect("a link");
    plugged.write(STICK, "receipt.txt", vec![b'x'; 10_000_000]);
    plugged.write(STICK, "prompt.txt", b"\xff\xfeh\0i\0");
    plugged.write(STICK, "voice.gguf", gguf("imatrix"));
    plugged.write(STICK, "second.gguf", gguf("model"));
    plugged.write(STICK, "Report\u{7}.docx", "another computer's");
    plugged.write(STICK, "._settings.txt", "a Mac's");
    fs::create_dir(plugged.0.path("mnt/torment-nexus/photos")).expect("a folder");
    let offer = plugged.say("yes");
    let lines: Vec<_> = offer.lines().skip(2).collect();
    let expected = [
        "settings.txt: 1 kB, replaces the former",
        "epitaph.txt: it is a link",
        "prompt.txt: it is not UTF-8; save it as UTF-8",
        "receipt.txt: 10,000 kB is too long; at most 64 kB",
        "voice.gguf: it is for another purpose (imatrix)",
        "large-q4.gguf: it is not the only model; leave one on the stick",
        "second.gguf: it is not the only model; leave one on the stick",
        "Report?.docx and 1 more: none of the files that can be taken",
    ];
    assert_eq!(lines, expected);
    let names: Vec<_> = plugged.card().into_keys().collect();
    assert_eq!(names, ["previous/settings.txt", "previous/taken.txt", "prompt.txt", "settings.txt"]);
}

#[test]
fn a_copy_that_fails_or_a_stick_that_is_pulled_leaves_the_card_as_it_was_and_says_so() {
    let plugged = Plugged::new();
    let before = plugged.card();
    plugged.write(STICK, "large-q4.gguf", [gguf("model"), vec![0; 2_000_000]].concat());
    // The card is full in the middle of the model; most is there by then.
    let mut command = plugged.command(&[]);
    limit(&mut command, Resource::RLIMIT_FSIZE, 1_000_000);
    plugged.answered("yes", command);
    plugged.tells("nothing was changed: model.gguf: File too large; plug the stick in again");
    assert_eq!(plugged.card(), before);

    plugged.answered("yes", plugged.command(&["-c", ENDED, "3", "15"]));
    plugged.tells("nothing was changed: the stick was pulled out; plug the stick in again");
    assert_eq!(plugged.card(), before);

    // The last reads fail before systemd says that it is gone.
    for steps in 4..12 {
        fs::remove_file(plugged.0.path(TOLD)).expect("told");
        let mut command = plugged.command(&["-c", ENDED, &steps.to_string(), "15"]);
        limit(&mut command, Resource::RLIMIT_FSIZE, 1_000_000);
        plugged.answered("yes", command);
        let told = plugged.read(TOLD);
        assert!(told.starts_with("nothing was changed: "), "before step {steps}: {told:?}");
        plugged.clear();
        assert_eq!(plugged.card(), before, "before step {steps}");
    }

    // While it is only offered.
    let mut child = plugged.command(&[]).stderr(Stdio::null()).spawn().expect("it starts");
    wait(|| "an offer", LIMIT, Duration::from_millis(10), || plugged.0.path(OFFER).exists().then_some(()));
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("it runs");
    child.wait().expect("its end");
    assert!(!plugged.0.path(OFFER).exists() && plugged.card() == before);
}

/// What the card has of a name: the file in use, and the former one.
fn places<'a>(card: &'a BTreeMap<String, Vec<u8>>, name: &str) -> [Option<&'a Vec<u8>>; 2] {
    [card.get(name), card.get(&format!("previous/{name}"))]
}

/// A power cut is a SIGKILL here. Each former file is still there, also after the stick is
/// taken or had back once more.
#[test]
fn killed_at_any_moment_each_file_of_the_card_is_old_or_new_and_none_is_lost() {
    let names = ["settings.txt", "prompt.txt", "voice.gguf", "model.gguf"];
    for is_back in [false, true] {
        let prepared = || {
            let plugged = Plugged::new();
            if is_back {
                plugged.say("yes");
                fs::remove_file(plugged.0.path(TOLD)).expect("told");
            }
            (plugged.card(), plugged)
        };
        let (old, plugged) = prepared();
        plugged.say("yes");
        let new = plugged.card();
        for steps in 1.. {
            assert!(steps < 60, "it never comes to its end");
            let (_, plugged) = prepared();
            plugged.answered("yes", plugged.command(&["-c", ENDED, &steps.to_string(), "9"]));
            let card = plugged.card();
            for name in names {
                assert!([&old, &new].iter().any(|one| one.get(name) == card.get(name)), "{name}, {steps}");
            }
            plugged.clear();
            let is_told = plugged.0.path(TOLD).exists();
            for again in 0..3 {
                if again > 0 {
                    plugged.say("yes");
                }
                let card = plugged.card();
                for name in names {
                    let there = places(&card, name);
                    let is_kept = places(&old, name).iter().flatten().all(|was| there.contains(&Some(was)));
                    assert!(is_kept, "{name} is lost before step {steps}, {is_back}, {again}: {card:?}");
                }
                let is_cut = card.keys().any(|name| name.starts_with("previous.new"));
                assert!(!is_cut && !plugged.0.path(OFFER).exists(), "{steps}, {is_back}, {again}: {card:?}");
            }
            if is_told {
                break;
            }
        }
    }
}

#[test]
fn what_lies_in_the_place_of_the_former_files_is_told_and_nothing_more_is_taken() {
    let plugged = Plugged::new();
    plugged.write(CARD, "previous", "a curator's file");
    plugged.say("yes");
    plugged.tells("the stick's files are in use");
    let card = plugged.card();
    assert_eq!(card["previous.new/prompt.txt"], b"old");
    let offer = plugged.say("yes");
    assert!(offer.contains("take previous off it in a computer"), "{offer}");
    assert_eq!(plugged.card(), card);
}

#[test]
fn a_card_that_fails_in_the_middle_of_a_swap_loses_nothing_and_says_so() {
    let fails_from_the_second_on = "trades, right = [], trade
def trade(*names):
    trades.append(names)
    if len(trades) > 1:
        raise OSError(5, 'Input/output error')
    right(*names)";
    let plugged = Plugged::new();
    let mut command = script("stick", fails_from_the_second_on);
    command.arg("--root").arg(plugged.0.folder.path());
    plugged.answered("yes", plugged.within(command));
    plugged.tells(
        "the card failed (Input/output error), and some of its files have changed; copy all to another card",
    );
    let card = plugged.card();
    assert_eq!((&card["prompt.txt"], &card["previous.new/prompt.txt"]), (&b"new".to_vec(), &b"old".to_vec()));
    plugged.clear();
    assert_eq!(plugged.card()["previous/prompt.txt"], b"old");
}
