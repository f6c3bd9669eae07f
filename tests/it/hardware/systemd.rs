//! The unit under a real systemd, and the program under a supervisor that only
//! listens: armed, alive, hung, killed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use installation::state::lives::Lives;
use installation::text::environment;

use super::heartbeat::answers;
use crate::support::fake_printer::{Behaviour, FakePrinter};
use crate::support::nexus::{Ended, LIMIT, Nexus, wait};
use crate::support::systemd::{Systemd, open_to_all};

/// The number of the life that a status tells of.
fn life(status: &str) -> Option<u64> {
    status.strip_prefix("life ")?.split(' ').next()?.parse().ok()
}

#[test]
fn a_hung_and_a_killed_program_are_restarted_and_no_number_comes_twice() {
    let nexus = Nexus::new();
    let _printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let device = open_to_all(&nexus.path("printer"));
    let curator = answers("204 No Content");
    // A life of some minutes, since the paper is slow.
    let options = format!(
        "TORMENT_MODEL=ember\nTORMENT_THREADS=1\nTORMENT_PRINTER={}\nTORMENT_PRINTER_LINE_MS=1500\nTORMENT_REPORT_TO={}\n",
        device.display(),
        curator.url("/box")
    );
    let Some(systemd) = Systemd::start(&options) else { return };
    // It returns once the piece is armed.
    systemd.systemctl(&["start", "torment-nexus"]).expect("the unit becomes active");
    assert_eq!(systemd.show("ActiveState"), "active");
    let lives = |number: u64| move |status: &str| life(status) == Some(number);
    let status = systemd.wait_for_status("life 1", lives(1));
    assert!(status.ends_with(" %, printing"), "{status}");

    // Longer than the watchdog's two seconds, most of which the life waits for
    // the slow paper: it is fed.
    thread::sleep(Duration::from_secs(5));
    assert_eq!((systemd.show("NRestarts").as_str(), life(&systemd.show("StatusText"))), ("0", Some(1)));

    systemd.kill("SIGSTOP");
    systemd.wait_for_status("the life after the hung one", lives(2));
    assert_eq!(systemd.show("NRestarts"), "1");
    // Written meanwhile, as root with what the program says as the service's user.
    let report = systemd.wait_for_report("End of the report");
    assert!(report.contains("ended with: watchdog") && report.contains("\nlife 1, "), "{report}");
    assert!(report.contains("state        \"/var/lib/torment-nexus\" can be written to"), "{report}");
    systemd.kill("SIGKILL");
    systemd.wait_for_status("the life after the killed one", lives(3));
    assert_eq!((systemd.show("NRestarts").as_str(), systemd.show("ActiveState").as_str()), ("2", "active"));
    let beats = || {
        let bodies =
            curator.requests().into_iter().map(|request| String::from_utf8_lossy(&request.body).into_owned());
        let all: String = bodies.collect();
        let is_told = |what: &str| all.contains(&format!("\"when\": \"{what}\", \"life\": "));
        ["start", "watchdog", "signal"].iter().all(|what| is_told(what)).then_some(())
    };
    wait(|| "the heartbeats", LIMIT, Duration::from_millis(50), beats);
    assert_eq!(systemd.systemctl(&["is-active", "torment-nexus-heartbeat.timer"]).as_deref(), Some("active"));
    systemd.systemctl(&["stop", "torment-nexus"]).expect("the unit stops");
}

/// Values as people write them, and what a shell makes of them otherwise than systemd.
const WRITTEN: &str = "\
A=Bob's\nB=#*\nC= spaced out \t\nD = \"two  words\" \nE='single \"quoted\"'\nF=one\\\ntwo\n\
; F=no\n  # G=no\nexport H=no\nI=$HOME ${HOME} `x`\nJ=value # no comment\nK=\"a\\\"b\\$c\\d\\`\"\n\
L=\nM='a'\"b\" c \nN=a\\ b\\\\\\n\nO=\"first\nsecond\\\nthird\"\n1P=no\nQ R=no\nS=1\nS=2\nno\n\
T==x=\nU=\\\n  indented\nV=a\"b\"\r\nW=ä✓\nX='a'  'b'\n=Y\nZ='never closed\n";

