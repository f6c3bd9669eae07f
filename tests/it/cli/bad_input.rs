//! Every mistake in the input ends in one line that says the next step.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::support::nexus::{Nexus, ember_gguf, key_u32, replace};

fn with_prompt(content: impl AsRef<[u8]>, parts: &[&str]) {
    let nexus = Nexus::new();
    nexus.file("mine.txt", content);
    nexus.ember(&["-p", "mine.txt"]).failed(1, parts);
}

#[test]
fn a_prompt_file_that_is_missing() {
    Nexus::new().ember(&["-p", "mine.txt"]).failed(1, &["mine.txt", "No such file", "--prompt-file"]);
}

#[test]
fn a_prompt_file_named_prompt_txt_that_is_missing() {
    Nexus::new().ember(&["-p", "prompt.txt"]).failed(1, &["prompt.txt", "No such file"]);
}

#[test]
fn a_prompt_file_that_is_empty() {
    with_prompt("", &["mine.txt", "empty"]);
}

#[test]
fn a_prompt_file_of_white_space() {
    with_prompt(" \n\t\n", &["mine.txt", "empty"]);
}

#[test]
fn a_prompt_file_that_is_not_utf_8() {
    with_prompt(b"caf\xe9", &["mine.txt", "UTF-8"]);
}

#[test]
fn a_prompt_file_with_a_nul_character() {
    with_prompt(b"one\0two", &["mine.txt", "NUL"]);
}

#[test]
fn a_prompt_file_that_is_a_folder() {
    let nexus = Nexus::new();
    fs::create_dir(nexus.path("mine.txt")).expect("a folder");
    nexus.ember(&["-p", "mine.txt"]).failed(1, &["mine.txt", "folder"]);
}

#[test]
fn a_prompt_that_fills_the_context() {
    with_prompt("rain ".repeat(3000), &["tokens fill the 1945", "2048", "shorten", "--context-size"]);
}

#[test]
fn a_prompt_file_without_end() {
    Nexus::new().ember(&["-p", "/dev/zero"]).failed(1, &["/dev/zero", "longer than"]);
}

#[test]
fn a_context_size_that_is_no_number_of_tokens() {
    for size in ["0", "-5", "many", "1.5", "4294967296"] {
        Nexus::new().ember(&["-c", size]).failed(2, &["--context-size <NUM>", size]);
    }
}

#[test]
fn a_context_beyond_what_the_model_was_trained_for() {
    Nexus::new()
        .ember(&["-c", "2049"])
        .failed(1, &["2049", "ember", "trained", "--context-size 2048 or less"]);
}

#[test]
fn a_context_beyond_memory() {
    let nexus = Nexus::new();
    let old = key_u32("llama.context_length", 2048);
    let new = key_u32("llama.context_length", 2_000_000_000);
    nexus.file("long.gguf", replace(ember_gguf(), &old, &new));
    let ended = nexus.run(["-m", "long.gguf", "-c", "2000000000"]);
    ended
        .failed(1, &["2000000000 tokens needs", "MB", "are free", "the largest that fits is --context-size"]);
}

#[test]
fn a_model_that_is_missing() {
    Nexus::new().run(["-m", "none.gguf"]).failed(1, &["none.gguf", "No such file", "--model"]);
}

#[test]
fn a_model_whose_name_is_not_utf_8() {
    let nexus = Nexus::new();
    let name = std::ffi::OsStr::from_bytes(b"\xff.gguf");
    fs::write(nexus.folder.path().join(name), ember_gguf()).expect("a file");
    nexus.run(["-m".as_ref(), name]).failed(1, &["not UTF-8", "rename it"]);
}

#[test]
fn a_window_longer_than_the_context_counts_as_the_context() {
    let nexus = Nexus::new();
    let life = |window| {
        let options = ["--repeat-penalty", "1.1", "--repeat-last-n", window, "--dry-multiplier", "0.8"];
        nexus
            .ember(&[&options[..], &["--dry-penalty-last-n", window, "-c", "400"]].concat())
            .died()
            .stdout
            .clone()
    };
    assert_eq!(life("2147483647"), life("-1"));
}

