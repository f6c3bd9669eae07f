//! Every mistake in the input ends in one line that says the next step.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use nix::sys::resource::Resource;

use crate::support::nexus::{Ended, Nexus, ember_gguf, key_u32, limit, replace};

#[test]
fn a_prompt_file_that_cannot_be_used() {
    let nexus = Nexus::new();
    fs::create_dir(nexus.path("folder")).expect("a folder");
    nix::unistd::mkfifo(&nexus.path("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a named pipe");
    let long = "rain ".repeat(3000);
    let fills = ["tokens fill the 1945", "2048", "shorten", "--context-size"];
    for (name, content, parts) in [
        ("missing.txt", None, &["missing.txt", "No such file", "--prompt-file"][..]),
        // The default, when it is named.
        ("prompt.txt", None, &["prompt.txt", "No such file"]),
        ("empty.txt", Some(&b""[..]), &["empty.txt", "is empty"]),
        ("white space.txt", Some(b" \n\t\n"), &["white space.txt", "is empty"]),
        ("latin1.txt", Some(b"caf\xe9"), &["latin1.txt", "UTF-8"]),
        ("nul.txt", Some(b"one\0two"), &["nul.txt", "NUL"]),
        ("long.txt", Some(long.as_bytes()), &fills),
        ("folder", None, &["folder", "is a folder"]),
        ("/dev/zero", None, &["/dev/zero", "is a device"]),
        ("pipe", None, &["pipe", "is a pipe"]),
        ("notepad.txt", Some(b"\xff\xfeI\0"), &["notepad.txt", "is UTF-16", "in UTF-8 with --prompt-file"]),
    ] {
        if let Some(content) = content {
            nexus.file(name, content);
        }
        nexus.ember(&["-p", name]).failed(1, parts);
    }
}

#[test]
fn an_option_that_is_unknown_or_out_of_bounds() {
    for (option, value) in [
        ("--context-size", "0"),
        ("--context-size", "-5"),
        ("--context-size", "many"),
        ("--context-size", "1.5"),
        ("--context-size", "4294967296"),
        ("--threads", "0"),
        ("--threads", "-1"),
        ("--threads", "all"),
        ("--threads", "513"),
        ("--temp", "-1"),
        ("--temp", "NaN"),
        ("--temp", "inf"),
        ("--repeat-penalty", "0"),
        ("--dry-penalty-last-n", "-2"),
        ("--top-p", "2"),
        ("--seed", "-1"),
        ("--seed", "4294967295"),
        ("--dry-base", "nan"),
        ("--dry-base", "0.5"),
        ("--open", "10-18"),
        ("--open", "25:00-26:00"),
        ("--open", "10:00-10:00"),
        ("--printer-baud", "9601"),
        ("--printer-baud", "0"),
        ("--printer-columns", "8"),
        ("--printer-line-ms", "-1"),
        ("--printer-heat", "1,2"),
    ] {
        Nexus::new().ember(&[option, value]).failed(2, &[&format!("'{option} <"), value]);
    }
    Nexus::new().ember(&["--loud"]).failed(2, &["--loud"]);
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
fn a_model_that_cannot_be_used() {
    let nexus = Nexus::new();
    nexus.file("empty.gguf", "");
    nexus.file("page.gguf", "<html>Welcome to the hotel's network</html>");
    nexus.file("short.gguf", "GG");
    for (model, parts) in [
        ("none.gguf", &["none.gguf", "No such file", "--model"][..]),
        (".", &["\".\"", "folder", "--model"]),
        ("empty.gguf", &["empty.gguf", "is empty", "again"]),
        ("page.gguf", &["page.gguf", "not a GGUF file", "--model"]),
        ("short.gguf", &["short.gguf", "not a GGUF file", "--model"]),
        ("/dev/zero", &["/dev/zero", "not a regular file"]),
        ("https://example.org/", &["https://example.org/", ".gguf"]),
        ("https://example.org/a/mind.gguf?download=true", &["minds/mind.gguf", "--model ember"]),
    ] {
        nexus.run(["-m", model, "-d", "minds"]).failed(1, parts);
    }
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
fn a_variable_that_is_not_utf_8_is_named_and_a_control_character_reaches_no_terminal() {
    let nexus = Nexus::new();
    let latin1 = std::ffi::OsStr::from_bytes(b"Ged\xe4chtnis");
    let run = |name: &str, value: &std::ffi::OsStr, model: &str| {
        let mut command = nexus.command(["--model", model, "--context-size", "200"]);
        Ended::of(command.env("TORMENT_EPITAPH", latin1).env(name, value).output())
    };
    run("TORMENT_TITLE", latin1, "ember").failed(2, &["TORMENT_TITLE", "not UTF-8"]);
    let strange = run("TORMENT_\x1b[2J", "1".as_ref(), "a\x1b[2J.gguf");
    assert!(strange.stderr.contains(r"TORMENT_\u{1b}[2J belongs to no option"), "{}", strange.stderr);
    let refused = run("TORMENT_TEMP", "\x1b[2J".as_ref(), "ember");
    for ended in [strange, refused] {
        assert!(!ended.stderr.contains('\x1b'), "{:?}", ended.stderr);
    }
}

#[test]
fn a_small_stack_does_not_keep_a_life_from_its_end_and_a_small_file_is_told() {
    let nexus = Nexus::new();
    let limited = |resource, most, stdout: Stdio| {
        let mut command = nexus.command(["--model", "ember", "--context-size", "400"]);
        limit(&mut command, resource, most);
        Ended::of(command.stdout(stdout).output())
    };
    limited(Resource::RLIMIT_STACK, 64 << 10, Stdio::piped()).died();
    let file = fs::File::create(nexus.path("text")).expect("a file");
    limited(Resource::RLIMIT_FSIZE, 200, file.into()).failed(1, &["File too large"]);
}

#[test]
fn an_unknown_variable_is_warned_about_with_the_nearest_name() {
    let ended = Nexus::new().ember_with("TORMENT_TEMPERATURE", "1", &["-c", "200"]);
    ended.died();
    let warning = ended.stderr.lines().next().expect("a warning");
    assert!(warning.contains("TORMENT_TEMPERATURE") && warning.contains("TORMENT_TEMP?"), "{warning}");
}
