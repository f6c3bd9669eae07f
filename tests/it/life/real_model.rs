//! Lives of the default model's real weights, which `script/real-model` makes.
//! Where they are missing these tests pass without a life; `script/test` says
//! so.

use std::path::{Path, PathBuf};

use crate::support::exhibition;
use crate::support::fake_printer::{Behaviour, FAST, FakePrinter};
use crate::support::nexus::{DEATH, Ended, Nexus, USED};
use crate::support::receipt_reader::Paper;

/// A context in which the prompt leaves room for some 250 tokens.
const SHORT: [&str; 2] = ["-c", "400"];

/// The weights; `None` where they have not been made.
fn real_model() -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real-model/smollm2-q4_k_m.gguf");
    file.exists().then_some(file)
}

/// What chooses the text of a life.
#[derive(Clone, Copy, Debug)]
enum Text {
    /// The program's defaults.
    Greedy,
    /// The model's own arg-max.
    Plain,
    /// The exhibition's options, with a seed.
    Exhibition,
}

fn life(nexus: &Nexus, model: &Path, text: Text, options: &[&str]) -> Ended {
    let chosen: &[&str] = match text {
        Text::Greedy => &[],
        Text::Plain => &["--repeat-penalty", "1", "--dry-multiplier", "0"],
        Text::Exhibition => &["--seed", "1"],
    };
    let model = ["--model", model.to_str().expect("a path in UTF-8")];
    let mut command = nexus.command([&model, chosen, options].concat());
    if matches!(text, Text::Exhibition) {
        command.envs(exhibition::of_the_text());
    }
    let ended = Ended::run(command);
    ended.died();
    ended
}

/// How often the sentence is said that is said most often.
fn said_most(text: &str) -> usize {
    let mut sentences: Vec<_> = text.split_inclusive(['.', '!', '?']).map(str::trim).collect();
    sentences.retain(|sentence| sentence.contains(' '));
    sentences.sort_unstable();
    sentences.chunk_by(|a, b| a == b).map(<[_]>::len).max().unwrap_or(0)
}

#[test]
fn a_greedy_and_a_random_life_reach_their_death_without_looping() {
    let Some(model) = real_model() else { return };
    let nexus = Nexus::new();
    for text in [Text::Greedy, Text::Exhibition] {
        let ended = life(&nexus, &model, text, &["-v"]);
        assert!(ended.stderr.contains(USED), "{}", ended.stderr);
        assert!(ended.stdout.split_whitespace().count() > 1000, "{}", ended.stdout);
        assert!(said_most(&ended.stdout) <= 3, "a sentence is said too often: {}", ended.stdout);
    }
}

#[test]
fn threads_change_no_word() {
    let Some(model) = real_model() else { return };
    let nexus = Nexus::new();
    for text in [Text::Plain, Text::Exhibition] {
        let said = |options: &[&str]| life(&nexus, &model, text, &[&SHORT, options].concat()).stdout;
        let expected = said(&["--threads", "1"]);
        for threads in ["2", "4"] {
            assert_eq!(said(&["--threads", threads]), expected, "{threads} threads with {text:?}");
        }
    }
}

#[test]
fn a_restored_prompt_lives_the_same_life() {
    let Some(model) = real_model() else { return };
    let nexus = Nexus::new();
    let options = [&SHORT[..], &["-v", "--state-dir", "state"]].concat();
    let lives = [(); 2].map(|()| life(&nexus, &model, Text::Exhibition, &options));
    assert!(lives[0].stderr.contains("s of prompt, computed: none is kept yet"), "{}", lives[0].stderr);
    assert!(lives[1].stderr.contains("s of prompt, restored"), "{}", lives[1].stderr);
    assert_eq!(lives[0].stdout, lives[1].stdout);
}

#[test]
fn its_life_is_printed() {
    let Some(model) = real_model() else { return };
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let ended = life(&nexus, &model, Text::Exhibition, &[&SHORT[..], &FAST].concat());
    assert_eq!(ended.stderr, DEATH);
    let paper = Paper::read(&printer.stop().bytes()).expect("the printer knows every byte");
    let lines = paper.lines();
    let rule = "─".repeat(32);
    let printed = lines.split(|line| *line == rule).nth(1).expect("two rules").join(" ");
    // Paper has fewer characters than stdout, so the words are counted.
    assert_eq!(printed.split_whitespace().count(), ended.stdout.split_whitespace().count());
    assert!(lines.iter().any(|line| line.starts_with("seed")), "{lines:#?}");
}

#[test]
fn it_speaks_with_its_own_voice_wherever_its_file_lies_unless_none_is_asked_for() {
    let Some(model) = real_model() else { return };
    let nexus = Nexus::new();
    let moved = nexus.path("elsewhere.gguf");
    std::fs::hard_link(&model, &moved).or_else(|_| std::fs::copy(&model, &moved).map(drop)).expect("a copy");
    let told = |model: &Path, options: &[&str]| {
        let ended = life(&nexus, model, Text::Greedy, &[&SHORT[..], &["-v"], options].concat());
        (ended.stderr.contains("speaks with its own voice"), ended.stdout)
    };
    let (has_voice, said) = told(&model, &[]);
    assert!(has_voice);
    assert_eq!(told(&moved, &[]), (true, said.clone()));
    let (has_voice, published) = told(&model, &["--lora", "none"]);
    assert!(!has_voice && published != said);
}
