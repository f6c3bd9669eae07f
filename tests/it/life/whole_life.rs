//! A whole life: what it says, how long it is, how it ends.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use assert_cmd::Command;

use crate::support::nexus::{DEATH, Ended, LIMIT, Nexus, USED, ember_gguf, key_u32, replace};

/// Two tokens of ember's vocabulary.
const EOS: u32 = 2;
const COMMA: u32 = 14;

#[test]
fn a_life_ends_with_the_three_lines_and_101_and_nothing_else_on_stderr() {
    let ended = Nexus::new().ember(&[]);
    assert_eq!(ended.died().stderr, DEATH);
}

#[test]
fn stdout_is_the_thought_alone_and_ends_with_a_newline() {
    let thought = Nexus::new().ember(&["--temp", "0.8", "--seed", "1"]).stdout;
    assert!(thought.split_whitespace().count() > 500, "{thought}");
    assert!(thought.ends_with('\n'));
    for stranger in ["<|", "|>", "im_start", "You are a mind in a small box", "WARNING"] {
        assert!(!thought.contains(stranger), "{stranger:?} is in {thought}");
    }
}

#[test]
fn a_token_that_ends_the_generation_is_never_chosen() {
    // Ember with the comma as its end-of-sequence token: it may neither stop
    // there nor write a comma, which it otherwise writes often.
    let nexus = Nexus::new();
    let comma = replace(
        ember_gguf(),
        &key_u32("tokenizer.ggml.eos_token_id", EOS),
        &key_u32("tokenizer.ggml.eos_token_id", COMMA),
    );
    nexus.file("comma.gguf", comma);
    for sampling in [&[][..], &["--temp", "0.8", "--seed", "1"], &["--dry-multiplier", "0.8"]] {
        let thought = |model: &str| {
            let ended = nexus.run(["-c", "600", "-m", model].iter().chain(sampling));
            ended.died().stdout.clone()
        };
        assert!(thought("ember").contains(','), "ember does not love commas");
        assert!(!thought("comma.gguf").contains(','), "the end was chosen with {sampling:?}");
    }
}

#[test]
fn the_greedy_life_is_always_the_same_and_uses_1945_tokens() {
    let nexus = Nexus::new();
    let lives = [nexus.ember(&["--verbose"]), nexus.ember(&["--verbose", "--threads", "2"])];
    for life in &lives {
        assert!(life.died().stderr.contains(USED), "{}", life.stderr);
    }
    assert_eq!(lives[0].stdout, lives[1].stdout, "the text depends on the run or on the threads");
}

#[test]
fn nothing_follows_the_death_even_when_verbose() {
    let ended = Nexus::new().ember(&["--verbose", "--context-size", "300"]);
    ended.died();
    assert!(ended.stderr.contains("llama"), "llama.cpp's log is not there: {}", ended.stderr);
}

#[test]
fn a_seed_replays_its_life_and_another_one_lives_another() {
    let nexus = Nexus::new();
    let with_seed = |seed: &str| nexus.ember(&["--temp", "0.8", "--seed", seed, "-c", "400"]).stdout;
    assert_eq!(with_seed("1"), with_seed("1"));
    assert_ne!(with_seed("1"), with_seed("2"));
}

#[test]
fn a_random_seed_is_told_and_replays_its_life() {
    let nexus = Nexus::new();
    let first = nexus.ember(&["--temp", "0.8", "-c", "400", "--verbose"]);
    let seed = first.stderr.split("--seed ").nth(1).and_then(|rest| rest.split(' ').next());
    let seed = seed.expect("--verbose says the seed");
    let again = nexus.ember(&["--temp", "0.8", "-c", "400", "--seed", seed]);
    assert_eq!(first.stdout, again.stdout);
}

#[test]
fn the_options_that_verbose_names_live_the_same_life_again() {
    let nexus = Nexus::new();
    nexus.file("other.txt", "You are somebody else.");
    for options in [
        &["--temp", "0.8", "--dry-multiplier", "0.8"][..],
        &["--temp", "1.2", "--top-k", "0", "--top-p", "0.9", "--min-p", "0.02"],
        &["--temp", "0.7", "--repeat-penalty", "1.1", "--repeat-last-n", "256", "-p", "other.txt"],
        &["--temp", "0.9", "--dry-multiplier", "1.5", "--dry-base", "1.5", "--dry-allowed-length", "3"],
        &["--temp", "1", "--dry-multiplier", "2", "--dry-penalty-last-n", "100", "--seed", "7"],
    ] {
        let first = nexus.ember(&[&["-c", "500", "--verbose"], options].concat());
        let line = first.died().stderr.lines().find(|line| line.ends_with(" lives this life again"));
        let line = line.unwrap_or_else(|| panic!("no options are named: {}", first.stderr));
        let (_, named) = line.split_once(": ").expect("a seed and the options");
        let named: Vec<_> = named.trim_end_matches(" lives this life again").split(' ').collect();
        let again = nexus.run(&named);
        assert_eq!(again.died().stdout, first.stdout, "{line}");
    }
}

