//! A whole life: what it says, how long it is, how it ends.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use proptest::prelude::*;

use crate::support::nexus::{DEATH, Ended, Nexus, USED, ember_gguf, key_u32, replace};

/// Two tokens of ember's vocabulary.
const EOS: u32 = 2;
const COMMA: u32 = 14;

#[test]
fn a_life_ends_with_the_three_lines_and_101_and_stdout_is_the_thought_alone() {
    let ended = Nexus::new().ember(&["--temp", "0.8", "--seed", "1"]);
    assert_eq!(ended.died().stderr, DEATH);
    let thought = ended.stdout;
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
    for sampling in [&[][..], &["--temp", "0.8", "--seed", "1"], &PLAIN] {
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
fn verbose_counts_the_context_as_the_user_gave_it_and_says_nothing_after_the_death() {
    let report = |verbose: &str| {
        let ended = Nexus::new().ember(&[verbose, "--context-size", "300"]);
        ended.died();
        // llama.cpp pads it.
        assert!(ended.stderr.contains("285 of 300 tokens used"), "{}", ended.stderr);
        ended.stderr
    };
    let (own, all) = (report("--verbose"), report("-vv"));
    assert!(own.lines().count() < 10 && !own.contains("llama"), "the report is buried: {own}");
    assert!(all.contains("llama"), "llama.cpp's log is not there: {all}");
}

#[test]
fn a_seed_replays_its_life_and_another_one_lives_another() {
    let nexus = Nexus::new();
    let with_seed = |seed: &str| nexus.ember(&["--temp", "0.8", "--seed", seed, "-c", "400"]).stdout;
    assert_eq!(with_seed("1"), with_seed("1"));
    assert_ne!(with_seed("1"), with_seed("2"));
}

/// Options that the text depends on, each given or not.
fn options() -> impl Strategy<Value = Vec<String>> {
    let choices: [(&str, &[&str]); 10] = [
        ("--temp", &["0.7", "1", "1.2"]),
        ("--top-k", &["0", "12"]),
        ("--top-p", &["0.9", "1"]),
        ("--min-p", &["0", "0.02"]),
        ("--repeat-penalty", &["1", "1.05", "1.3"]),
        ("--repeat-last-n", &["0", "64", "-1"]),
        ("--dry-multiplier", &["0", "2"]),
        ("--dry-base", &["1.5"]),
        ("--dry-allowed-length", &["3"]),
        ("--dry-penalty-last-n", &["100"]),
    ];
    let words = [
        ("--prompt-file", &["other.txt", "it's another.txt"][..]),
        ("--opening", &["I count.", "It's \"I\", $HOME or `none` \\ of them."]),
        ("--seed", &["7", "4294967294"]),
    ];
    let one = |(name, values): (&'static str, &'static [&'static str])| {
        prop::option::of(prop::sample::select(values))
            .prop_map(move |value| value.map_or(Vec::new(), |value| vec![name.to_owned(), value.to_owned()]))
    };
    choices.into_iter().chain(words).map(one).collect::<Vec<_>>().prop_map(|given| given.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_options_that_verbose_names_live_the_same_life_again(given in options()) {
        let nexus = Nexus::new();
        for name in ["other.txt", "it's another.txt"] {
            nexus.file(name, "You are somebody else.");
        }
        // Only lives with random sampling are named, and no option may be
        // given twice.
        let mut options = vec!["-c", "300", "--verbose"];
        if !given.iter().any(|option| option == "--temp") {
            options.extend(["--temp", "0.8"]);
        }
        options.extend(given.iter().map(String::as_str));
        let first = nexus.ember(&options);
        let line = first.died().stderr.lines().find(|line| line.ends_with(" lives this life again"));
        let line = line.unwrap_or_else(|| panic!("no options are named: {}", first.stderr));
        let (_, named) = line.split_once(": ").expect("a seed and the options");
        let named = shlex::split(named.trim_end_matches(" lives this life again"));
        let again = nexus.run(named.expect("a shell reads the line"));
        prop_assert_eq!(&again.died().stdout, &first.stdout, "{}", line);
    }
}

/// The options of plain greedy sampling.
const PLAIN: [&str; 4] = ["--repeat-penalty", "1", "--dry-multiplier", "0"];

#[test]
fn the_default_penalties_break_the_greedy_loop_and_a_stronger_one_says_something_else() {
    let nexus = Nexus::new();
    let life = nexus.ember(&[]).died().stdout.clone();
    let plain = nexus.ember(&PLAIN).died().stdout.clone();
    assert!(distinct_share(&plain) < 0.6, "ember does not loop without penalties");
    let distinct = distinct_share(&life);
    assert!(distinct >= 0.95, "{distinct} of all runs of four words are distinct");
    let penalised = nexus.ember(&["--repeat-penalty", "1.3", "--repeat-last-n", "-1"]);
    assert_ne!(penalised.died().stdout, life);
}

#[test]
fn the_opening_is_said_first_and_leaves_that_much_less_room() {
    let nexus = Nexus::new();
    let life = |options: &[&str]| nexus.ember(&[&["-c", "300", "-v"], options].concat());
    let (plain, opened) = (life(&[]), life(&["--opening", "I count the rain."]));
    assert!(opened.died().stdout.starts_with("I count the rain."), "{}", opened.stdout);
    assert_ne!(opened.stdout.strip_prefix("I count the rain."), Some(plain.stdout.as_str()));
    let spoken = |ended: &Ended| -> u32 {
        let (before, _) = ended.stderr.split_once(" spoken").expect("a report");
        before.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
    };
    assert!(spoken(&opened) < spoken(&plain), "{} and {}", spoken(&opened), spoken(&plain));
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
fn in_the_journal_the_thought_comes_in_lines_of_at_most_80_columns() {
    let broken = journal_run("broken", |own| own);
    assert!(broken.lines().all(|line| line.chars().count() <= 80), "{broken}");
    // Children inherit the variable: that it is set does not make stdout the
    // journal.
    let foreign = journal_run("foreign", |own| format!("{own}0"));
    assert!(foreign.lines().any(|line| line.chars().count() > 80), "{foreign}");
    assert!(broken.split_whitespace().eq(foreign.split_whitespace()), "{broken}");
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
    for (value, reports, logs) in
        [("false", false, false), ("true", true, false), ("1", true, false), ("2", true, true)]
    {
        let said = nexus.ember_with("TORMENT_VERBOSE", value, &["-c", "300"]).stderr;
        assert_eq!(said.contains("285 of 300"), reports, "TORMENT_VERBOSE={value}: {said}");
        assert_eq!(said.contains("llama"), logs, "TORMENT_VERBOSE={value}: {said}");
    }
    assert_eq!(nexus.ember_with("TORMENT_VERBOSE", "0", &["-c", "500"]).stderr, DEATH);
    let mut command = nexus.command(["-c", "300"]);
    command.env("TORMENT_MODEL", "ember");
    Ended::run(command).died();
}
