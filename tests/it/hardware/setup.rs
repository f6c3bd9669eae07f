//! `hardware/setup` on copies of two systems, bookworm and trixie, which are in
//! `tests/fixtures`: what it changes, and that nothing is left of it after `--undo`; and
//! the settings that the package has for the box, in `hardware/system`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{ENDED, python};
use crate::support::exhibition::{self, UNIT};
use crate::support::nexus::{Ended, is_root};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const RELEASES: [&str; 2] = ["bookworm", "trixie"];

const CONFIG: &str = "boot/firmware/config.txt";
const CMDLINE: &str = "boot/firmware/cmdline.txt";
const JOURNAL: &str = "etc/systemd/journald.conf.d/90-torment-nexus.conf";
const OVERLAY_SCRIPT: &str = "usr/share/initramfs-tools/scripts/init-bottom/overlayroot";
const READ_ONLY: [&str; 3] = ["--yes", "--read-only", "LABEL=torment-state"];

/// The lines of the box in config.txt, `was` being what cmdline.txt had before.
fn block(was: &str, overlays: &str) -> String {
    let pieces = was.as_bytes().chunks(70).map(|piece| String::from_utf8_lossy(piece).into_owned());
    let was: String = pieces.map(|piece| format!("# cmdline.txt was: {piece}\n")).collect();
    format!(
        "\n# >>> torment-nexus-setup: --undo removes the lines between these marks\n{was}\
         [all]\ndtoverlay=\ndtparam=audio=off\ndtparam=watchdog=on\nenable_uart=1\nuart_2ndstage=0\n\
         {overlays}# <<< torment-nexus-setup\n"
    )
}

const OVERLAYS: &str = "dtoverlay=disable-bt\ndtoverlay=pwm,pin=18,func=2\n";
const BOX: &str = "panic=10 torment_nexus.box=1";

/// The root of a system.
struct System(TempDir);

impl Ended {
    /// The last line of a run that did what it was to do.
    #[track_caller]
    fn last_line(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout.lines().last().unwrap_or_default()
    }
}

/// What is at each path: kind, mode, owner, and bytes or target.
type Snapshot = BTreeMap<PathBuf, (char, u32, u32, u32, Vec<u8>)>;

impl System {
    fn new(release: &str) -> System {
        let system = System(TempDir::new().expect("a folder"));
        system.copy(&format!("tests/fixtures/{release}"));
        symlink("usr/lib", system.path("lib")).expect("the merged /usr");
        fs::set_permissions(system.path(CMDLINE), fs::Permissions::from_mode(0o600)).expect("a mode");
        system
    }

    /// A bookworm system with another config.txt.
    fn with_config(config: &str) -> System {
        let system = System::new("bookworm");
        system.write(CONFIG, config);
        system
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn setup(&self, options: &[&str]) -> Ended {
        Ended::of(self.command(options).output())
    }

    /// Asserts that setup refuses to do this for a reason that has these words. Returns
    /// the exit status.
    #[track_caller]
    fn refuses(&self, options: &[&str], words: &str) -> Option<i32> {
        let error = self.setup(options);
        assert!(error.error().contains(words), "no {words:?}: {}", error.stderr);
        error.code
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = python();
        // On a terminal that shows little.
        command.env("PYTHONIOENCODING", "ascii").arg(Path::new(ROOT).join("hardware/setup"));
        command.arg("--root").arg(self.0.path()).args(options);
        command
    }

    /// A run that a signal ends before its operation of this number; `None` if it has no
    /// more than that.
    fn ended(&self, options: &[&str], at: u32, signal: i32) -> Option<Ended> {
        let setup = self.command(options);
        let mut command = python();
        command.args(["-c", ENDED, &at.to_string(), &signal.to_string()]).args(setup.get_args());
        Some(Ended::of(command.output())).filter(|ended| ended.code != Some(0))
    }

    fn snapshot(&self) -> Snapshot {
        let mut all = Snapshot::new();
        look(self.0.path(), self.0.path(), &mut all);
        all
    }

    /// The block of this system, whose cmdline.txt nobody has changed.
    fn block(&self) -> String {
        let release = if self.read(CMDLINE).contains(" resize") { "trixie" } else { "bookworm" };
        let cmdline = format!("{ROOT}/tests/fixtures/{release}/{CMDLINE}");
        block(fs::read_to_string(cmdline).expect("a file").trim(), OVERLAYS)
    }

    /// Adds what the package has for the box.
    fn with_package(self) -> System {
        self.copy("hardware/system");
        self
    }

    /// Adds what is in a folder of this tree.
    fn copy(&self, folder: &str) {
        let from = Path::new(ROOT).join(folder).join(".");
        assert!(
            Command::new("cp").arg("-r").arg(from).arg(self.0.path()).status().is_ok_and(|cp| cp.success())
        );
    }

    /// The option that has a tool of systemd's look at this system.
    fn as_root(&self) -> String {
        format!("--root={}", self.0.path().display())
    }
}

fn look(root: &Path, folder: &Path, all: &mut Snapshot) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        let (kind, bytes) = if metadata.is_symlink() {
            ('l', fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes())
        } else if metadata.is_dir() {
            look(root, &path, all);
            ('d', Vec::new())
        } else if metadata.is_file() {
            ('f', fs::read(&path).expect("a file"))
        } else {
            ('p', Vec::new())
        };
        let within = path.strip_prefix(root).expect("in the root").to_owned();
        all.insert(within, (kind, metadata.mode(), metadata.uid(), metadata.gid(), bytes));
    }
}

