//! Words that are never said (`--never`): on a model that says them.

use crate::support::nexus::{Ended, Nexus};

const SHORT: [&str; 4] = ["-c", "500", "--seed", "1"];

fn words(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphabetic()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn life(nexus: &Nexus, temp: &str, list: Option<&str>) -> Ended {
    let never = list.map(|list| {
        nexus.file("never.txt", list);
        ["--never", "never.txt"]
    });
    let args = [&SHORT[..], &["--temp", temp], never.as_ref().map_or(&[], |never| &never[..])].concat();
    let ended = nexus.ember(&args);
    ended.died();
    ended
}

#[test]
fn no_listed_word_is_said_and_the_life_is_as_long_and_always_the_same() {
    let nexus = Nexus::new();
    for temp in ["0", "0.8"] {
        let free = life(&nexus, temp, None);
        let mut listed = words(&free.stdout);
        listed.sort();
        listed.dedup();
        // Every third word that it says.
        let list: Vec<_> = listed.iter().step_by(3).cloned().collect();
        let kept = life(&nexus, temp, Some(&list.join("\n")));
        let said = words(&kept.stdout);
        assert!(list.iter().all(|word| !said.contains(word)), "{list:?} in {}", kept.stdout);
        assert!(said.len() > 150, "{}", kept.stdout);
        assert_eq!(life(&nexus, temp, Some(&list.join("\n"))).stdout, kept.stdout);
    }
}

#[test]
fn a_list_that_does_not_occur_changes_no_letter() {
    let nexus = Nexus::new();
    for temp in ["0", "0.8"] {
        let free = life(&nexus, temp, None);
        assert_eq!(life(&nexus, temp, Some("turnip*\nan old turnip\n")).stdout, free.stdout);
    }
}

#[test]
fn where_every_word_is_listed_there_are_dashes() {
    let nexus = Nexus::new();
    let list: String = ('a'..='z').map(|letter| format!("{letter}*\n")).collect();
    let kept = life(&nexus, "0", Some(&list));
    assert!(words(&kept.stdout).is_empty(), "{}", kept.stdout);
    assert!(kept.stdout.contains("--"), "{}", kept.stdout);
}

#[test]
fn a_list_that_cannot_be_used_is_one_line() {
    let nexus = Nexus::new();
    nexus.file("never.txt", "fine\nnot, fine\n");
    nexus.ember(&["--never", "never.txt"]).failed(1, &["never.txt", "line 2", "--never"]);
    nexus.ember(&["--never", "nowhere.txt"]).failed(1, &["nowhere.txt", "--never"]);
    nexus.ember(&["--never", "/dev/zero"]).failed(1, &["/dev/zero", "no regular file"]);
}
