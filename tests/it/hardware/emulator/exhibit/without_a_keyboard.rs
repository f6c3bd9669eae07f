//! The exhibit without a keyboard: the card in another computer, a stick, and a curator who
//! hears a heartbeat.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Exhibit, LIMIT, Machine, SECOND, SEEN, draw, lives};
use crate::support::gguf_file::{Gguf, Value, adapter_of_ember};
use crate::support::nexus::wait;

/// The card's folder that a computer shows, and its settings.
const FOLDER: &str = "/boot/firmware/torment-nexus";
const SETTINGS: &str = "/boot/firmware/torment-nexus/settings.txt";

/// Notes what the box posts.
pub(super) const CURATOR: &str = r#"import http.server
class Post(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open("/run/heard", "ab") as heard:
            heard.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\n")
        self.send_response(204)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8080), Post).serve_forever()
"#;

/// In the night the artist has the card in a computer of another kind, whose editor writes
/// a byte order mark, other quotes and other ends of lines.
pub(super) fn edit_the_card(exhibit: &Exhibit) {
    let settings = exhibit.on_fat("mtype", &["::torment-nexus/settings.txt"]);
    let mut edited = format!("\u{feff}{}", settings.replace('\n', "\r\n"));
    for (from, to) in [
        ("#title = TORMENT NEXUS\r", "title = “TORMENT NEXUS AT HOME”\r"),
        ("#stick-key = a word of your own\r", "stick-key = sesame # of this museum\r"),
    ] {
        assert!(edited.contains(from), "{settings}");
        edited = edited.replace(from, to);
    }
    for (name, content) in [("settings.txt", edited.as_str()), ("epitaph.txt", "Written on the card.")] {
        let file = exhibit.folder.path().join(name);
        fs::write(&file, content).expect("a file");
        exhibit.on_fat("mcopy", &["-o", &file.display().to_string(), "::torment-nexus/"]);
    }
}

/// The life before had the card's title and epitaph, and there is a report of it. A wrong
/// line is told, and lived without.
pub(super) fn look_at_the_card(exhibit: &Exhibit, machine: &Machine) {
    assert_eq!(exhibit.count(machine, "TORMENT NEXUS AT HOME"), 1);
    assert_eq!(exhibit.count(machine, "Written on the card."), 1);
    machine.until(&format!("grep -aq 'life 6,' {FOLDER}/report.txt"));
    machine.until("! systemctl list-units --no-legend --state=activating 'torment-nexus-report@*' | grep .");
    let report = format!(
        "grep ' /boot/firmware ' /proc/mounts; stat -c '%n: %s bytes' {FOLDER}/report.txt; cat {FOLDER}/report.txt"
    );
    println!("{}", machine.must(&report));
    println!("{}", machine.must("torment-nexus lives"));
    machine.must(&format!("echo printer-baud = fast >>{SETTINGS} && systemctl restart torment-nexus"));
    exhibit.prints(machine, "settings.txt, line");
    machine.armed(6);
    draw(machine, "settings.txt, line", "wrong-line.png");
    machine.must(&format!("sed -i '$d' {SETTINGS}"));
    exhibit
        .say("the card: its title and epitaph on paper, a report on it; a wrong line told and lived without");
}

/// A stick is left alone, taken and taken back with the button, and pulled out too early.
/// From six lives to eight.
pub(super) fn take_a_stick(exhibit: &Exhibit, machine: &Machine) {
    let gguf = |purpose| Gguf::empty().set("general.type", Value::text(purpose)).bytes();
    let long = vec![b'#'; 10_000_000];
    let stick = stick(
        exhibit,
        &[
            ("key.txt", b"sesame\r\n"),
            ("Settings.TXT", b"title = TORMENT NEXUS AT SEA\r\n"),
            ("voice.gguf", &adapter_of_ember(256).bytes()),
            ("receipt.txt", &long),
            ("eyes.gguf", &gguf("mmproj")),
        ],
    );

    let list = plug_in(exhibit, machine, ("first", &stick), "A stick offers:");
    for line in
        ["settings.txt: 1 kB, replaces the former", "voice.gguf: ", "receipt.txt: 10,000 kB is too long"]
    {
        assert!(list.contains(line), "{line}: {list}");
    }
    assert!(list.contains("eyes.gguf: it is for another purpose (mmproj)"), "{list}");
    draw(machine, "A stick offers:", "stick-list.png");
    answer(machine, Machine::push);
    machine.until(NO_STICK);
    assert_eq!(machine.runs(&format!("test -e {FOLDER}/voice.gguf")).0, 1, "a short press takes nothing");
    machine.armed(6);
    machine.0.pull_out("first");
    exhibit.say("the stick: a list on paper, and left where it is by a short press");

    for (name, begin, told, life, title, has_voice) in [
        ("second", "A stick offers:", "files are in use", 7, "TORMENT NEXUS AT SEA", true),
        ("third", "A stick was taken today.", "former files are in", 8, "TORMENT NEXUS AT HOME", false),
    ] {
        let had = exhibit.count(machine, title);
        plug_in(exhibit, machine, (name, &stick), begin);
        answer(machine, Machine::hold);
        exhibit.prints(machine, told);
        machine.armed(life - 1);
        lives(machine, life);
        assert_eq!(exhibit.count(machine, title), had + 1);
        let options = machine.must("tail -n 1 /var/lib/torment-nexus/lives.csv");
        assert_eq!(options.contains("voice.gguf"), has_voice, "{options}");
        machine.0.pull_out(name);
        exhibit.say(&format!("life {life}: {title}, voice of the stick: {has_voice}"));
    }

    // So large a voice is copied for a while.
    let voice = [gguf("adapter"), vec![0; 30_000_000]].concat();
    let stick = self::stick(exhibit, &[("key.txt", b"sesame"), ("voice.gguf", &voice)]);
    let before = card(machine);
    plug_in(exhibit, machine, ("fourth", &stick), "A stick offers:");
    answer(machine, Machine::hold);
    machine.until(&format!("test -s {FOLDER}/previous.new/voice.gguf"));
    machine.0.pull_out("fourth");
    exhibit.prints(machine, "nothing was changed:");
    machine.armed(8);
    assert_eq!(card(machine), before);
    exhibit.say("a stick that is pulled out while it is read changes nothing, and that is told");
}

