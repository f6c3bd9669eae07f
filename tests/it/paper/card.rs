//! The folder on the SD card that a computer shows: its settings and texts win over the
//! variables, and what is wrong there is told on paper.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::support::fake_printer::{Behaviour, FAST, FakePrinter};
use crate::support::nexus::{Ended, Nexus, ember_gguf, replace};
use crate::support::receipt_reader::Paper;

/// A box whose card is a folder.
struct Exhibit {
    nexus: Nexus,
    /// How often the card was written: each time is another one.
    edits: u64,
}

impl Exhibit {
    fn new() -> Self {
        let exhibit = Self { nexus: Nexus::new(), edits: 0 };
        fs::create_dir(exhibit.nexus.path("card")).expect("the card's folder");
        exhibit
    }

    fn card(&self, name: &str) -> PathBuf {
        self.nexus.path("card").join(name)
    }

    fn write(&mut self, name: &str, content: impl AsRef<[u8]>) -> &mut Self {
        self.edits += 1;
        let file = fs::File::create(self.card(name)).expect("a file on the card");
        fs::write(self.card(name), content).expect("a file on the card");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + 2 * self.edits))
            .expect("its time");
        self
    }

    /// One start of the service, with a variable and `args`: how it ended, and the paper.
    fn start(&self, args: &[&str]) -> (Ended, Paper) {
        let fake = FakePrinter::at(&self.nexus.path("printer"), Behaviour::Silent);
        let card = self.nexus.path("card").into_os_string().into_string().expect("a path of text");
        let args = [&FAST[..], &["--card", &card, "--context-size", "300"], args].concat();
        let mut command = self.nexus.command(args);
        command.env("TORMENT_MODEL", "ember").env("TORMENT_TITLE", "THE VARIABLE").env("HF_HUB_OFFLINE", "1");
        let ended = Ended::run(command);
        let paper = Paper::read(&fake.stop().bytes()).expect("the printer knows every byte");
        (ended, paper)
    }

    /// The same for a life that is lived to its death with this title.
    #[track_caller]
    fn lives_as(&self, title: &str, args: &[&str]) -> (Ended, String) {
        let (ended, paper) = self.start(args);
        ended.died();
        assert_eq!(paper.titles(), [title], "{}", ended.stderr);
        (ended, paper.lines().join(" "))
    }
}

#[test]
fn a_word_on_the_card_wins_over_the_variable_and_the_command_line_over_both() {
    let mut exhibit = Exhibit::new();
    exhibit.lives_as("THE VARIABLE", &[]);
    exhibit.write("settings.txt", "\u{feff}# words\r\n\ttitle = “THE CARD”\r\n");
    exhibit.lives_as("THE CARD", &[]);
    exhibit.lives_as("THE COMMAND", &["--title", "THE COMMAND"]);
    exhibit
        .write("epitaph.txt", "It was warm.")
        .write("receipt.txt", "# {title}!\n{thought}\n{death}\n{epitaph}\n");
    let (_, paper) = exhibit.lives_as("THE CARD!", &[]);
    assert!(paper.contains("It was warm."), "{paper}");
    exhibit.write("settings.txt", "#title = THE CARD");
    exhibit.lives_as("THE VARIABLE!", &[]);
}

#[test]
fn a_wrong_line_is_on_paper_once_and_what_was_set_before_goes_on() {
    let mut exhibit = Exhibit::new();
    exhibit.write("settings.txt", "title = THE CARD\n").lives_as("THE CARD", &[]);
    exhibit.write("settings.txt", "title = ANOTHER\n\nprinter-baud = fast\nmodel = ember\n");
    let told = "settings.txt, line 3: printer-baud cannot be \"fast\": not one of";
    for first in [true, false] {
        let (ended, paper) = exhibit.lives_as("THE CARD", &[]);
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
        assert_eq!(paper.contains(told), first, "{paper}");
        assert_eq!(paper.contains("line 4: model cannot be set here"), first, "{paper}");
    }
    exhibit.write("settings.txt", "title = ANOTHER\n");
    let (ended, _) = exhibit.lives_as("ANOTHER", &[]);
    assert!(!ended.stderr.contains("settings.txt"), "{}", ended.stderr);
}

#[test]
fn another_text_in_the_place_of_the_settings_is_told_in_a_few_lines_and_once() {
    let mut exhibit = Exhibit::new();
    exhibit.write("settings.txt", "title = THE CARD\n").lives_as("THE CARD", &[]);
    exhibit.write("settings.txt", "Once upon a midnight\n".repeat(3000) + &"x".repeat(900));
    for first in [true, false] {
        let (_, paper) = exhibit.lives_as("THE CARD", &[]);
        assert_eq!(paper.contains("line 10: once is no setting"), first, "{paper}");
        assert!(!paper.contains("line 11:") && paper.len() < 4000, "{paper}");
        assert_eq!(paper.contains("and 2991 more lines are wrong"), first, "{paper}");
    }
}

#[test]
fn a_fault_that_need_not_be_the_cards_refuses_it_until_the_system_starts_anew() {
    let mut exhibit = Exhibit::new();
    exhibit.write("settings.txt", "title = THE CARD\n").lives_as("THE CARD", &[]);
    exhibit.write("settings.txt", "title = ANOTHER\n");
    exhibit.start(&["--never", "absent.txt"]).0.failed(1, &["absent.txt"]);
    exhibit.lives_as("THE CARD", &[]);
    let refused = exhibit.nexus.path("torment-nexus/card-refused");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux has it");
    let text = fs::read_to_string(&refused).expect("a file").replace(boot.trim(), "the boot before");
    fs::write(&refused, text).expect("a file");
    exhibit.lives_as("ANOTHER", &[]);
}