#[test]
fn what_check_reads_is_what_systemd_reads() {
    let Some(systemd) = Systemd::start(WRITTEN) else { return };
    let unit = "/run/systemd/system/look.service";
    let written = format!(
        "printf '[Unit]\\nDefaultDependencies=no\\n[Service]\\nType=oneshot\\n\
         EnvironmentFile=-/etc/default/torment-nexus\\nExecStart=sh -c \"env -0 >/run/seen\"\\n' >{unit}"
    );
    assert!(systemd.does(&["sh", "-c", &format!("mkdir -p /run/systemd/system && {written}")]).0);
    let of_systemd = || {
        systemd.systemctl(&["start", "look"]).expect("it runs");
        let (_, said) = systemd.does(&["cat", "/run/seen"]);
        // One letter and no name of systemd's or the shell's.
        let set = said.split('\0').filter_map(|line| line.split_once('='));
        let set = set.filter(|(name, _)| name.len() == 1 && *name != "_");
        set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
    };
    let read = environment::read(WRITTEN.as_bytes()).expect("text");
    let of_check: BTreeMap<_, _> = read.set.into_iter().collect();
    assert_eq!(of_check, of_systemd());
    assert_eq!(read.left_out, ["export H", "1P", "Q R"]);
    systemd.does(&["sh", "-c", r"printf 'A=b\nC=Ged\344chtnis\n' >/etc/default/torment-nexus"]);
    assert_eq!(of_systemd(), BTreeMap::new());
    assert!(environment::read(b"A=b\nC=Ged\xe4chtnis\n").is_err());
}

#[test]
fn check_as_root_sees_what_the_service_sees_and_leaves_nothing_of_roots() {
    let Some(systemd) = Systemd::start(
        "TORMENT_MODEL=ember\nTORMENT_THREADS=1\nTORMENT_PRINTER=/absent\nTORMENT_TITLE=Bob's\n",
    ) else {
        return;
    };
    systemd.systemctl(&["start", "torment-nexus"]).expect("the unit becomes active");
    systemd.wait_for_status("a life", |status| life(status).is_some());
    systemd.systemctl(&["stop", "torment-nexus"]).expect("the unit stops");
    let line = |part: &str| {
        let (_, report) = systemd.does(&["torment-nexus", "check", "--quick"]);
        let line = report.lines().find(|line| line.get(5..).is_some_and(|line| line.starts_with(part)));
        line.unwrap_or_else(|| panic!("nothing of {part}: {report}")).to_owned()
    };
    let state = "/var/lib/private/torment-nexus";
    let (_, owner) = systemd.does(&["stat", "-c", "%u", state]);
    assert_ne!(owner, "0");
    assert!(line("service").ends_with(&format!("seen as user {owner}")), "{}", line("service"));
    systemd.does(&["rm", &format!("{state}/lives.lock")]);
    assert!(line("state").starts_with("ok ") && line("lives").starts_with("ok "));
    assert_eq!(systemd.does(&["find", state, "-user", "root"]).1, "");
    // As an earlier check left it.
    systemd.does(&["touch", &format!("{state}/lives.lock")]);
    let refused = line("state");
    assert!(refused.starts_with("FAIL") && refused.contains("Permission denied"), "{refused}");
    systemd.does(&["sh", "-c", r"printf 'TORMENT_TITLE=Ged\344chtnis\n' >/etc/default/torment-nexus"]);
    let told = line("service");
    assert!(told.starts_with("warn") && told.contains("not UTF-8"), "{told}");
}

/// Runs ember to its end under a supervisor that expects a sign of life after so many
/// microseconds, and returns what the program told it. No argument has a space.
fn supervised(nexus: &Nexus, arguments: &str, watchdog: &str) -> (Ended, Vec<String>) {
    const END: &str = "the end";
    let path = nexus.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let listener = thread::spawn(move || {
        let (mut told, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let length = socket.recv(&mut buffer).expect("a message");
            let text = String::from_utf8_lossy(&buffer[..length]);
            if text == END {
                return told;
            }
            told.extend(text.lines().map(str::to_owned));
        }
    });
    let mut command = nexus.command(["--model", "ember"].into_iter().chain(arguments.split(' ')));
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", watchdog).env_remove("WATCHDOG_PID");
    let life = Ended::run(command);
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(END.as_bytes(), path));
    sent.expect("it is told");
    (life, listener.join().expect("it listens to the end"))
}