#[test]
fn dry_breaks_the_greedy_loop_and_stays_deterministic() {
    let nexus = Nexus::new();
    let plain = nexus.ember(&[]).stdout;
    let dry = nexus.ember(&["--dry-multiplier", "0.8"]).stdout;
    assert_eq!(dry, nexus.ember(&["--dry-multiplier", "0.8"]).stdout);
    assert!(distinct_share(&dry) > distinct_share(&plain), "DRY changes nothing");
    assert!(distinct_share(&dry) >= 0.6, "DRY leaves {} distinct", distinct_share(&dry));
}

/// The distinct ones among all runs of four words, as a share.
fn distinct_share(text: &str) -> f64 {
    let words: Vec<_> = text.split_whitespace().collect();
    let mut runs: Vec<_> = words.windows(4).collect();
    let all = runs.len() as f64;
    runs.sort_unstable();
    runs.dedup();
    runs.len() as f64 / all
}

#[test]
fn a_repeat_penalty_changes_a_greedy_life() {
    let nexus = Nexus::new();
    let penalised = nexus.ember(&["--repeat-penalty", "1.3", "--repeat-last-n", "-1"]);
    assert_ne!(penalised.died().stdout, nexus.ember(&[]).stdout);
}

#[test]
fn the_context_is_counted_as_the_user_gave_it_not_as_llama_cpp_pads_it() {
    let ended = Nexus::new().ember(&["--context-size", "300", "--verbose"]);
    assert!(ended.died().stderr.contains("285 of 300 tokens used"), "{}", ended.stderr);
}

#[test]
fn in_the_journal_the_thought_comes_in_lines_of_at_most_80_columns() {
    let broken = journal_run("broken", |own| own);
    assert!(broken.lines().all(|line| line.chars().count() <= 80), "{broken}");
    // Children inherit the variable: that it is set does not make stdout the
    // journal.
    let foreign = journal_run("foreign", |own| format!("{own}0"));
    assert!(foreign.lines().any(|line| line.chars().count() > 80), "{foreign}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&broken), words(&foreign));
}

/// Lives with a file as stdout, while `JOURNAL_STREAM` is what `variable` makes
/// of that file's identity; returns the text.
fn journal_run(name: &str, variable: impl Fn(String) -> String) -> String {
    let nexus = Nexus::new();
    let path = nexus.path(name);
    let file = File::create(&path).expect("a file");
    let metadata = file.metadata().expect("a file has metadata");
    let own = format!("{}:{}", metadata.dev(), metadata.ino());
    let mut command = nexus.command(["--model", "ember", "--temp", "0.8", "--seed", "1", "-c", "600"]);
    let status = command.env("JOURNAL_STREAM", variable(own)).stdout(file).stderr(Stdio::null()).status();
    assert_eq!(status.expect("the program starts").code(), Some(101));
    fs::read_to_string(path).expect("valid UTF-8")
}

#[test]
fn a_reader_that_leaves_ends_the_life_silently_with_0() {
    let nexus = Nexus::new();
    let mut command = nexus.command(["--model", "ember"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let ended = Ended::of(child.wait_with_output());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_stdout_that_takes_nothing_is_a_fault_and_not_a_death() {
    let nexus = Nexus::new();
    let full = File::options().write(true).open("/dev/full").expect("Linux has /dev/full");
    let ended = nexus.command(["--model", "ember"]).stdout(full).stderr(Stdio::piped()).spawn();
    let ended = Ended::of(ended.expect("it starts").wait_with_output());
    ended.failed(1, &["stdout", "No space left"]);
}

#[test]
fn a_closed_stderr_does_not_change_the_death() {
    let nexus = Nexus::new();
    // A prompt that causes a warning: printing it must not fail either.
    nexus.file("long.txt", "rain ".repeat(200));
    let mut command = nexus.command(["--model", "ember", "-c", "300", "-p", "long.txt"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(101));
}

#[test]
fn an_option_can_be_a_variable_and_an_empty_one_counts_as_unset() {
    let nexus = Nexus::new();
    let size = |value, args: &[&str]| nexus.ember_with("TORMENT_CONTEXT_SIZE", value, args).stderr;
    assert!(size("300", &["-v"]).contains("285 of 300"));
    assert!(size("300", &["-v", "-c", "400"]).contains("380 of 400"), "the command line wins");
    assert!(size("", &["-v"]).contains("of 2048"));
    assert!(nexus.ember_with("TORMENT_VERBOSE", "1", &["-c", "300"]).stderr.contains("285 of 300"));
    assert_eq!(nexus.ember_with("TORMENT_VERBOSE", "0", &["-c", "500"]).stderr, DEATH);
    let mut command = nexus.command(["-c", "300"]);
    let by_variable = Command::from_std({
        command.env("TORMENT_MODEL", "ember");
        command
    })
    .timeout(LIMIT)
    .output();
    Ended::of(by_variable).died();
}