#[test]
fn a_text_that_cannot_be_used_ends_one_start_and_the_next_has_the_old_one() {
    let long = "I am here. ".repeat(300);
    for (name, content, why) in [
        ("prompt.txt", long.as_str(), "tokens fill the"),
        ("receipt.txt", "{thought}", "receipt template"),
        ("prompt.txt", "", "it is empty"),
        ("epitaph.txt", "\u{1b}[2J", "epitaph"),
        ("voice.gguf", "no voice", "voice.gguf"),
    ] {
        let mut exhibit = Exhibit::new();
        exhibit.write("settings.txt", "title = THE CARD\n").lives_as("THE CARD", &[]);
        exhibit.write(name, content);
        let (ended, _) = exhibit.start(&[]);
        ended.failed(1, &[why]);
        let (ended, paper) = exhibit.lives_as("THE CARD", &[]);
        assert!(ended.stderr.contains(why) && paper.contains("the card"), "{name}: {} {paper}", ended.stderr);
        fs::remove_file(exhibit.card(name)).expect("mended");
        let (ended, _) = exhibit.lives_as("THE CARD", &[]);
        assert!(!ended.stderr.contains(name), "{}", ended.stderr);
    }
}

#[test]
fn a_download_that_fails_is_no_fault_of_the_card() {
    let mut exhibit = Exhibit::new();
    exhibit.write("settings.txt", "title = THE CARD\n");
    let (ended, _) = exhibit.start(&["--model", "https://no/mind.gguf"]);
    ended.failed(1, &["cannot download"]);
    exhibit.lives_as("THE CARD", &[]);
}

#[test]
fn a_voice_that_is_too_long_to_be_kept_is_told() {
    let mut exhibit = Exhibit::new();
    exhibit.write("settings.txt", "title = THE CARD\n").lives_as("THE CARD", &[]);
    exhibit.write("voice.gguf", "");
    let file = fs::File::options().write(true).open(exhibit.card("voice.gguf")).expect("a file");
    file.set_len(50_000_000).expect("a sparse file");
    let (ended, _) = exhibit.lives_as("THE CARD", &[]);
    assert!(ended.stderr.contains("voice.gguf is longer than 40 MB"), "{}", ended.stderr);
}

#[test]
fn a_card_that_is_missing_leaves_what_was_set_before() {
    let mut exhibit = Exhibit::new();
    exhibit.write("settings.txt", "title = THE CARD\n").lives_as("THE CARD", &[]);
    fs::remove_dir_all(exhibit.nexus.path("card")).expect("removed");
    let (ended, _) = exhibit.lives_as("THE CARD", &[]);
    assert!(ended.stderr.contains("there is no folder"), "{}", ended.stderr);
}

#[test]
fn a_model_on_the_card_counts_and_one_that_cannot_be_used_ends_one_start() {
    let mut exhibit = Exhibit::new();
    let start = |exhibit: &Exhibit| {
        let (ended, _) = exhibit.start(&[]);
        let lives = fs::read_to_string(exhibit.nexus.path("torment-nexus/lives.csv")).unwrap_or_default();
        (ended, lives.lines().last().unwrap_or_default().to_owned())
    };
    exhibit.write("model.gguf", "no model");
    let (ended, _) = start(&exhibit);
    assert!(ended.code == Some(1) && ended.stderr.contains("model.gguf"), "{}", ended.stderr);
    let (ended, life) = start(&exhibit);
    ended.died();
    assert!(ended.stderr.contains("model.gguf") && life.contains(",ember,"), "{} {life}", ended.stderr);
    exhibit.write("model.gguf", ember_gguf());
    for wrong in [false, true] {
        // What is wrong beside it takes nothing away from the model.
        if wrong {
            exhibit.write("settings.txt", "title\n");
        }
        let (ended, life) = start(&exhibit);
        ended.died();
        assert!(life.contains("/card/model.gguf"), "{} {life}", ended.stderr);
        assert_eq!(ended.stderr.contains("settings.txt, line 1"), wrong, "{}", ended.stderr);
    }
}

#[test]
fn a_model_that_ends_the_program_without_a_word_is_refused_after_three_starts() {
    let mut exhibit = Exhibit::new();
    exhibit.write("settings.txt", "title = THE CARD\n").lives_as("THE CARD", &[]);
    exhibit.write("model.gguf", replace(ember_gguf(), b"\x04\0\0\0\0\0\0\0gpt2", b"\x04\0\0\0\0\0\0\0none"));
    for _ in 0..3 {
        exhibit.start(&[]).0.failed(1, &["llama.cpp cannot go on with model"]);
    }
    for first in [true, false] {
        let (ended, paper) = exhibit.lives_as("THE CARD", &[]);
        assert!(ended.stderr.contains("cut off three times"), "{}", ended.stderr);
        assert_eq!(paper.contains("first of all a model or a voice"), first, "{paper}");
    }
    exhibit.write("model.gguf", ember_gguf());
    let (ended, _) = exhibit.lives_as("THE CARD", &[]);
    assert!(!ended.stderr.contains("cut off"), "{}", ended.stderr);
    assert!(!exhibit.nexus.path("torment-nexus/card-tried").exists(), "it was armed");
}
