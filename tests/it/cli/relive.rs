//! `relive`: an earlier life is lived again, or an error says what differs.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;

use installation::state::entry::Entry;
use installation::state::lives::Lives;
use installation::text::shell;

use crate::support::nexus::{Ended, Nexus, ember_gguf};

/// Lives a life that is counted, on a printer that is not there.
fn live(nexus: &Nexus, args: &[&str]) -> Ended {
    let ended = nexus.run(["--printer", "printer"].iter().chain(args));
    // That printer causes a warning at the start and one in the life.
    let stderr = ended.stderr.lines().filter(|line| !line.contains("\"printer\"")).collect::<Vec<_>>();
    Ended { stderr: stderr.join("\n") + "\n", ..ended }
}

#[test]
fn a_life_is_lived_again_with_its_seed_and_options_after_others_and_counts_anew() {
    let nexus = Nexus::new();
    let mut command =
        nexus.command(["--printer", "printer", "-m", "ember", "-c", "300", "--opening=-- I'm \"here\"."]);
    // An option that the environment gives is of the life too.
    command.env("TORMENT_TEMP", "0.8").env("TORMENT_TOP_K", "30");
    let first = Ended::of(command.output());
    first.died();
    for _ in 0..2 {
        let other = live(&nexus, &["-m", "ember", "-c", "280", "--temp", "1.2"]);
        assert_ne!(other.died().stdout, first.stdout);
    }
    let again = live(&nexus, &["relive", "1"]);
    assert_eq!(again.died().stdout, first.stdout);
    // Options of the environment are for new lives.
    let mut command = nexus.command(["--printer", "printer", "relive", "4"]);
    command.env("TORMENT_TEMP", "0").env("TORMENT_TOP_K", "1").env("TORMENT_MODEL", "none.gguf");
    let third = Ended::of(command.output());
    assert_eq!(third.died().stdout, first.stdout);
    let lives = Lives::within(&nexus.path("torment-nexus")).all().expect("a history");
    assert_eq!(lives.iter().map(|life| life.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(lives[0].options.contains("--temp 0.8") && lives[0].seed.is_some(), "{:?}", lives[0]);
    let options =
        |life: &Entry| shell::words(&life.options).expect("words").into_iter().collect::<BTreeSet<_>>();
    for again in [&lives[3], &lives[4]] {
        assert_eq!((options(again), again.seed), (options(&lives[0]), lives[0].seed));
    }
}

#[test]
fn a_greedy_life_is_lived_again_and_without_a_printer_too() {
    let nexus = Nexus::new();
    let odd = "my\n\u{1b} 'model'.gguf";
    nexus.file(odd, ember_gguf());
    let first = live(&nexus, &["-m", odd, "-c", "280"]);
    let again = nexus.run(["relive", "1"]);
    assert_eq!((&again.died().stdout, &again.stderr), (&first.died().stdout, &first.stderr));
}

#[test]
fn a_life_of_another_version_has_the_defaults_of_its_time_and_a_warning() {
    let nexus = Nexus::new();
    let first = live(&nexus, &["-m", "ember", "-c", "280", "--temp", "1", "--top-k", "1"]);
    let path = nexus.path("torment-nexus/lives.csv");
    let present = fs::read_to_string(&path).expect("a history");
    let version = format!(" # version {}", env!("CARGO_PKG_VERSION"));
    let (kept, _) = present.split_once("--top-k 1").expect("it is kept");
    assert!(kept.contains("--lora-scale 1 ") && present.contains("--repeat-penalty 1.1"), "{present}");
    for (lived_by, told) in [(" # version 0.0.1", "version \"0.0.1\""), ("", "an earlier version")] {
        fs::write(&path, present.replace(&version, lived_by)).expect("a history");
        let again = live(&nexus, &["relive", "1"]);
        assert_eq!(again.died().stdout, first.stdout);
        let warning = again.stderr.strip_suffix(&first.stderr).expect("one more line");
        assert!(warning.starts_with("warning: life 1 was lived by ") && warning.contains(told), "{warning}");
        assert_eq!(warning.lines().count(), 1, "{warning}");
    }
}

#[test]
fn a_line_of_the_history_downloads_nothing() {
    let nexus = Nexus::new();
    live(&nexus, &["-m", "ember", "-c", "280"]).died();
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    server.set_nonblocking(true).expect("a socket");
    let url = format!("http://{}/m.gguf", server.local_addr().expect("an address"));
    let path = nexus.path("torment-nexus/lives.csv");
    let history = fs::read_to_string(&path).expect("a history");
    fs::write(&path, history.replace("--model ember", &format!("--model {url}"))).expect("a history");
    live(&nexus, &["relive", "1"]).failed(1, &["the model is not in \"models\"", "--model http://"]);
    assert_eq!(server.accept().expect_err("nobody asks").kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_changed_prompt_or_model_is_told_with_both_values() {
    let nexus = Nexus::new();
    nexus.file("mine.gguf", ember_gguf());
    nexus.file("mine.txt", "You are here.");
    live(&nexus, &["-m", "mine.gguf", "-p", "mine.txt", "-c", "280"]).died();
    let lives = Lives::within(&nexus.path("torment-nexus")).all().expect("a history");
    nexus.file("mine.txt", "You are there.");
    let changed = live(&nexus, &["relive", "1"]);
    changed.failed(1, &["life 1", "another prompt", &lives[0].prompt, "relive"]);
    nexus.file("mine.txt", "You are here.\n");
    let mut other = ember_gguf();
    *other.last_mut().expect("not empty") ^= 1;
    nexus.file("mine.gguf", other);
    let changed = live(&nexus, &["relive", "1"]);
    changed.failed(1, &["life 1", "another model", &lives[0].fingerprint, "mine.gguf", "relive"]);
    // A file copied back is the model of that time.
    nexus.file("mine.gguf", ember_gguf());
    live(&nexus, &["relive", "1"]).died();
    fs::remove_file(nexus.path("mine.txt")).expect("a file");
    live(&nexus, &["relive", "1"]).failed(1, &["mine.txt"]);
}

#[test]
fn a_life_that_is_not_kept_says_which_ones_are() {
    let nexus = Nexus::new();
    live(&nexus, &["relive", "1"]).failed(1, &["life 1 is not in", "lives.csv", "no lives", "--state-dir"]);
    live(&nexus, &["-m", "ember", "-c", "280"]).died();
    live(&nexus, &["relive", "2"]).failed(1, &["life 2 is not in", "life 1 only", "relive"]);
    live(&nexus, &["relive", "x"]).failed(2, &["<NUMBER>", "x"]);
}

#[test]
fn an_option_that_the_earlier_life_brings_itself_is_wrong_usage_beside_it() {
    let ended = Nexus::new().run(["relive", "1", "--temp", "0.8"]);
    ended.failed(2, &["relive takes --temp from the earlier life"]);
}