#[test]
fn a_dry_run_shows_the_changes_and_makes_none() {
    for release in RELEASES {
        let system = System::new(release);
        let before = system.snapshot();
        let ended = system.setup(&["--dry-run"]);
        assert_eq!(system.snapshot(), before, "{release}");
        for shown in ["+enable_uart=1", "+dtoverlay=disable-bt", "-console=serial0,115200 "] {
            assert!(ended.stdout.lines().any(|line| line.starts_with(shown)), "{shown}: {}", ended.stdout);
        }
        assert_eq!(ended.last_line(), "setup: to be done: 2 changes; nothing was changed");
    }
}

#[test]
fn the_boot_files_get_exactly_the_lines_of_the_box_and_a_second_run_changes_nothing() {
    for (release, resize) in [("bookworm", ""), ("trixie", " resize")] {
        let system = System::new(release);
        let config = system.read(CONFIG);
        assert_eq!(system.setup(&["--yes"]).last_line(), "setup: 2 changes made");
        assert_eq!(system.read(CONFIG), config + &system.block(), "{release}");
        let root = "console=tty1 root=PARTUUID=7a1c9e02-02 rootfstype=ext4 fsck.repair=yes rootwait";
        assert_eq!(system.read(CMDLINE), format!("{root}{resize} {BOX}\n"), "{release}");
        // The firmware reads 98 characters of a line.
        assert!(system.read(CONFIG).lines().all(|line| line.len() <= 98), "{}", system.read(CONFIG));
        // What only says that the file has moved is left alone.
        assert!(system.read("boot/config.txt").starts_with("This file has moved"));
        let after = system.snapshot();
        assert_eq!(system.setup(&["--yes"]).last_line(), "setup: nothing to change");
        assert_eq!(system.snapshot(), after, "{release}");
    }
}

#[test]
fn undo_restores_every_byte_and_mode_also_after_several_runs_and_a_power_cut() {
    for release in RELEASES {
        let system = System::new(release);
        let before = system.snapshot();
        // Half of a file that was being written.
        system.write(&format!("{CONFIG}.torment-nexus-new"), "dtparam=au");
        system.setup(&["--yes"]).last_line();
        system.setup(&["--yes", "--keep-bluetooth"]).last_line();
        assert!(system.read(CONFIG).contains("\ndtoverlay=miniuart-bt\n"));
        assert!(!system.read(CONFIG).contains("disable-bt"), "the lines between the marks are rewritten");
        let done = system.snapshot();
        let looked = system.setup(&["--undo", "--dry-run"]);
        assert_eq!(looked.last_line(), "setup: to be done: 2 changes; nothing was changed");
        assert_eq!(system.snapshot(), done);
        assert_eq!(system.setup(&["--undo", "--yes"]).last_line(), "setup: 2 changes made");
        assert_eq!(system.snapshot(), before, "{release}");
        assert_eq!(system.setup(&["--undo", "--yes"]).last_line(), "setup: nothing to change");
    }
}