/// A curator wants to hear of the box from its next start on.
pub(super) fn ask_for_a_heartbeat(machine: &Machine) {
    machine.must("echo TORMENT_REPORT_TO=http://127.0.0.1:8080/box >>/etc/default/torment-nexus");
    machine.must("systemd-run --quiet -p OOMScoreAdjust=-1000 python3 /root/curator.py");
}

/// The curator hears of a start, and of the hour that is full.
pub(super) fn hear_the_heartbeat(exhibit: &Exhibit, machine: &Machine) {
    machine.until("grep -q '\"start\"' /run/heard");
    machine.must("date -s $(date +%H):59:58");
    machine.until("grep -q '\"hour\"' /run/heard");
    exhibit.say("a heartbeat at the start and at the full hour");
}

/// Succeeds when no stick is looked at any more.
const NO_STICK: &str = "! systemctl list-units --no-legend 'torment-nexus-stick@*' | grep .";

/// Succeeds when the program has answered the offer, or there is none.
const ANSWERED: &str = "cd /run && ! test -e torment-nexus-stick/offer || \
     grep -qF \"$(sed -n 's/^nonce //p' torment-nexus-stick/offer)\" torment-nexus/answer";

/// An image of a USB stick that has these files in its folder.
fn stick(exhibit: &Exhibit, files: &[(&str, &[u8])]) -> PathBuf {
    let image = exhibit.folder.path().join("stick");
    let _ = fs::remove_file(&image);
    super::run(
        Command::new("/sbin/mkfs.fat")
            .args(["-F", "32", "-C"])
            .arg(&image)
            .arg("65536")
            .stdout(Stdio::null()),
    );
    let at = image.to_str().expect("UTF-8");
    super::fat("mmd", at, &["::torment-nexus"]);
    for (name, content) in files {
        let file = exhibit.folder.path().join("file");
        fs::write(&file, content).expect("a file");
        super::fat("mcopy", at, &[&file.display().to_string(), &format!("::torment-nexus/{name}")]);
    }
    image
}

/// Plugs a stick in. Returns what is offered, in one line, once it is on paper with its
/// question.
fn plug_in(exhibit: &Exhibit, machine: &Machine, (name, stick): (&str, &Path), begin: &str) -> String {
    let had = exhibit.count(machine, begin);
    machine.0.plug_in(name, stick);
    let what = || format!("{begin:?} on paper: {}", machine.runs("journalctl -b -n 60 --no-pager").1);
    let list = || {
        let lines = exhibit.lines(machine);
        let (at, _) = lines.iter().enumerate().filter(|(_, line)| line.contains(begin)).nth(had)?;
        let list = lines[at..].join(" ");
        list.contains("A short press leaves it.").then_some(list)
    };
    wait(what, SEEN, SECOND, list)
}

/// Presses until that is an answer: it is none while the list is still being printed, which
/// it is for longer than its bytes take.
fn answer(machine: &Machine, press: impl Fn(&Machine)) {
    wait(
        || "an answer",
        LIMIT,
        SECOND,
        || {
            press(machine);
            (machine.runs(ANSWERED).0 == 0).then_some(())
        },
    );
}

/// The files of the card's folder, of which the report may be written at any time.
fn card(machine: &Machine) -> String {
    machine.must(&format!("cd {FOLDER} && find . -type f ! -name report.txt -exec cksum {{}} + | sort"))
}
