//! What the button asks for and answers besides a life, at the wires of an installation
//! that is drawn and a printer on a pseudo-terminal.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use installation::life::link::{self, Message};
use installation::life::status::Status;

use crate::support::fake_printer::{Behaviour, FakePrinter};
use crate::support::nexus::{LIMIT, Nexus, wait};
use crate::support::receipt_reader::Paper;

/// A running piece.
struct Piece {
    process: Child,
    socket: UnixStream,
    heard: Receiver<Message>,
    printer: FakePrinter,
}

impl Piece {
    fn start(nexus: &Nexus, args: &[&str]) -> Self {
        let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Answers);
        let (socket, theirs) = UnixStream::pair().expect("a socket");
        let args =
            ["--model", "ember", "--context-size", "300", "--in-cabinet", "printer"].iter().chain(args);
        let mut command = nexus.command(args);
        command.env("RUNTIME_DIRECTORY", nexus.folder.path());
        let command = command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("it starts");
        let (told, heard) = channel();
        let own = socket.try_clone().expect("a descriptor");
        thread::spawn(move || while link::receive(&own).is_some_and(|message| told.send(message).is_ok()) {});
        let piece = Self { process, socket, heard, printer };
        // The printer takes whatever comes.
        piece.send(&Message::Room(u32::MAX - 1));
        piece
    }

    fn send(&self, message: &Message) {
        link::send(&self.socket, message).expect("it hears");
    }

    /// Waits for a message of which this is true.
    #[track_caller]
    fn hear(&self, what: &str, is_it: impl Fn(&Message) -> bool) {
        let start = Instant::now();
        let next = || self.heard.recv_timeout(LIMIT).ok().filter(|_| start.elapsed() < LIMIT);
        while !is_it(&next().unwrap_or_else(|| panic!("there is never {what}"))) {}
    }

    #[track_caller]
    fn armed(&self) {
        self.hear("an armed piece", |message| matches!(message, Message::Status(Status::Armed { .. })));
    }

    /// Waits until the light is dark for a moment, which it never is while a piece is armed
    /// and nobody holds the button.
    #[track_caller]
    fn dip(&self) {
        self.hear("a dip", |message| matches!(message, Message::Light(light) if *light == 0.0));
    }

    /// Presses the button until a life begins, and returns the paper of the life and of what
    /// was before.
    fn live(mut self) -> Vec<String> {
        let is_life = |message: &Message| matches!(message, Message::Status(Status::Living { .. }));
        wait(
            || "a life",
            LIMIT,
            Duration::from_millis(150),
            || {
                self.send(&Message::Button(false));
                // Longer than a level has to be stable before the press.
                thread::sleep(Duration::from_millis(150));
                self.send(&Message::Button(true));
                self.heard.try_iter().any(|message| is_life(&message)).then_some(())
            },
        );
        self.hear("a death", |message| matches!(message, Message::Status(Status::Dying { .. })));
        assert_eq!(self.process.wait().expect("its end").code(), Some(101));
        Paper::read(&self.printer.stop().bytes()).expect("the printer knows every byte").lines()
    }
}

fn count(lines: &[String], line: &str) -> usize {
    lines.iter().filter(|one| *one == line).count()
}

#[test]
fn a_button_let_go_after_the_first_dip_prints_the_last_receipt_again() {
    let nexus = Nexus::new();
    let piece = Piece::start(&nexus, &[]);
    piece.armed();
    assert_eq!(count(&piece.live(), "life 1"), 1);
    for (most, times) in [("0", 0), ("1", 1)] {
        let piece = Piece::start(&nexus, &["--keep-texts", most]);
        piece.send(&Message::Button(true));
        piece.armed();
        piece.dip();
        piece.send(&Message::Button(false));
        let paper = piece.live();
        assert_eq!(count(&paper, "life 1"), times, "{paper:#?}");
        assert!(paper.iter().any(|line| line.starts_with("life ")), "{paper:#?}");
    }
}

#[test]
fn what_a_stick_offers_is_printed_and_taken_by_a_press_of_three_seconds() {
    let nexus = Nexus::new();
    let folder = nexus.path("stick");
    fs::create_dir(&folder).expect("a folder");
    let args = ["--stick-key", "sesame", "--stick-dir", folder.to_str().expect("text")];
    for (nonce, taken) in [("ab12", true), ("cd34", false)] {
        let offer = format!("take\nnonce {nonce}\nsettings.txt: title = MY NEXUS\nreceipt.txt is too long\n");
        // Before the start, or the piece asks about the offer of the last round first.
        fs::write(folder.join("offer"), offer).expect("an offer");
        let piece = Piece::start(&nexus, &args);
        piece.armed();
        piece.dip();
        // Again if need be: on a busy machine a press may come before the button was seen up.
        let answered = || {
            thread::sleep(Duration::from_millis(300));
            piece.send(&Message::Button(true));
            thread::sleep(Duration::from_millis(if taken { 4000 } else { 500 }));
            piece.send(&Message::Button(false));
            thread::sleep(Duration::from_millis(500));
            fs::read_to_string(nexus.path("answer")).ok().filter(|answer| answer.ends_with(nonce))
        };
        let answer = wait(|| "an answer", LIMIT, Duration::ZERO, answered);
        assert_eq!(answer, format!("{} {nonce}", if taken { "yes" } else { "no" }));
        let paper = piece.live();
        let text = paper.join(" ");
        assert!(text.contains("settings.txt: title = MY NEXUS receipt.txt is too long"), "{text}");
        assert!(text.contains("hold the button for 3 s"), "{text}");
        assert_eq!(text.matches("WARNING").count(), 1, "{text}");
    }
    fs::remove_file(folder.join("offer")).expect("answered");
    fs::write(folder.join("told"), "Taken: settings.txt.\n").expect("a word of the helper");
    // It is not on paper yet.
    nexus.ember(&[&args[..], &["--context-size", "300", "--printer", "absent"]].concat()).died();
    for times in [1, 0] {
        let piece = Piece::start(&nexus, &args);
        piece.armed();
        assert_eq!(count(&piece.live(), "Taken: settings.txt."), times);
    }
}

#[test]
fn a_stick_that_is_pulled_out_while_its_list_waits_leaves_the_button_to_the_visitors() {
    let nexus = Nexus::new();
    let offer = nexus.path("offer");
    let folder = nexus.folder.path().to_str().expect("text");
    let piece = Piece::start(&nexus, &["--stick-key", "sesame", "--stick-dir", folder]);
    piece.armed();
    fs::write(&offer, "take\nnonce ab12\nsettings.txt\n").expect("an offer");
    piece.dip();
    fs::remove_file(&offer).expect("pulled out");
    // An answer would be waited for ten times as long.
    let answer = || fs::read_to_string(nexus.path("answer")).ok();
    let answer = wait(|| "an end of the wait", Duration::from_secs(30), Duration::from_millis(20), answer);
    assert_eq!(answer, "no ab12");
    assert_eq!(count(&piece.live(), "life 1"), 1);
}

#[test]
fn without_a_word_on_the_card_no_stick_is_looked_at() {
    let nexus = Nexus::new();
    fs::write(nexus.file("offer", ""), "take\nnonce ab12\nsettings.txt\n").expect("an offer");
    let folder = nexus.folder.path().to_str().expect("text");
    let piece = Piece::start(&nexus, &["--stick-dir", folder]);
    piece.armed();
    let paper = piece.live();
    assert_eq!(count(&paper, "settings.txt"), 0, "{paper:#?}");
    assert!(!nexus.path("answer").exists());
}
