//! The board, the operating system and the service, as files tell.
//!
//! Every function reads below `root`, which is `/` but in tests.

use std::fs;
use std::path::Path;

use super::report::Finding;
use installation::board::health::{Health, Throttled, ask_firmware};

/// The board that the piece is made for.
const BOARD: &str = "Raspberry Pi Zero 2 W";

/// The temperature at which the firmware begins to lower the clock, in °C, and the
/// one from which on a busy life reaches it.
const THROTTLED: f64 = 80.0;
const WARM: f64 = 70.0;

/// The first lines of a file.
fn text(root: &Path, path: &str) -> Option<String> {
    let text = fs::read_to_string(root.join(path)).ok()?;
    // The device tree's texts end in a NUL.
    Some(text.trim_end_matches(['\0', '\n']).to_owned())
}

/// All that this file looks at.
#[must_use]
pub(super) fn all(root: &Path) -> Vec<Finding> {
    let mut findings = vec![board(root)];
    findings.extend(match is_board(root) {
        true => [serial(root), pwm(root), watchdog(root), journal(root)],
        false => {
            ["serial port", "PWM", "watchdog", "journal"].map(|name| Finding::skip(name, "needs the board"))
        }
    });
    findings.extend(health(root, ask_firmware));
    findings
}

/// Whether this is a Raspberry Pi at all.
fn is_board(root: &Path) -> bool {
    text(root, "proc/device-tree/model").is_some_and(|model| model.contains("Raspberry Pi"))
}