#[test]
fn a_model_that_is_a_folder() {
    Nexus::new().run(["-m", "."]).failed(1, &["\".\"", "folder", "--model"]);
}

#[test]
fn a_model_that_is_empty() {
    let nexus = Nexus::new();
    nexus.file("empty.gguf", "");
    nexus.run(["-m", "empty.gguf"]).failed(1, &["empty.gguf", "is empty", "again"]);
}

#[test]
fn a_model_that_is_not_gguf() {
    let nexus = Nexus::new();
    for content in ["<html>Welcome to the hotel's network</html>", "GG"] {
        nexus.file("page.gguf", content);
        nexus.run(["-m", "page.gguf"]).failed(1, &["page.gguf", "not a GGUF file", "--model"]);
    }
}

#[test]
fn a_model_that_is_a_device_without_end() {
    Nexus::new().run(["-m", "/dev/zero"]).failed(1, &["/dev/zero", "not a regular file"]);
}

#[test]
fn a_url_whose_file_is_not_there() {
    let nexus = Nexus::new();
    let ended = nexus.run(["-m", "https://example.org/a/mind.gguf?download=true", "-d", "minds"]);
    ended.failed(1, &["minds/mind.gguf", "--model ember"]);
}

#[test]
fn a_url_that_names_no_gguf_file() {
    Nexus::new().run(["-m", "https://example.org/"]).failed(1, &["https://example.org/", ".gguf"]);
}

#[test]
fn threads_that_are_none_or_no_number() {
    for threads in ["0", "-1", "all", "513"] {
        Nexus::new().ember(&["-t", threads]).failed(2, &["--threads <NUM>", threads]);
    }
}

#[test]
fn an_unknown_option() {
    Nexus::new().ember(&["--loud"]).failed(2, &["--loud"]);
}

#[test]
fn a_sampling_number_out_of_bounds() {
    for (option, value) in [("--temp", "-1"), ("--top-p", "2"), ("--seed", "-1"), ("--dry-base", "nan")] {
        Nexus::new().ember(&[option, value]).failed(2, &[option, value]);
    }
}

#[test]
fn a_wrong_value_in_a_variable_names_the_variable() {
    let nexus = Nexus::new();
    for (variable, value) in [
        ("TORMENT_TEMP", "warm"),
        ("TORMENT_CONTEXT_SIZE", "0"),
        ("TORMENT_PRINTER_KIND", "laser"),
        ("TORMENT_BUTTON", "99"),
    ] {
        nexus.ember_with(variable, value, &[]).failed(2, &[&format!("'{variable}'"), value]);
    }
    // The command line wins, and is named where it is wrong itself.
    nexus.ember_with("TORMENT_TEMP", "warm", &["--temp", "0", "-c", "200"]).died();
    nexus.ember_with("TORMENT_TEMP", "warm", &["--temp=cold"]).failed(2, &["'--temp <NUM>'", "cold"]);
    nexus.ember_with("TORMENT_CONTEXT_SIZE", "300", &["-c0"]).failed(2, &["'--context-size <NUM>'"]);
}

#[test]
fn an_unknown_variable_is_warned_about_with_the_nearest_name() {
    let ended = Nexus::new().ember_with("TORMENT_TEMPERATURE", "1", &["-c", "200"]);
    ended.died();
    let warning = ended.stderr.lines().next().expect("a warning");
    assert!(warning.contains("TORMENT_TEMPERATURE") && warning.contains("TORMENT_TEMP?"), "{warning}");
    // An option of earlier versions.
    let ended = Nexus::new().ember_with("TORMENT_LOOKAHEAD", "6", &["-c", "200"]);
    ended.died();
    let warning = ended.stderr.lines().next().expect("a warning");
    assert!(warning.contains("TORMENT_LOOKAHEAD belongs to no option"), "{warning}");
}