#[test]
fn what_was_edited_since_stays_at_an_undo() {
    let system = System::new("bookworm");
    let config = system.read(CONFIG);
    system.setup(&["--yes"]).last_line();
    system.write(CONFIG, &format!("# first\n{}gpu_mem=16\n", system.read(CONFIG)));
    system.setup(&["--undo", "--yes"]).last_line();
    assert_eq!(system.read(CONFIG), format!("# first\n{config}\n[all]\ngpu_mem=16\n"));

    let system = System::new("bookworm");
    system.setup(&["--yes"]).last_line();
    system.write(CMDLINE, &system.read(CMDLINE).replace("rootwait", "rootwait quiet"));
    let undone = system.setup(&["--undo", "--yes"]);
    assert!(undone.error().starts_with("cmdline.txt was changed since"), "{}", undone.stderr);
    let it_was = "it was: console=serial0,115200 console=tty1 root=PARTUUID=7a1c9e02-02 \
                  rootfstype=ext4 fsck.repair=yes rootwait";
    assert!(undone.error().ends_with(it_was), "{}", undone.stderr);
    assert_eq!(system.read(CONFIG), config, "the rest is undone");
    assert!(system.read(CMDLINE).ends_with("rootwait quiet panic=10\n"), "and the system is no box any more");
}

#[test]
fn a_config_keeps_its_line_ends_and_gets_every_byte_back() {
    for (config, end) in [
        ("camera_auto_detect=1\r\ndtparam=audio=on\r\n", "\r\n"),
        ("gpu_mem=16\r\narm_boost=1", "\r\n"),
        ("arm_boost=1", "\n"),
        ("arm_boost=1\n\n", "\n"),
        ("# caf\u{e9}\n", "\n"),
        ("", "\n"),
    ] {
        let system = System::with_config(config);
        let before = system.snapshot();
        system.setup(&["--yes"]).last_line();
        assert_eq!(system.read(CONFIG), format!("{config}{}", system.block().replace('\n', end)));
        assert_eq!(system.setup(&["--yes"]).last_line(), "setup: nothing to change", "{config}");
        system.setup(&["--undo", "--yes"]).last_line();
        assert_eq!(system.snapshot(), before, "{config}");
    }
}

/// A later line of config.txt overrules an earlier one.
#[test]
fn the_box_s_lines_are_the_last_and_hold_on_every_board() {
    for config in
        ["dtparam=audio=on\nenable_uart=0\n", "uart_2ndstage=1\n[pi4]\ndtparam=i2c_arm=on,audio=on\n"]
    {
        let system = System::with_config(config);
        system.setup(&["--yes"]).last_line();
        assert_eq!(system.read(CONFIG), format!("{config}{}", system.block()));
        // Somebody, or raspi-config, adds a line.
        system.write(CONFIG, &format!("{}dtparam=audio=on\n", system.read(CONFIG)));
        system.setup(&["--yes"]).last_line();
        let later = format!("{config}\n[all]\ndtparam=audio=on\n");
        assert_eq!(system.read(CONFIG), format!("{later}{}", system.block()));
        assert_eq!(system.setup(&["--yes"]).last_line(), "setup: nothing to change");
        // Somebody removes the second mark: nothing of theirs is lost.
        let whole = system.read(CONFIG).replace("# <<< torment-nexus-setup\n", "gpu_mem=16\n");
        system.write(CONFIG, &whole);
        system.setup(&["--yes"]).last_line();
        system.setup(&["--yes", "--keep-bluetooth"]).last_line();
        assert!(system.read(CONFIG).starts_with(&whole), "{}", system.read(CONFIG));
    }
}

#[test]
fn an_overlay_that_every_board_loads_already_is_not_loaded_twice() {
    let config = "[pi4]\ndtoverlay=disable-bt\n[all]\ndtoverlay=pwm,pin=18,func=2\n#dtoverlay=disable-bt\n";
    for (config, missing) in [
        (config, "dtoverlay=disable-bt\n"),
        ("dtoverlay=disable-bt\n[cm5]\n", "dtoverlay=pwm,pin=18,func=2\n"),
    ] {
        let system = System::with_config(config);
        let cmdline = system.read(CMDLINE);
        system.setup(&["--yes"]).last_line();
        assert_eq!(system.read(CONFIG), format!("{config}{}", block(cmdline.trim(), missing)));
    }
}