/// Board, kernel and width of addresses.
fn board(root: &Path) -> Finding {
    let kernel = text(root, "proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    let found = |model: &str| format!("{model}, Linux {kernel}, {}", std::env::consts::ARCH);
    match text(root, "proc/device-tree/model") {
        Some(model) if model.contains(BOARD) => Finding::ok("board", found(&model)),
        Some(model) if model.contains("Raspberry Pi") => {
            Finding::warn("board", found(&model), format!("the piece was measured on a {BOARD} only"))
        }
        _ => Finding::skip("board", found("no Raspberry Pi")),
    }
}

/// Temperature, throttling and supply voltage.
fn health(root: &Path, firmware: impl FnOnce() -> Option<Throttled>) -> Vec<Finding> {
    let health = Health::read(root, firmware);
    let heat = match health.celsius {
        None => Finding::skip("temperature", "not known here"),
        Some(celsius) if celsius >= THROTTLED => Finding::fail(
            "temperature",
            format!("{celsius:.0} °C: throttled"),
            "free the openings, or give --threads 3",
        ),
        Some(celsius) if celsius >= WARM => Finding::warn(
            "temperature",
            format!("{celsius:.0} °C"),
            "a metal case or a heatsink; free the openings",
        ),
        Some(celsius) => Finding::ok("temperature", format!("{celsius:.0} °C")),
    };
    let told = |name, words: Option<&str>, next: &str| match words {
        None => Finding::skip(name, "not known here"),
        Some("no") => Finding::ok(name, "no"),
        Some(words) if words.starts_with("YES") => Finding::fail(name, words, next),
        Some(words) => Finding::warn(name, words, next),
    };
    vec![
        heat,
        told("throttled", health.throttled.map(Throttled::slowed), "cool it: a metal case, or --threads 3"),
        told("low voltage", health.voltage(), "a supply of 5 V and 2.5 A, a shorter cable"),
    ]
}

/// The serial port of the header: the printer prints garbage on the mini-UART.
fn serial(root: &Path) -> Finding {
    match fs::read_link(root.join("dev/serial0")) {
        Err(_) => Finding::fail("serial port", "there is no /dev/serial0", "run hardware/setup and restart"),
        Ok(link) if link.ends_with("ttyAMA0") => Finding::ok("serial port", "the PL011, ttyAMA0"),
        Ok(link) => Finding::fail(
            "serial port",
            format!("/dev/serial0 is {}, whose baud rate is not steady", link.display()),
            "add dtoverlay=disable-bt to config.txt (hardware/setup does) and restart",
        ),
    }
}

/// The PWM block that dims the light.
fn pwm(root: &Path) -> Finding {
    let chips = fs::read_dir(root.join("sys/class/pwm")).into_iter().flatten().flatten();
    let is_header = |chip: &Path| {
        chip.join("device")
            .canonicalize()
            .is_ok_and(|device| device.to_string_lossy().ends_with("20c000.pwm"))
    };
    if chips.map(|chip| chip.path()).any(|chip| is_header(&chip)) {
        return Finding::ok("PWM", "there: the light is dimmed");
    }
    let next = "add dtoverlay=pwm,pin=18,func=2 to config.txt (hardware/setup does) and restart";
    Finding::warn("PWM", "not there: the light is only on or off", next)
}

/// Whether the hardware watchdog is armed.
fn watchdog(root: &Path) -> Finding {
    let next = "install the package for arm64, run torment-nexus-setup and restart";
    match text(root, "sys/class/watchdog/watchdog0/state") {
        Some(state) if state == "active" => {
            let seconds = text(root, "sys/class/watchdog/watchdog0/timeout").unwrap_or_default();
            Finding::ok("watchdog", format!("armed, {seconds} s"))
        }
        Some(_) => Finding::warn("watchdog", "there, but not armed", next),
        None => Finding::warn("watchdog", "not there", next),
    }
}

/// Whether the journal survives a power cut.
fn journal(root: &Path) -> Finding {
    if root.join("var/log/journal").is_dir() {
        return Finding::ok("journal", "kept on the card");
    }
    Finding::warn("journal", "in memory: a power cut erases it", "install the package for arm64 and restart")
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    struct Root(TempDir);

    impl Root {
        fn new() -> Self {
            Self(TempDir::new().expect("a temporary folder"))
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn file(self, path: &str, content: &str) -> Self {
            let path = self.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, content).expect("a file");
            self
        }
    }

    fn state(finding: &Finding) -> Verdict {
        finding.state
    }

    #[test]
    fn a_board_as_it_is_set_up_is_well() {
        let root = Root::new()
            .file("proc/device-tree/model", "Raspberry Pi Zero 2 W Rev 1.0\0")
            .file("proc/sys/kernel/osrelease", "6.12.25+rpt-rpi-v8\n")
            .file("sys/class/thermal/thermal_zone0/temp", "48000\n")
            .file("sys/class/watchdog/watchdog0/state", "active\n")
            .file("sys/class/watchdog/watchdog0/timeout", "15\n")
            .file("sys/devices/3f20c000.pwm/uevent", "")
            .file("sys/class/pwm/pwmchip0/npwm", "2\n")
            .file("var/log/journal/x", "")
            .file("dev/null", "");
        symlink("ttyAMA0", root.path().join("dev/serial0")).expect("a link");
        let device = root.path().join("sys/devices/3f20c000.pwm");
        symlink(device, root.path().join("sys/class/pwm/pwmchip0/device")).expect("a link");
        let mut findings = vec![
            board(root.path()),
            serial(root.path()),
            pwm(root.path()),
            watchdog(root.path()),
            journal(root.path()),
        ];
        findings.extend(health(root.path(), || Some(Throttled(0))));
        for finding in findings {
            assert_eq!(finding.state, Verdict::Ok, "{}", finding.line());
        }
        assert!(board(root.path()).found.contains("Rev 1.0, Linux 6.12.25"));
    }

    #[test]
    fn what_is_not_well_has_its_next_step() {
        let root = Root::new()
            .file("proc/device-tree/model", "Raspberry Pi 4 Model B\0")
            .file("sys/class/thermal/thermal_zone0/temp", "81500\n")
            .file("sys/class/watchdog/watchdog0/state", "inactive\n")
            .file("dev/null", "");
        symlink("ttyS0", root.path().join("dev/serial0")).expect("a link");
        let health = health(root.path(), || Some(Throttled(0x5_0001)));
        let findings = [board(root.path()), serial(root.path()), pwm(root.path()), watchdog(root.path())];
        for finding in findings.iter().chain([&journal(root.path())]).chain(&health) {
            assert_ne!(finding.state, Verdict::Ok, "{}", finding.line());
            assert!(!finding.next.is_empty(), "{}", finding.line());
        }
        let states: Vec<_> = health.iter().map(state).collect();
        assert_eq!(states, [Verdict::Fail, Verdict::Warn, Verdict::Fail]);
    }

    #[test]
    fn a_laptop_is_told_which_parts_need_the_board() {
        let root = Root::new();
        assert!(!is_board(root.path()));
        assert_eq!(state(&board(root.path())), Verdict::Skip);
        assert!(health(root.path(), || None).iter().all(|finding| finding.state == Verdict::Skip));
    }
}