#[test]
fn a_supervisor_hears_that_the_piece_is_armed_how_the_life_goes_and_nothing_after_the_death() {
    let nexus = Nexus::new();
    let (life, told) = supervised(&nexus, "--printer absent", "400000");
    life.died();
    let at = |message: &str| {
        told.iter().position(|told| told == message).unwrap_or_else(|| panic!("no {message}: {told:?}"))
    };
    let (ready, alive) = (at("READY=1"), at("WATCHDOG=1"));
    assert!(at("STATUS=loads the model") < ready && ready < at("STATUS=armed, 0 lives so far"));
    assert!(ready < alive, "{told:?}");
    assert!(told[..ready].iter().all(|told| !told.starts_with("WATCHDOG")), "{told:?}");
    assert!(told.iter().any(|told| told.starts_with("STATUS=life 1 at ")), "{told:?}");
    let dies = at("STATUS=dies");
    assert!(told[dies..].iter().all(|told| told == "STATUS=dies" || told == "WATCHDOG=1"), "{told:?}");
    let statuses: Vec<_> = told.iter().filter(|told| told.starts_with("STATUS=")).collect();
    assert_eq!(statuses.iter().collect::<BTreeSet<_>>().len(), statuses.len(), "each is sent once");
}

#[test]
fn a_fault_is_the_last_status() {
    let nexus = Nexus::new();
    let (failed, told) = supervised(&nexus, "--context-size 1", "400000");
    assert_eq!(failed.code, Some(1));
    let last = told.last().expect("a status");
    let fault = failed.stderr.trim_start_matches("error: ").trim();
    assert_eq!(last, &format!("STATUS={fault}"));
    assert!(!told.contains(&"READY=1".to_owned()));
}

#[test]
fn a_life_that_waits_for_paper_says_so_and_feeds_the_watchdog() {
    let nexus = Nexus::new();
    let printer =
        FakePrinter::at(&nexus.path("printer"), Behaviour::OutOfPaper { from: 1000, questions: usize::MAX });
    let waiting = "--printer printer --printer-baud 4000000 --printer-line-ms 1 --printer-rx --paper-wait 5";
    let (life, told) = supervised(&nexus, waiting, "400000");
    let _ = printer.stop();
    life.died();
    let waits = told.iter().position(|told| told.contains("waits for paper"));
    let waiting = &told[waits.unwrap_or_else(|| panic!("no wait: {told:?}"))..];
    // For some three of the five seconds it is certain, and fed it is every 100 ms.
    let fed = waiting.iter().skip(1).take_while(|told| *told == "WATCHDOG=1").count();
    assert!(fed > 5, "{told:?}");
    // On a busy machine the wait may come when the last token is said, and the death says no more.
    let is_lost = waiting.iter().any(|told| told.contains("the printer is lost"));
    assert!(is_lost || waiting[0].contains("dies"), "{told:?}");
}

/// As where the weights do not fit in memory: a token takes longer than the watchdog waits.
#[test]
fn within_a_token_the_watchdog_is_fed_again_and_again() {
    let (life, told) = supervised(&Nexus::new(), "--context-size 256", "40");
    life.died();
    // A token takes hundreds of operations.
    let (tokens, fed) = (243, told.iter().filter(|told| *told == "WATCHDOG=1").count());
    assert!(fed > 3 * tokens, "{fed} times in {tokens} tokens");
}

#[test]
fn whenever_the_program_is_killed_the_next_life_has_a_higher_number() {
    let nexus = Nexus::new();
    let lives = || {
        nexus.ember(&["--context-size", "256", "--printer", "absent", "--state-dir", "state"]).died();
        Lives::within(&nexus.path("state")).read().expect("a record").lives
    };
    let mut last = lives();
    // From before the first line of the program to the death of a life.
    for milliseconds in [0, 5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300] {
        let mut command = nexus.command(["--model", "ember", "--printer", "absent", "--state-dir", "state"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        thread::sleep(Duration::from_millis(milliseconds));
        child.kill().expect("SIGKILL");
        child.wait().expect("it ends");
        let next = lives();
        assert!(next > last, "life {next} after {last}, killed after {milliseconds} ms");
        // The killed one was a life, or it was none.
        assert!(next <= last + 2);
        last = next;
    }
}