#[test]
fn the_kernel_s_messages_leave_the_printer_s_port_in_every_form() {
    for (before, after) in [
        ("console=serial0,115200 console=tty1 rootwait\n", "console=tty1 rootwait BOX\n"),
        ("console=tty1 console=ttyAMA0,115200 rootwait\n", "console=tty1 rootwait BOX\n"),
        ("rootwait console=ttyS0\n", "console=tty1 rootwait BOX\n"),
        ("console=tty0 kgdboc=serial0,115200 rootwait", "console=tty0 rootwait BOX"),
        // Without a console the kernel would take the serial port by itself.
        ("rootwait\r\n", "console=tty1 rootwait BOX\r\n"),
        ("console=tty1 panic=0 rootwait\n", "console=tty1 rootwait BOX\n"),
        ("console=tty1 panic=5 rootwait\n", "console=tty1 panic=5 rootwait torment_nexus.box=1\n"),
        ("console=tty1  a=\"two  words\"\n", "console=tty1 a=\"two  words\" BOX\n"),
        ("console=tty1 console=ttyUSB0,9600\n", "console=tty1 console=ttyUSB0,9600 BOX\n"),
    ] {
        let system = System::new("trixie");
        system.write(CMDLINE, before);
        system.setup(&["--yes"]).last_line();
        assert_eq!(system.read(CMDLINE), after.replace("BOX", BOX), "{before}");
        assert_eq!(system.setup(&["--yes"]).last_line(), "setup: nothing to change", "{before}");
        system.setup(&["--undo", "--yes"]).last_line();
        assert_eq!(system.read(CMDLINE), before);
    }
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_changed() {
    let by_name = &["--yes", "--read-only", "/dev/mmcblk0p3"][..];
    for (path, text, options, words) in [
        (CMDLINE, "console=tty1\nrootwait\n", &["--yes"][..], "cmdline.txt must have one line"),
        (CMDLINE, "\n", &["--yes"], "cmdline.txt must have one line"),
        (CONFIG, "arm_boost=1\n", &READ_ONLY, "needs an initramfs: add auto_initramfs=1"),
        ("boot", "", &["--yes"], "is this Raspberry Pi OS"),
        // The boot partition is not mounted: what is in /boot says so.
        (CONFIG, "", &["--yes"], "no config.txt and cmdline.txt in /boot/firmware: is this"),
        (OVERLAY_SCRIPT, "", &READ_ONLY, "apt-get install overlayroot"),
        ("none", "", by_name, "name the partition by LABEL=, UUID= or PARTUUID="),
        ("none", "", &["--yes", "--read-only", "LABEL=\u{20ac}"], "name the partition by LABEL="),
        ("none", "", &["--yes", "--model-from", ""], "an option has an empty value"),
        ("none", "", &[], "no terminal to ask on: add --yes, or --dry-run to look first"),
    ] {
        let system = System::new("trixie");
        system.write(OVERLAY_SCRIPT, "");
        // Without a text it is missing.
        match text {
            "" => _ = fs::remove_file(system.path(path)).or_else(|_| fs::remove_dir_all(system.path(path))),
            text => system.write(path, text),
        }
        let before = system.snapshot();
        // The options alone are wrong usage.
        let is_usage = system.refuses(options, words) == Some(2);
        assert_eq!(is_usage, path == "none", "{words}");
        assert_eq!(system.snapshot(), before, "{words}");
    }
}

#[test]
fn the_boot_files_may_be_in_boot_itself() {
    let system = System::new("bookworm");
    for name in ["config.txt", "cmdline.txt"] {
        fs::rename(system.path("boot/firmware").join(name), system.path("boot").join(name)).expect("moved");
    }
    fs::remove_dir(system.path("boot/firmware")).expect("removed");
    system.setup(&["--yes"]).last_line();
    assert!(system.read("boot/config.txt").ends_with("# <<< torment-nexus-setup\n"));
    assert!(system.read("boot/cmdline.txt").ends_with(&format!(" {BOX}\n")));
}

#[test]
fn a_failure_in_the_middle_leaves_whole_files_and_a_second_run_completes() {
    let system = System::new("bookworm");
    system.write(OVERLAY_SCRIPT, "");
    // A file where a folder is needed: also root cannot write there.
    system.write("etc/systemd/journald.conf.d", "");
    let before = system.snapshot();
    let failed = system.setup(&READ_ONLY);
    assert!(failed.error().starts_with(&format!("/{JOURNAL}: ")), "{}", failed.stderr);
    assert!(failed.error().ends_with("; 2 of 4 changes made: put it right and run it again, or run --undo"));
    let halfway = system.snapshot();
    assert!(system.read(CONFIG).ends_with("# <<< torment-nexus-setup\n"), "some changes were made");
    assert!(system.read(CMDLINE).starts_with("console=serial0"), "and some were not");
    assert!(halfway.keys().all(|path| !path.to_string_lossy().contains("-new")), "{:?}", halfway.keys());

    fs::remove_dir_all(system.path("var")).expect("the state's folder, made before");
    system.setup(&["--undo", "--yes"]).last_line();
    assert_eq!(system.snapshot(), before, "the half is undone");

    system.setup(&READ_ONLY).error();
    fs::remove_file(system.path("etc/systemd/journald.conf.d")).expect("removed");
    system.setup(&READ_ONLY).last_line();
    assert!(system.read(CMDLINE).starts_with("overlayroot="), "the second run completes it");

    // An undo that breaks off still knows the former cmdline.txt.
    let hindrance = system.path(&format!("{CMDLINE}.torment-nexus-new"));
    fs::create_dir(&hindrance).expect("a folder");
    system.setup(&["--undo", "--yes"]).error();
    fs::remove_dir(&hindrance).expect("removed");
    system.setup(&["--undo", "--yes"]).last_line();
    assert!(system.read(CMDLINE).starts_with("console=serial0,115200 "));
}

#[test]
fn a_card_that_is_full_leaves_no_half_of_a_file() {
    let system = System::with_config(&"# A long file.\n".repeat(300));
    let before = system.snapshot();
    // Files of at most 7 × 512 bytes can be written.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 7; exec \"$0\" \"$@\""]);
    let setup = system.command(&["--yes"]);
    command.arg(setup.get_program()).args(setup.get_args()).stdin(Stdio::null());
    let ended = Ended::of(command.output());
    let words = "/boot/firmware/config.txt: File too large; 0 of 2 ";
    assert!(ended.error().starts_with(words), "{}", ended.stderr);
    assert_eq!(system.snapshot(), before);
}

#[test]
fn the_running_system_is_refused_to_anyone_but_root() {
    let folder = TempDir::new().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let program = folder.path().join("setup");
    fs::copy(Path::new(ROOT).join("hardware/setup"), &program).expect("a copy");
    let mut command = Command::new("/usr/bin/env");
    command.arg("python3").arg(program).arg("--yes").stdin(Stdio::null());
    if is_root() {
        // Python from another user's home may be out of nobody's reach.
        command.env("PATH", "/usr/bin:/bin").gid(65534).uid(65534);
    }
    let ended = Ended::of(command.current_dir("/").output());
    assert_eq!((ended.code, ended.error()), (Some(2), "root is needed: run it with sudo"));
}

#[test]
fn a_link_that_leads_out_of_the_root_is_not_followed() {
    let (system, outside) = (System::new("trixie"), System::new("trixie"));
    fs::remove_dir_all(system.path("boot/firmware")).expect("removed");
    symlink(outside.path("boot/firmware"), system.path("boot/firmware")).expect("a link");
    let before = outside.snapshot();
    system.refuses(&["--yes"], "leads out of");
    assert_eq!(outside.snapshot(), before);
}

#[test]
fn whenever_a_run_is_ended_the_next_completes_it_and_an_undo_restores_every_byte() {
    for signal in [libc::SIGINT, libc::SIGKILL] {
        let whole = System::new("bookworm");
        let before = whole.snapshot();
        whole.setup(&["--yes"]).last_line();
        for at in 1.. {
            let system = System::new("bookworm");
            let set_up = system.ended(&["--yes"], at, signal);
            system.setup(&["--yes"]).last_line();
            assert_eq!(system.snapshot(), whole.snapshot(), "set-up ended at {at}");
            let undone = system.ended(&["--undo", "--yes"], at, signal);
            for ended in set_up.iter().chain(&undone).filter(|_| signal == libc::SIGINT) {
                assert_eq!(
                    (ended.code, ended.error()),
                    (Some(130), "interrupted: run it again, or run --undo")
                );
            }
            system.setup(&["--undo", "--yes"]).last_line();
            assert_eq!(system.snapshot(), before, "undo ended at {at}");
            if set_up.is_none() && undone.is_none() {
                assert!(at > 4, "only {at} operations");
                break;
            }
        }
    }
}

#[test]
fn a_second_run_at_the_same_time_is_refused() {
    let system = System::new("trixie");
    let first = fs::File::open(system.0.path()).expect("the root");
    first.lock().expect("a lock");
    let before = system.snapshot();
    system.refuses(&["--yes"], "another set-up is at work on this system");
    system.setup(&["--dry-run"]).last_line();
    assert_eq!(system.snapshot(), before);
}

#[test]
fn the_model_comes_from_the_stick_to_where_the_service_finds_it() {
    let stick = TempDir::new().expect("a folder");
    let (mind, from) = (stick.path().join("Mind-Q4.gguf"), stick.path().to_str().expect("UTF-8"));
    fs::write(&mind, b"GGUF the mind").expect("a model");
    fs::write(stick.path().join("readme.txt"), "").expect("a file");
    let system = System::new("bookworm");
    let from_stick = ["--yes", "--model-from", from];
    let ended = system.setup(&from_stick);
    assert_eq!(ended.last_line(), "setup: 3 changes made");
    let model = "var/lib/private/torment-nexus/models/Mind-Q4.gguf";
    assert_eq!(system.read(model), "GGUF the mind");
    assert!(ended.stdout.contains("note: for this model set TORMENT_MODEL="), "{}", ended.stdout);
    // systemd refuses to use a /var/lib/private that others may enter.
    assert_eq!(system.snapshot()[Path::new("var/lib/private")].1 & 0o777, 0o700);
    assert_eq!(system.setup(&from_stick).last_line(), "setup: nothing to change");

    fs::write(&mind, b"GGUF another").expect("a model");
    system.refuses(&from_stick, "is there already");
    assert_eq!(system.read(model), "GGUF the mind");

    // Once the service has run, its folder is its user's: so must be what comes later.
    let owner = if is_root() { 63_210 } else { fs::metadata(&mind).expect("metadata").uid() };
    let system = System::new("bookworm");
    fs::create_dir_all(system.path("var/lib/private/torment-nexus")).expect("a folder");
    symlink("private/torment-nexus", system.path("var/lib/torment-nexus")).expect("a link");
    chown(system.path("var/lib/private/torment-nexus"), Some(owner), None).expect("an owner");
    system.setup(&from_stick).last_line();
    let found = system.snapshot();
    assert_eq!((found[Path::new(model)].2, found[Path::new(model)].1 & 0o777), (owner, 0o644));
    assert_eq!(found[Path::new("var/lib/private/torment-nexus/models")].2, owner);

    // The program's default model needs no option.
    let options = fs::read_to_string(Path::new(ROOT).join("src/cli/options.rs")).expect("the options");
    let default = "SmolLM2-135M-Instruct-Q4_K_M.gguf";
    assert!(options.contains(default), "setup names another default model than the program");
    fs::rename(&mind, stick.path().join(default)).expect("renamed");
    let ended = System::new("trixie").setup(&from_stick);
    assert_eq!(ended.last_line(), "setup: 3 changes made");
    assert!(!ended.stdout.contains("TORMENT_MODEL"), "{}", ended.stdout);
}

#[test]
fn root_writes_a_model_through_nothing_that_the_service_made() {
    const STATE: &str = "var/lib/private/torment-nexus";
    const MODEL: &str = "var/lib/private/torment-nexus/models/mind.gguf";
    let stick = TempDir::new().expect("a folder");
    fs::write(stick.path().join("mind.gguf"), b"GGUF the mind").expect("a model");
    let within = |system: &System, folder: &str| {
        let all = system.snapshot().into_iter();
        all.filter(|(path, _)| path.starts_with(folder)).collect::<Snapshot>()
    };
    let set_up = |make: &dyn Fn(&System)| {
        let system = System::new("bookworm");
        fs::create_dir_all(system.path(MODEL).with_file_name("")).expect("a folder");
        system.write("root/precious", "precious");
        make(&system);
        for made in within(&system, STATE).into_keys().filter(|_| is_root()) {
            lchown(system.0.path().join(made), Some(63_210), Some(63_210)).expect("an owner");
        }
        let before = within(&system, "root");
        let ended = system.setup(&["--yes", "--model-from", stick.path().to_str().expect("UTF-8")]);
        assert_eq!(within(&system, "root"), before);
        (system, ended)
    };
    let pipe = |path: PathBuf| nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let part = format!("{MODEL}.torment-nexus-new");
    for make in [
        (&|system: &System| symlink(system.path("root/precious"), system.path(&part)).expect("a link"))
            as &dyn Fn(&System),
        &|system| pipe(system.path(&part)),
    ] {
        let (system, ended) = set_up(make);
        assert_eq!(ended.last_line(), "setup: 3 changes made");
        assert_eq!(system.read(MODEL), "GGUF the mind");
    }
    let (_, ended) = set_up(&|system| pipe(system.path(MODEL)));
    assert!(ended.error().contains("mind.gguf is there already"), "{}", ended.stderr);
    // A user who is not root has no more rights than the owner of the folder.
    if is_root() {
        let (_, ended) = set_up(&|system| {
            let models = system.path(STATE).join("models");
            fs::remove_dir(&models).expect("removed");
            symlink("../../../../root", models).expect("a link");
        });
        assert!(ended.error().contains("mind.gguf: Permission denied"), "{}", ended.stderr);
    }
}

#[test]
fn what_is_no_model_is_refused_before_anything_is_changed() {
    let stick = TempDir::new().expect("a folder");
    let system = System::new("trixie");
    let before = system.snapshot();
    for (file, text, from, words) in [
        ("readme.txt", "", "", "must have one file that ends in .gguf, and has none: name the file"),
        ("a.gguf", "<html>", "", "a.gguf is no GGUF file"),
        ("b.gguf", "GGUF", "", "and has a.gguf, b.gguf: name the file"),
        ("b.gguf", "GGUF", "c.gguf", "c.gguf: No such file"),
    ] {
        fs::write(stick.path().join(file), text).expect("a file");
        system.refuses(&["--yes", "--model-from", stick.path().join(from).to_str().expect("UTF-8")], words);
        assert_eq!(system.snapshot(), before, "{words}");
    }
}

/// The output of a tool of systemd, started with that kernel command line; `None` on a
/// machine without systemd.
fn systemd(tool: &str, arguments: &[&str], cmdline: &str) -> Option<String> {
    match Command::new(tool).args(arguments).env("SYSTEMD_PROC_CMDLINE", cmdline.trim()).output() {
        Ok(output) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "the gate needs systemd: {error}");
            None
        }
    }
}

