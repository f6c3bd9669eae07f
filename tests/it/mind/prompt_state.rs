//! The prompt state, kept from one life to the next: a fault of it costs time
//! and changes no word.

use std::fs;
use std::path::Path;

use crate::support::nexus::{DEATH, Ended, Nexus, ember_gguf};

const FILE: &str = "state/prompt-state";
const SHORT: [&str; 4] = ["-c", "400", "--state-dir", "state"];
const COMPUTED: &str = "s of prompt, computed: ";
const RESTORED: &str = "s of prompt, restored from an earlier life";

fn life(nexus: &Nexus, args: &[&str]) -> Ended {
    let ended = nexus.ember(&[&SHORT, args].concat());
    ended.died();
    ended
}

/// Checks that the life decoded its prompt, for a reason that contains `why`.
#[track_caller]
fn computed(ended: &Ended, why: &str) {
    let line = ended.stderr.lines().find(|line| line.starts_with("armed after "));
    let line = line.expect("--verbose says when it is armed");
    assert!(line.contains(COMPUTED) && line.contains(why), "{line}");
}

#[test]
fn the_second_life_restores_the_prompt_and_says_the_same() {
    let nexus = Nexus::new();
    let first = life(&nexus, &["--verbose"]);
    computed(&first, "none is kept yet");
    let second = life(&nexus, &["--verbose"]);
    assert!(second.stderr.contains(RESTORED), "{}", second.stderr);
    assert_eq!(first.stdout, second.stdout);
    let files = fs::read_dir(nexus.path("state")).expect("the state directory").count();
    assert_eq!(files, 1, "something is left aside");
}

#[test]
fn a_file_that_is_cut_short_damaged_or_not_ours_is_made_anew_in_silence() {
    let nexus = Nexus::new();
    let first = life(&nexus, &[]);
    let whole = fs::read(nexus.path(FILE)).expect("the state is kept");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    for (fault, why) in [
        (whole[..whole.len() / 2].to_vec(), "damaged"),
        (whole[..50].to_vec(), "damaged"),
        (Vec::new(), "damaged"),
        ([&whole[..], b"more"].concat(), "damaged"),
        (flipped, "damaged"),
        (vec![b'x'; whole.len()], "another model, prompt, context or version"),
    ] {
        nexus.file(FILE, &fault);
        computed(&life(&nexus, &["--verbose"]), why);
        nexus.file(FILE, &fault);
        let quiet = life(&nexus, &[]);
        assert_eq!((quiet.stderr.as_str(), &quiet.stdout), (DEATH, &first.stdout), "{why}");
        assert!(life(&nexus, &["--verbose"]).stderr.contains(RESTORED), "{why}: it was not made anew");
        assert_eq!(fs::read(nexus.path(FILE)).expect("the state is kept"), whole, "{why}");
    }
}

#[test]
fn the_state_of_another_prompt_context_or_model_is_not_taken() {
    let nexus = Nexus::new();
    life(&nexus, &[]);
    nexus.file("other.txt", "You are somebody else.");
    let other = life(&nexus, &["--verbose", "-p", "other.txt"]);
    computed(&other, "another model, prompt, context or version");
    let wider = nexus.ember(&["-c", "600", "--state-dir", "state", "-p", "other.txt", "--verbose"]);
    computed(&wider, "another model, prompt, context or version");
    let fresh = Nexus::new();
    fresh.file("other.txt", "You are somebody else.");
    assert_eq!(other.stdout, life(&fresh, &["-p", "other.txt"]).stdout);
}

#[test]
fn a_model_replaced_by_another_of_the_same_length_is_not_taken_for_it() {
    let nexus = Nexus::new();
    let of_file = |nexus: &Nexus| {
        let ended = nexus.run([&["--model", "m.gguf", "--verbose"][..], &SHORT].concat());
        ended.died();
        ended
    };
    nexus.file("m.gguf", ember_gguf());
    of_file(&nexus);
    assert!(of_file(&nexus).stderr.contains(RESTORED));
    // The same file with other bytes at its end, in its last tensor.
    let mut changed = ember_gguf();
    let end = changed.len();
    changed[end - 4096..].iter_mut().step_by(2).for_each(|byte| *byte ^= 1);
    nexus.file("m.gguf", &changed);
    let after = of_file(&nexus);
    computed(&after, "another model");
    let fresh = Nexus::new();
    fresh.file("m.gguf", &changed);
    assert_eq!(after.stdout, of_file(&fresh).stdout);
}

#[test]
fn where_nothing_can_be_kept_each_life_computes_the_prompt_and_nobody_is_told() {
    let nexus = Nexus::new();
    nexus.file("file", "");
    let args = ["-c", "400", "--state-dir", "file/state"];
    let quiet = nexus.ember(&args);
    assert_eq!(quiet.died().stderr, DEATH);
    let told = nexus.ember(&[&args[..], &["--verbose"]].concat());
    computed(told.died(), "");
    // A folder where the file belongs: it can be neither read nor replaced.
    let nexus = Nexus::new();
    fs::create_dir_all(nexus.path(FILE).join("x")).expect("a folder");
    let in_the_way = life(&nexus, &[]);
    assert_eq!((in_the_way.stderr.as_str(), &in_the_way.stdout), (DEATH, &quiet.stdout));
    assert!(!Path::new(&nexus.path("state/prompt-state.new")).exists(), "half a file is left");
}
