//! `hardware/report` with the real program's record of lives, and with stand-ins for
//! journalctl and for a program that lies: what report.txt says, and what stays untouched.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use assert_cmd::cargo::cargo_bin;

use super::{finds_first, script};
use crate::support::nexus::{Ended, Nexus, is_root};

/// The length that report.txt always has.
const LENGTH: u64 = 20480;

/// The user that owns the state folder where the test may choose one.
const USER: u32 = 12345;

/// A box whose card has a folder.
struct Box(Nexus);

impl Box {
    fn new() -> Box {
        let nexus = Nexus::new();
        // As the service's user the program is to be found.
        fs::set_permissions(nexus.folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        for folder in ["card", "state", "bin"] {
            fs::create_dir(nexus.path(folder)).expect("a folder");
        }
        let a_box = Box(nexus);
        a_box.journal("2026-06-05T10:11:12+0200 torment-nexus[7]: error: the printer is on fire; put it out");
        a_box
    }

    fn journal(&self, line: &str) {
        self.stand_in("journalctl", &format!("echo '{line}'"));
    }

    fn stand_in(&self, name: &str, script: &str) {
        self.0.script(&format!("bin/{name}"), script);
    }

    /// The state folder is the service's from here on.
    fn give_state(&self) {
        if is_root() {
            let own = |path: &std::path::Path| chown(path, Some(USER), Some(USER)).expect("an owner");
            fs::read_dir(self.0.path("state")).expect("it").for_each(|entry| own(&entry.expect("it").path()));
            own(&self.0.path("state"));
        }
    }

    /// After a start of the program that ended so.
    fn report_after(&self, result: &str) -> Ended {
        let at = |name: &str| self.0.path(name).display().to_string();
        let mut command = script("report", "PATIENCE = 5");
        command.args([result, "--card", &at("card"), "--state", &at("state"), "--stamp", &at("stamp")]);
        finds_first(&mut command, &self.0.path("bin"));
        Ended::run(command)
    }

    #[track_caller]
    fn reported_after(&self, result: &str) -> String {
        let ended = self.report_after(result);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
        self.report()
    }

    fn report(&self) -> String {
        fs::read_to_string(self.0.path("card/report.txt")).unwrap_or_default()
    }
}

#[test]
fn a_card_taken_home_tells_of_the_box_its_last_lives_and_the_last_fault() {
    let a_box = Box::new();
    for _ in 0..11 {
        a_box.0.ember(&["--context-size", "200", "--printer", "absent", "--state-dir", "state"]).died();
    }
    fs::copy(cargo_bin!("torment-nexus"), a_box.0.path("bin/torment-nexus")).expect("the program");
    a_box.give_state();
    let report = a_box.reported_after("success");
    assert_eq!(report.len() as u64, LENGTH);
    for expected in [
        "Torment Nexus, 20",
        "ended with: success.",
        "torment-nexus[7]: error: the printer is on fire; put it out",
        "\nlife 11, ",
        "\nlife 2, ",
        " lives",
        "11, and ",
        "temperature",
        "\nEnd of the report of ",
    ] {
        assert!(report.contains(expected), "no {expected:?}: {}", report.trim_end());
    }
    assert!(!report.contains("\nlife 1, "), "the last ten: {}", report.trim_end());
    // Beside a life the model is not loaded again, and its printer is not touched.
    for part in ["memory", "printer    ", "model"] {
        assert!(!report.contains(&format!(" {part}")), "{part}: {}", report.trim_end());
    }
}

#[test]
fn the_newest_life_is_told_in_whatever_script_it_speaks() {
    let a_box = Box::new();
    let (known, words) =
        ("2026-06-05 10:11:12, seed 4294967295, 4294967295 tokens, interrupted", "\u{1f426}".repeat(60));
    let life = format!("test \"$1\" = lives && seq -f 'life 9999999%02g, {known}: {words}' 20");
    a_box.stand_in("torment-nexus", &life);
    let report = a_box.reported_after("success");
    assert!(
        report.contains("\nlife 999999911, ") && report.contains("\nlife 999999920, "),
        "{}",
        report.trim_end()
    );
}

#[test]
fn within_the_hour_only_another_fault_is_written_and_always_over_the_same_file() {
    let a_box = Box::new();
    a_box.stand_in("torment-nexus", "echo \"$*\"; date +%s%N");
    let first = a_box.reported_after("success");
    let inode = || fs::metadata(a_box.0.path("card/report.txt")).expect("it").ino();
    let made = inode();
    assert_eq!(a_box.reported_after("success"), first);
    let second = a_box.reported_after("exit-code");
    assert!(second.contains("ended with: exit-code"), "{second}");
    assert_eq!(a_box.reported_after("exit-code"), second, "the same fault");
    let fault = |words: &str| {
        a_box.journal(&format!("2026-06-05T10:12:12+0200 torment-nexus[8]: error: {words}"));
        a_box.reported_after("exit-code")
    };
    assert!(fault("no paper").contains("error: no paper"), "another one");
    let third = fault("40 MB are free");
    assert!(third.contains("error: 40 MB are free"), "{third}");
    assert_eq!(fault("no paper"), third, "in turn with another");
    assert_eq!(fault("39 MB are free"), third, "the same but for its figure");
    fault("no paper");
    a_box.0.file("stamp", "-3600\nexit-code: error: no paper");
    assert!(a_box.reported_after("success").contains("ended with: success"), "an hour later");
    assert_eq!((inode(), a_box.report().len() as u64), (made, LENGTH));
}

#[test]
fn what_stands_in_the_reports_place_is_left_alone_and_told_in_one_line() {
    let a_box = Box::new();
    a_box.stand_in("torment-nexus", "echo well");
    let path = a_box.0.path("card/report.txt");
    let other = a_box.0.file("other", "x".repeat(LENGTH as usize));
    let told = |what: &str, expected: &str| {
        let _ = fs::remove_file(a_box.0.path("stamp"));
        let ended = a_box.report_after("success");
        assert_eq!(ended.code, Some(1), "{what}");
        let line = ended.error();
        assert!(line.contains(expected) && line.contains("; "), "{what}: {line}");
    };
    symlink(&other, &path).expect("a link");
    told("a link", "symbolic");
    fs::remove_file(&path).expect("it");
    fs::hard_link(&other, &path).expect("a second name");
    told("another file", "no file of its own");
    fs::remove_file(&path).expect("it");
    assert_eq!(fs::read_to_string(&other).expect("it"), "x".repeat(LENGTH as usize));
    fs::create_dir(&path).expect("a folder");
    told("a folder", "directory");
    fs::remove_dir(&path).expect("it");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    told("a pipe", "");
    fs::remove_file(&path).expect("it");
    // A file that was edited, or whose making a power cut ended.
    a_box.0.file("card/report.txt", "a note".repeat(9000));
    let _ = fs::remove_file(a_box.0.path("stamp"));
    assert_eq!(a_box.reported_after("success").len() as u64, LENGTH);
    fs::remove_dir_all(a_box.0.path("card")).expect("it");
    symlink(a_box.0.folder.path(), a_box.0.path("card")).expect("a link");
    told("a link in the folder's place", "irectory");
    fs::remove_file(a_box.0.path("card")).expect("it");
    told("no card", "No such file");
}

#[test]
fn what_a_forged_program_says_is_bounded_cleaned_and_said_without_rights() {
    let a_box = Box::new();
    a_box.give_state();
    a_box.stand_in(
        "torment-nexus",
        "test \"$1\" = lives || { sleep 600 & printf '\\033[2Jred\\007 \\377\\342\\200\\256x\\n'; exec sleep 600; }\n\
         id -u; yes 0123456789",
    );
    let report = a_box.reported_after("watchdog");
    assert_eq!(report.len() as u64, LENGTH);
    assert!(!report.chars().any(|letter| letter.is_control() && letter != '\n'), "{}", report.trim_end());
    assert!(report.contains(" [2Jred  ? x\n"), "a hung program's words: {}", report.trim_end());
    assert!(report.contains("\n0123456789\n0123456789\n"), "{}", report.trim_end());
    assert!(report.trim_end().lines().last().is_some_and(|last| last.starts_with("End of the report")));
    // Whose words they are is asked with words that fit into the last ten lines.
    let _ = fs::remove_file(a_box.0.path("stamp"));
    a_box.stand_in("torment-nexus", "id -u; id -G; echo $STATE_DIRECTORY");
    let report = a_box.reported_after("success");
    if is_root() {
        assert!(report.contains(&format!("\n{USER}\n{USER}")), "{}", report.trim_end());
    }
    assert!(report.contains(&a_box.0.path("state").display().to_string()));
}