#[test]
fn the_package_s_settings_win_over_the_system_s_own() {
    for release in RELEASES {
        let system = System::new(release).with_package();
        let root = system.as_root();
        // The last one holds.
        for (file, setting) in [
            ("systemd/journald.conf", "Storage=persistent"),
            ("systemd/system.conf", "RuntimeWatchdogSec=15"),
            ("rpi/swap.conf", "Mechanism=zram"),
        ] {
            let Some(all) = systemd("systemd-analyze", &[&root, "cat-config", file], "") else { return };
            let (name, _) = setting.split_once('=').expect("a setting");
            assert_eq!(all.lines().rfind(|line| line.starts_with(name)), Some(setting), "{release}: {all}");
        }
        system.write("sys/kernel/mm/lru_gen/min_ttl_ms", "");
        let said = systemd("systemd-tmpfiles", &[&root, "--create", "--prefix=/sys/kernel"], "");
        assert_eq!(system.read("sys/kernel/mm/lru_gen/min_ttl_ms"), "0", "{release}: {said:?}");
        let card = "boot/firmware/torment-nexus/settings.txt";
        for written in ["", "title = MINE\n"] {
            if !written.is_empty() {
                system.write(card, written);
            }
            let said = systemd("systemd-tmpfiles", &[&root, "--create", "--prefix=/boot"], "");
            let new = include_str!("../../../hardware/system/usr/share/torment-nexus/settings.txt");
            let expected = if written.is_empty() { new } else { written };
            assert_eq!(system.read(card), expected, "{release}: {said:?}");
        }
        // Also where a system enables nothing by itself.
        system.write("usr/lib/systemd/system-preset/99-default.preset", "disable *\n");
        system.write("usr/lib/systemd/system/torment-nexus.service", UNIT);
        let said = systemd("systemctl", &[&root, "preset", "torment-nexus.service"], "");
        let started = system.path("etc/systemd/system/multi-user.target.wants/torment-nexus.service");
        assert!(fs::read_link(started).is_ok(), "{release}: {said:?}");
    }
}

#[test]
fn the_usb_printer_of_the_options_has_the_name_that_udev_gives_it() {
    let rule = System::new("trixie").with_package().read("usr/lib/udev/rules.d/70-torment-nexus.rules");
    let (_, name) =
        rule.split_once("KERNEL==\"lp[0-9]*\", SYMLINK+=\"").expect("a rule for /dev/usb/lp0 and lp1");
    let printer = format!("/dev/{}", name.trim_end().trim_end_matches('"'));
    assert!(
        exhibition::all().any(|option| option == ("TORMENT_PRINTER", &printer)),
        "no option is {printer}"
    );
}

#[test]
fn units_in_the_way_start_on_other_systems_and_not_on_a_box() {
    let system = System::new("bookworm").with_package();
    system.write(OVERLAY_SCRIPT, "");
    let before = system.read(CMDLINE);
    system.setup(&["--yes"]).last_line();
    let set_up = system.read(CMDLINE);
    system.setup(&READ_ONLY).last_line();
    for (unit, starts, starts_not) in [
        ("serial-getty@ttyAMA0.service", &before, &set_up),
        ("serial-getty@ttyS0.service", &before, &set_up),
        ("apt-daily.timer", &before, &set_up),
        ("apt-daily-upgrade.timer", &before, &set_up),
        ("man-db.timer", &before, &set_up),
        // A swap file cannot be in memory.
        ("dphys-swapfile.service", &set_up, &system.read(CMDLINE)),
    ] {
        let drop_in = system.read(&format!("usr/lib/systemd/system/{unit}.d/90-torment-nexus.conf"));
        let (_, condition) = drop_in.split_once("\n[Unit]\n").expect("a condition");
        for (cmdline, verdict) in [(starts, "succeeded"), (starts_not, "failed")] {
            let analyze = ["condition", condition.trim()];
            let Some(said) = systemd("systemd-analyze", &analyze, cmdline) else { return };
            assert!(said.contains(&format!("Conditions {verdict}")), "{unit}, {cmdline}: {said}");
        }
    }
}

#[test]
fn a_read_only_root_keeps_the_state_on_its_partition_and_the_journal_in_memory() {
    let system = System::new("bookworm").with_package();
    system.write(OVERLAY_SCRIPT, "");
    let fstab = system.read("etc/fstab");
    fs::create_dir_all(system.path("var/lib/private/torment-nexus")).expect("as systemd makes it");
    fs::create_dir_all(system.path("etc/systemd/journald.conf.d")).expect("a folder");
    let before = system.snapshot();
    system.setup(&READ_ONLY).last_line();
    let added = system.read("etc/fstab");
    let added = added.strip_prefix(&fstab).expect("the old lines");
    assert!(added.starts_with("LABEL=torment-state /var/lib/private/torment-nexus ext4 defaults,noatime,"));
    assert!(added.ends_with(",x-systemd.before=torment-nexus.service 0 2\n"), "{added}");
    assert!(system.read(CMDLINE).starts_with("overlayroot=tmpfs:recurse=0 console=tty1 "));
    if let Some(all) =
        systemd("systemd-analyze", &[&system.as_root(), "cat-config", "systemd/journald.conf"], "")
    {
        assert_eq!(all.lines().rfind(|line| line.starts_with("Storage=")), Some("Storage=volatile"), "{all}");
    }
    system.write("stick/mind.gguf", "GGUF");
    let stick = system.path("stick");
    system.refuses(
        &["--yes", "--model-from", stick.to_str().expect("UTF-8")],
        "the state is on a partition of its own",
    );
    fs::remove_dir_all(stick).expect("removed");
    assert_eq!(system.setup(&READ_ONLY).last_line(), "setup: nothing to change");
    assert_eq!(system.setup(&["--yes"]).last_line(), "setup: nothing to change", "it stays as it is");
    let done = system.snapshot();
    system.setup(&["--undo", "--yes"]).last_line();
    assert_eq!(system.snapshot(), before);

    system.setup(&READ_ONLY).last_line();
    assert_eq!(system.snapshot(), done);
    system.setup(&["--yes", "--no-read-only"]).last_line();
    assert_eq!(system.read("etc/fstab"), fstab);
    assert!(system.read(CMDLINE).starts_with("console=tty1 "));
    assert!(!system.path(JOURNAL).exists(), "the package's file holds again");
    system.setup(&["--undo", "--yes"]).last_line();
    assert_eq!(system.snapshot(), before);
}
