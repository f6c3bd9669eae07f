//! `hardware/setup` on copies of two systems, bookworm and trixie, which are in
//! `tests/fixtures`: what it changes, and that nothing is left of it after `--undo`.
//!
//! Only the standard library is used here, so that these tests can be run without
//! building the program: `CARGO_MANIFEST_DIR=$PWD rustc --test --edition 2024 -o
//! target/setup-tests tests/it/hardware/setup.rs && target/setup-tests`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const RELEASES: [&str; 2] = ["bookworm", "trixie"];

const CONFIG: &str = "boot/firmware/config.txt";
const CMDLINE: &str = "boot/firmware/cmdline.txt";
const JOURNAL: &str = "etc/systemd/journald.conf.d/90-torment-nexus.conf";
const WATCHDOG: &str = "etc/systemd/system.conf.d/90-torment-nexus.conf";
const MEMORY: &str = "etc/tmpfiles.d/00-torment-nexus.conf";

const BLOCK: &str = "\
# >>> torment-nexus-setup: it rewrites the lines between these marks
[all]
dtoverlay=
dtparam=audio=off
dtparam=watchdog=on
enable_uart=1
dtoverlay=disable-bt
dtoverlay=pwm,pin=18,func=2
# <<< torment-nexus-setup
";

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("torment-setup-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new folder");
        Folder(fs::canonicalize(path).expect("its path"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The root of a system.
struct System(Folder);

struct Ended {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(output: Output) -> Ended {
        Ended {
            status: output.status.code().expect("an exit status"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    fn last_line(&self) -> &str {
        assert_eq!(self.status, 0, "{}{}", self.stdout, self.stderr);
        self.stdout.lines().last().unwrap_or_default()
    }

    /// The one line of an error.
    fn error(&self) -> &str {
        assert_ne!(self.status, 0, "{}", self.stdout);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.stderr.strip_prefix("error: ").expect("an error").trim_end()
    }
}

/// What is at each path: kind, mode, owner, and bytes or target.
type Snapshot = BTreeMap<PathBuf, (char, u32, u32, u32, Vec<u8>)>;

impl System {
    fn new(release: &str) -> System {
        let system = System(Folder::new());
        copy(&Path::new(ROOT).join("tests/fixtures").join(release), &system.0.0);
        fs::create_dir_all(system.path("var/lib")).expect("a folder");
        symlink("usr/lib", system.path("lib")).expect("the merged /usr");
        fs::set_permissions(system.path("etc/gshadow"), fs::Permissions::from_mode(0o640)).expect("a mode");
        system
    }

    /// A bookworm system with another config.txt.
    fn with_config(config: &str) -> System {
        let system = System::new("bookworm");
        system.write(CONFIG, config);
        system
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.0.join(path)
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
        Ended::of(self.command(options).output().expect("hardware/setup starts"))
    }

    fn command(&self, options: &[&str]) -> Command {
        // The system's, as on the Pi.
        let system = Path::new("/usr/bin/python3");
        let mut command = Command::new(if system.exists() { system } else { Path::new("python3") });
        command.arg(Path::new(ROOT).join("hardware/setup"));
        command.arg("--root").arg(&self.0.0).args(options).stdin(Stdio::null());
        command
    }

    fn snapshot(&self) -> Snapshot {
        let mut all = Snapshot::new();
        look(&self.0.0, &self.0.0, &mut all);
        all
    }

    fn is_masked(&self, unit: &str) -> bool {
        fs::read_link(self.path("etc/systemd/system").join(unit)).is_ok_and(|to| to == Path::new("/dev/null"))
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
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
        } else {
            ('f', fs::read(&path).expect("a file"))
        };
        let within = path.strip_prefix(root).expect("in the root").to_owned();
        all.insert(within, (kind, metadata.mode(), metadata.uid(), metadata.gid(), bytes));
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[test]
fn a_dry_run_shows_the_changes_and_makes_none() {
    for release in RELEASES {
        let system = System::new(release);
        let before = system.snapshot();
        let ended = system.setup(&["--dry-run"]);
        assert_eq!(system.snapshot(), before, "{release}");
        for line in ["-dtparam=audio=on", "+enable_uart=1", "+Storage=persistent", "mask apt-daily.timer"] {
            assert!(ended.stdout.lines().any(|shown| shown == line), "{line}: {}", ended.stdout);
        }
        assert!(ended.last_line().ends_with("nothing was changed"), "{}", ended.stdout);
    }
}

#[test]
fn the_boot_files_get_exactly_the_lines_of_the_box() {
    for (release, resize) in [("bookworm", ""), ("trixie", " resize")] {
        let system = System::new(release);
        let config = system.read(CONFIG);
        system.setup(&["--yes"]).last_line();
        let replaced =
            config.replace("\ndtparam=audio=on\n", "\n# torment-nexus-setup replaced: dtparam=audio=on\n");
        assert_eq!(system.read(CONFIG), replaced + BLOCK, "{release}");
        let root = "console=tty1 root=PARTUUID=7a1c9e02-02 rootfstype=ext4 fsck.repair=yes rootwait";
        assert_eq!(system.read(CMDLINE), format!("{root}{resize} panic=10\n"), "{release}");
        // What only says that the file has moved is left alone.
        assert!(system.read("boot/config.txt").starts_with("This file has moved"));
    }
}

#[test]
fn the_system_gets_its_drop_ins_masks_options_and_the_service() {
    for (release, last) in [
        ("bookworm", "setup: 8 files changed, 6 units masked"),
        ("trixie", "setup: 8 files changed, 5 units masked"),
    ] {
        let system = System::new(release);
        assert_eq!(system.setup(&["--yes"]).last_line(), last);
        assert_eq!(system.read(JOURNAL), "[Journal]\nStorage=persistent\nSystemMaxUse=32M\n");
        assert_eq!(system.read(WATCHDOG), "[Manager]\nRuntimeWatchdogSec=15\n");
        for unit in ["serial-getty@ttyAMA0.service", "serial-getty@ttyS0.service", "man-db.timer"] {
            assert!(system.is_masked(unit), "{unit}");
        }
        for unit in ["apt-daily.timer", "apt-daily-upgrade.timer"] {
            assert!(system.is_masked(unit), "{unit}");
        }
        // Trixie attaches Bluetooth in the kernel, without this service.
        assert_eq!(system.is_masked("hciuart.service"), release == "bookworm");
        let hardware = Path::new(ROOT).join("hardware");
        for (path, source) in [
            ("etc/default/torment-nexus", "default"),
            ("etc/systemd/system/torment-nexus.service", "torment-nexus.service"),
        ] {
            assert_eq!(system.read(path), fs::read_to_string(hardware.join(source)).expect("a file"));
        }
        let started = system.path("etc/systemd/system/multi-user.target.wants/torment-nexus.service");
        let unit = fs::read_link(started).expect("a link");
        assert_eq!(unit, Path::new("/etc/systemd/system/torment-nexus.service"));
    }
}

#[test]
fn a_second_run_changes_nothing() {
    for release in RELEASES {
        let system = System::new(release);
        system.setup(&["--yes", "--user", "gallery"]).last_line();
        let after = system.snapshot();
        let again = system.setup(&["--yes", "--user", "gallery"]);
        assert_eq!(again.last_line(), "setup: nothing to change");
        assert_eq!(system.snapshot(), after, "{release}");
    }
}

#[test]
fn undo_restores_every_byte_mode_and_owner() {
    let stick = Folder::new();
    let model = stick.0.join("mind.gguf");
    fs::write(&model, b"GGUF and more").expect("a model");
    for release in RELEASES {
        let system = System::new(release);
        if is_root() {
            chown(system.path("etc/gshadow"), Some(0), Some(42)).expect("an owner");
        }
        let before = system.snapshot();
        let options = ["--yes", "--user", "gallery", "--model-from", model.to_str().expect("UTF-8")];
        system.setup(&options).last_line();
        assert_ne!(system.snapshot(), before);
        let looked = system.setup(&["--undo", "--dry-run"]);
        assert_eq!(looked.last_line(), "setup: nothing was changed");
        let undone = system.setup(&["--undo", "--yes"]);
        assert!(undone.last_line().starts_with("setup: "), "{}", undone.stdout);
        assert_eq!(system.snapshot(), before, "{release}");
        assert_eq!(system.setup(&["--undo", "--yes"]).last_line(), "setup: nothing to undo");
    }
}

#[test]
fn an_undo_after_several_runs_leads_to_the_state_before_the_first() {
    let system = System::new("bookworm");
    let before = system.snapshot();
    system.setup(&["--yes"]).last_line();
    system.setup(&["--yes", "--keep-bluetooth"]).last_line();
    assert!(system.read(CONFIG).contains("\ndtoverlay=miniuart-bt\n"));
    assert!(!system.read(CONFIG).contains("disable-bt"), "the lines between the marks are rewritten");
    system.setup(&["--undo", "--yes"]).last_line();
    assert_eq!(system.snapshot(), before);
}

#[test]
fn what_was_edited_since_stays_at_an_undo() {
    let system = System::new("bookworm");
    let config = system.read(CONFIG);
    system.setup(&["--yes"]).last_line();
    let edited = system.read(CONFIG) + "gpu_mem=16\n";
    system.write(CONFIG, &edited);
    let undone = system.setup(&["--undo", "--yes"]);
    assert!(undone.error().ends_with("1 path changed since and left as they are"), "{}", undone.stderr);
    assert_eq!(system.read(CONFIG), edited);
    assert!(!system.path(JOURNAL).exists(), "the rest is undone");
    assert_eq!(system.read("var/lib/torment-nexus-setup/before/boot/firmware/config.txt"), config);
}

#[test]
fn a_config_keeps_its_line_ends() {
    let system = System::with_config("camera_auto_detect=1\r\ndtparam=audio=on\r\n");
    let before = system.snapshot();
    system.setup(&["--yes"]).last_line();
    let head = "camera_auto_detect=1\r\n# torment-nexus-setup replaced: dtparam=audio=on\r\n";
    assert_eq!(system.read(CONFIG), format!("{head}{}", BLOCK.replace('\n', "\r\n")));
    assert_eq!(system.setup(&["--yes"]).last_line(), "setup: nothing to change");
    system.setup(&["--undo", "--yes"]).last_line();
    assert_eq!(system.snapshot(), before);
}

#[test]
fn a_last_line_without_an_end_gets_one_before_the_box_s_lines() {
    for (config, end) in [("arm_boost=1", "\n"), ("gpu_mem=16\r\narm_boost=1", "\r\n"), ("", "\n")] {
        let system = System::with_config(config);
        system.setup(&["--yes"]).last_line();
        let between = if config.is_empty() { "" } else { end };
        assert_eq!(system.read(CONFIG), format!("{config}{between}{}", BLOCK.replace('\n', end)));
    }
}

#[test]
fn what_contradicts_the_box_is_replaced_wherever_it_holds_on_this_board() {
    let replaced = "# torment-nexus-setup replaced: ";
    for (before, after) in [
        ("dtparam=audio=on\n", format!("{replaced}dtparam=audio=on\n")),
        ("dtparam=audio\n", format!("{replaced}dtparam=audio\n")),
        (
            "dtparam=i2c_arm=on,audio=on\n",
            format!("{replaced}dtparam=i2c_arm=on,audio=on\ndtparam=i2c_arm=on\n"),
        ),
        ("[pi02]\ndtparam=audio=on\n[all]\n", format!("[pi02]\n{replaced}dtparam=audio=on\n[all]\n")),
        ("[EDID=ABC]\ndtparam=audio=on\n", format!("[EDID=ABC]\n{replaced}dtparam=audio=on\n")),
        ("enable_uart=0\n", format!("{replaced}enable_uart=0\n")),
        ("[all]\nuart_2ndstage=1\n", format!("[all]\n{replaced}uart_2ndstage=1\n")),
        // Other boards, comments and other parameters are not the box's business.
        ("[pi4]\ndtparam=audio=on\n[cm4]\nenable_uart=0\n", String::new()),
        ("[pi4]\n[EDID=ABC]\ndtparam=audio=on\n", String::new()),
        ("[none]\ndtparam=audio=on\n", String::new()),
        ("#dtparam=audio=on\n", String::new()),
        ("dtparam=i2c_arm=on\n", String::new()),
    ] {
        let system = System::with_config(before);
        system.setup(&["--yes"]).last_line();
        let after = if after.is_empty() { before } else { &after };
        assert_eq!(system.read(CONFIG), format!("{after}{BLOCK}"), "{before}");
        assert_eq!(system.setup(&["--yes"]).last_line(), "setup: nothing to change", "{before}");
    }
}

#[test]
fn lines_that_hold_already_are_not_repeated() {
    let by_hand = "[pi4]\nenable_uart=1\n[all]\nenable_uart=1\ndtoverlay=disable-bt\n\
                   dtoverlay=pwm,pin=18,func=2\ndtparam=audio=off,watchdog=on\n";
    let system = System::with_config(by_hand);
    system.setup(&["--yes"]).last_line();
    assert_eq!(system.read(CONFIG), by_hand);

    // Below this overlay `audio` is the sound of HDMI; and another board's line is not ours.
    let not_ours = "dtoverlay=vc4-kms-v3d\ndtparam=audio=off\n[cm4]\nenable_uart=1\n";
    let system = System::with_config(not_ours);
    system.setup(&["--yes"]).last_line();
    assert_eq!(system.read(CONFIG), format!("{not_ours}{BLOCK}"));
}

#[test]
fn the_lines_stay_where_they_are_when_something_follows_them() {
    let system = System::with_config("arm_boost=1\n");
    system.setup(&["--yes"]).last_line();
    let config = format!("{}gpu_mem=16\n", system.read(CONFIG));
    system.write(CONFIG, &config.replace("enable_uart=1\n", ""));
    system.setup(&["--yes"]).last_line();
    assert_eq!(system.read(CONFIG), config);
}

#[test]
fn lines_that_take_the_box_s_pins_are_reported_and_kept() {
    for line in [
        "dtparam=i2s=on",
        "dtoverlay=hifiberry-dac",
        "dtoverlay=gpio-ir",
        "dtoverlay=gpio-fan,gpiopin=14,temp=80000",
        "dtoverlay=pwm-2chan",
        "gpio=20-23=op,dh",
    ] {
        let system = System::with_config(&format!("{line}\n"));
        let ended = system.setup(&["--yes"]);
        let note = format!("note: config.txt: look at '{line}': ");
        assert!(ended.stdout.lines().any(|shown| shown.starts_with(&note)), "{line}: {}", ended.stdout);
        assert_eq!(system.read(CONFIG), format!("{line}\n{BLOCK}"));
    }
    for line in ["dtoverlay=gpio-fan,gpiopin=12", "dtoverlay=vc4-kms-v3d", "[pi4]\ndtoverlay=gpio-ir"] {
        let system = System::with_config(&format!("{line}\n"));
        assert!(!system.setup(&["--yes"]).stdout.contains("look at"), "{line}");
    }
}

#[test]
fn the_kernel_s_messages_leave_the_printer_s_port_in_every_form() {
    for (before, after) in [
        ("console=serial0,115200 console=tty1 rootwait\n", "console=tty1 rootwait panic=10\n"),
        ("console=tty1 console=ttyAMA0,115200 rootwait\n", "console=tty1 rootwait panic=10\n"),
        ("rootwait console=ttyS0\n", "console=tty1 rootwait panic=10\n"),
        ("console=tty0 kgdboc=serial0,115200 rootwait", "console=tty0 rootwait panic=10"),
        // Without a console the kernel would take the serial port by itself.
        ("rootwait\r\n", "console=tty1 rootwait panic=10\r\n"),
        ("console=tty1 panic=0 rootwait\n", "console=tty1 rootwait panic=10\n"),
        ("console=tty1 rootwait panic=5\n", "console=tty1 rootwait panic=5\n"),
        ("console=tty1 a=\"two words\" panic=10\n", "console=tty1 a=\"two words\" panic=10\n"),
        ("console=tty1 console=ttyUSB0,9600 panic=10\n", "console=tty1 console=ttyUSB0,9600 panic=10\n"),
    ] {
        let system = System::new("trixie");
        system.write(CMDLINE, before);
        system.setup(&["--yes"]).last_line();
        assert_eq!(system.read(CMDLINE), after, "{before}");
        assert_eq!(system.setup(&["--yes"]).last_line(), "setup: nothing to change", "{before}");
    }
}

#[test]
fn a_cmdline_of_two_lines_is_refused_before_anything_is_changed() {
    let system = System::new("trixie");
    system.write(CMDLINE, "console=tty1\nrootwait\n");
    let before = system.snapshot();
    let ended = system.setup(&["--yes"]);
    assert!(ended.error().starts_with("cmdline.txt has 2 lines"), "{}", ended.stderr);
    assert_eq!(system.snapshot(), before);
}

#[test]
fn a_system_without_boot_files_is_refused() {
    let system = System::new("trixie");
    for path in [CONFIG, CMDLINE, "boot/config.txt"] {
        fs::remove_file(system.path(path)).expect("removed");
    }
    let before = system.snapshot();
    let ended = system.setup(&["--yes"]);
    assert!(ended.error().contains("is this Raspberry Pi OS"), "{}", ended.stderr);
    assert_eq!(system.snapshot(), before);
}

#[test]
fn the_boot_files_may_be_in_boot_itself() {
    let system = System::new("bookworm");
    for name in ["config.txt", "cmdline.txt"] {
        fs::rename(system.path("boot/firmware").join(name), system.path("boot").join(name)).expect("moved");
    }
    system.setup(&["--yes"]).last_line();
    assert!(system.read("boot/config.txt").ends_with(BLOCK));
    assert!(system.read("boot/cmdline.txt").ends_with(" panic=10\n"));
}

#[test]
fn a_failure_in_the_middle_leaves_whole_files_and_a_second_run_completes() {
    let system = System::new("bookworm");
    // A file where a folder is needed: also root cannot write there.
    system.write("etc/systemd/system.conf.d", "");
    let before = system.snapshot();
    let failed = system.setup(&["--yes"]);
    assert!(failed.error().contains("/etc/systemd/system.conf.d"), "{}", failed.stderr);
    assert!(failed.error().contains("run it again, or run --undo"), "{}", failed.stderr);
    let halfway = system.snapshot();
    assert_ne!(halfway, before, "some changes were made");
    let whole = system.read(JOURNAL);
    assert_eq!(whole, "[Journal]\nStorage=persistent\nSystemMaxUse=32M\n");
    assert_eq!(system.read(CONFIG), fs::read_to_string(fixture("bookworm", CONFIG)).expect("a file"));
    assert!(halfway.keys().all(|path| !path.to_string_lossy().contains("-new")), "{:?}", halfway.keys());

    let undone = system.setup(&["--undo", "--yes"]);
    undone.last_line();
    assert_eq!(system.snapshot(), before, "the half is undone");

    system.setup(&["--yes"]);
    fs::remove_file(system.path("etc/systemd/system.conf.d")).expect("removed");
    system.setup(&["--yes"]).last_line();
    assert!(system.read(CONFIG).ends_with(BLOCK), "the second run completes it");
    system.setup(&["--undo", "--yes"]).last_line();
    fs::write(system.path("etc/systemd/system.conf.d"), "").expect("a file");
    assert_eq!(system.snapshot(), before);
}

fn fixture(release: &str, path: &str) -> PathBuf {
    Path::new(ROOT).join("tests/fixtures").join(release).join(path)
}

#[test]
fn a_card_that_is_full_leaves_no_half_of_a_file() {
    let system = System::new("trixie");
    let before = system.snapshot();
    // Files of at most 7 × 512 bytes can be written: the unit is larger.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 7; exec \"$0\" \"$@\""]);
    let setup = system.command(&["--yes"]);
    command.arg(setup.get_program()).args(setup.get_args()).stdin(Stdio::null());
    let ended = Ended::of(command.output().expect("it starts"));
    assert!(
        ended.error().starts_with("/etc/systemd/system/torment-nexus.service: File too large; 8 of 13 "),
        "{}",
        ended.stderr
    );
    let unit = system.path("etc/systemd/system/torment-nexus.service");
    let written = fs::read_dir(unit.parent().expect("a folder")).expect("a folder");
    let names: Vec<_> = written.map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with("torment-nexus")), "{names:?}");
    system.setup(&["--undo", "--yes"]).last_line();
    assert_eq!(system.snapshot(), before);
}

#[test]
fn a_half_written_file_of_a_power_cut_is_no_hindrance() {
    let system = System::new("trixie");
    system.write(&format!("{CONFIG}.torment-nexus-new"), "dtparam=au");
    system.setup(&["--yes"]).last_line();
    assert!(system.read(CONFIG).ends_with(BLOCK));
    assert!(!system.path(&format!("{CONFIG}.torment-nexus-new")).exists());
}

#[test]
fn without_a_terminal_it_asks_for_yes_and_changes_nothing() {
    let system = System::new("trixie");
    let before = system.snapshot();
    let ended = system.setup(&[]);
    assert_eq!(
        (ended.status, ended.error()),
        (2, "no terminal to ask on: add --yes, or --dry-run to look first")
    );
    assert_eq!(system.snapshot(), before);
}

#[test]
fn the_running_system_is_refused_to_anyone_but_root() {
    let folder = Folder::new();
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).expect("a mode");
    let program = folder.0.join("setup");
    fs::copy(Path::new(ROOT).join("hardware/setup"), &program).expect("a copy");
    let mut command = Command::new("/usr/bin/env");
    command.arg("python3").arg(program).arg("--yes").stdin(Stdio::null());
    if is_root() {
        // Python from another user's home may be out of nobody's reach.
        command.env("PATH", "/usr/bin:/bin").gid(65534).uid(65534);
    }
    let ended = Ended::of(command.current_dir("/").output().expect("it starts"));
    assert_eq!((ended.status, ended.error()), (2, "root is needed: run it with sudo"));
}

#[test]
fn a_link_that_leads_out_of_the_root_is_not_followed() {
    let (system, outside) = (System::new("trixie"), Folder::new());
    symlink(&outside.0, system.path("etc/tmpfiles.d")).expect("a link");
    let ended = system.setup(&["--yes"]);
    assert!(ended.error().contains("leads out of"), "{}", ended.stderr);
    assert_eq!(fs::read_dir(&outside.0).expect("a folder").count(), 0);
}

#[test]
fn a_unit_of_somebody_s_own_is_neither_masked_nor_replaced() {
    let system = System::new("trixie");
    system.write("etc/systemd/system/apt-daily.timer", "[Timer]\nOnCalendar=monthly\n");
    system.write("usr/lib/systemd/system/torment-nexus.service", "[Service]\nExecStart=/usr/bin/true\n");
    system.write("etc/default/torment-nexus", "TORMENT_MODEL=ember\n");
    let ended = system.setup(&["--yes"]);
    assert!(ended.stdout.contains("note: apt-daily.timer is not masked"), "{}", ended.stdout);
    assert_eq!(system.read("etc/systemd/system/apt-daily.timer"), "[Timer]\nOnCalendar=monthly\n");
    assert_eq!(system.read("etc/default/torment-nexus"), "TORMENT_MODEL=ember\n");
    assert!(!system.path("etc/systemd/system/torment-nexus.service").exists(), "the package has a unit");
    let started = system.path("etc/systemd/system/multi-user.target.wants/torment-nexus.service");
    let unit = fs::read_link(started).expect("a link");
    assert_eq!(unit, Path::new("/usr/lib/systemd/system/torment-nexus.service"));
}

#[test]
fn a_unit_of_an_earlier_run_makes_way_for_the_package_s() {
    let system = System::new("trixie");
    let before = system.snapshot();
    system.setup(&["--yes"]).last_line();
    let package = "usr/lib/systemd/system/torment-nexus.service";
    system.write(package, "[Service]\nExecStart=/usr/bin/torment-nexus\n");
    system.setup(&["--yes"]).last_line();
    assert!(!system.path("etc/systemd/system/torment-nexus.service").exists());
    let started = system.path("etc/systemd/system/multi-user.target.wants/torment-nexus.service");
    assert_eq!(fs::read_link(started).expect("a link"), Path::new("/").join(package));
    assert_eq!(system.setup(&["--yes"]).last_line(), "setup: nothing to change");
    system.setup(&["--undo", "--yes"]).last_line();
    fs::remove_file(system.path(package)).expect("removed");
    fs::remove_dir(system.path("usr/lib/systemd/system")).expect("empty");
    assert_eq!(system.snapshot(), before);

    // One that somebody has edited is theirs.
    system.setup(&["--yes"]).last_line();
    system.write("etc/systemd/system/torment-nexus.service", "[Service]\nExecStart=/bin/true\n");
    assert_eq!(system.setup(&["--yes"]).last_line(), "setup: nothing to change");
}

#[test]
fn the_user_gains_the_groups_and_loses_only_those_again() {
    let system = System::new("bookworm");
    system.setup(&["--yes", "--user", "gallery"]).last_line();
    for path in ["etc/group", "etc/gshadow"] {
        let groups = system.read(path);
        for group in ["dialout", "video", "gpio"] {
            let line = groups.lines().find(|line| line.starts_with(group)).expect("the group");
            assert!(line.ends_with(":gallery"), "{path}: {line}");
        }
    }
    assert_eq!(system.snapshot()[Path::new("etc/gshadow")].1 & 0o777, 0o640);
    // Somebody adds a group and a member in the meantime.
    let groups = system.read("etc/group").replace("dialout:x:20:gallery", "dialout:x:20:gallery,guest");
    system.write("etc/group", &format!("{groups}guest:x:1001:\n"));
    system.setup(&["--undo", "--yes"]).last_line();
    let groups = system.read("etc/group");
    assert!(groups.contains("dialout:x:20:guest\n") && groups.contains("guest:x:1001:\n"), "{groups}");
    assert!(groups.contains("video:x:44:gallery\n"), "it was a member before: {groups}");

    let ended = system.setup(&["--yes", "--user", "nobody-here"]);
    assert_eq!(ended.error(), "there is no user nobody-here");
}

#[test]
fn the_model_comes_from_the_stick_to_where_the_service_finds_it() {
    let stick = Folder::new();
    fs::write(stick.0.join("Mind-Q4.gguf"), b"GGUF the mind").expect("a model");
    fs::write(stick.0.join("readme.txt"), "").expect("a file");
    let from = stick.0.to_str().expect("UTF-8");
    let system = System::new("bookworm");
    let ended = system.setup(&["--yes", "--model-from", from]);
    assert!(ended.last_line().ends_with(", 1 model copied"), "{}", ended.stdout);
    let model = "var/lib/private/torment-nexus/models/Mind-Q4.gguf";
    assert_eq!(system.read(model), "GGUF the mind");
    assert!(ended.stdout.contains("note: this is not the default model: set TORMENT_MODEL="));
    // systemd refuses to use a /var/lib/private that others may enter.
    assert_eq!(system.snapshot()[Path::new("var/lib/private")].1 & 0o777, 0o700);
    assert_eq!(system.setup(&["--yes", "--model-from", from]).last_line(), "setup: nothing to change");

    fs::write(stick.0.join("Mind-Q4.gguf"), b"GGUF another").expect("a model");
    let ended = system.setup(&["--yes", "--model-from", from]);
    assert!(ended.error().contains("is there already"), "{}", ended.stderr);
    assert_eq!(system.read(model), "GGUF the mind");

    // Once the service has run, its folder is its user's: so must be what comes later.
    let owner = if is_root() { 63_210 } else { fs::metadata(&stick.0).expect("metadata").uid() };
    let system = System::new("bookworm");
    fs::create_dir_all(system.path("var/lib/private/torment-nexus")).expect("a folder");
    symlink("private/torment-nexus", system.path("var/lib/torment-nexus")).expect("a link");
    chown(system.path("var/lib/private/torment-nexus"), Some(owner), None).expect("an owner");
    system.setup(&["--yes", "--model-from", from]).last_line();
    let found = system.snapshot();
    assert_eq!((found[Path::new(model)].2, found[Path::new(model)].1 & 0o777), (owner, 0o644));
    assert_eq!(found[Path::new("var/lib/private/torment-nexus/models")].2, owner);
}

#[test]
fn the_default_model_needs_no_option() {
    let name = "SmolLM2-135M-Instruct-Q4_K_M.gguf";
    let options = fs::read_to_string(Path::new(ROOT).join("src/cli/options.rs")).expect("the options");
    assert!(options.contains(name), "setup names another default model than the program");
    let stick = Folder::new();
    fs::write(stick.0.join(name), "GGUF").expect("a model");
    let ended = System::new("trixie").setup(&["--yes", "--model-from", stick.0.to_str().expect("UTF-8")]);
    assert!(!ended.stdout.contains("default model"), "{}", ended.stdout);
}

#[test]
fn what_is_no_model_is_refused_before_anything_is_changed() {
    let stick = Folder::new();
    let system = System::new("trixie");
    let before = system.snapshot();
    let refused = |from: &Path, says: &str| {
        let ended = system.setup(&["--yes", "--model-from", from.to_str().expect("UTF-8")]);
        assert!(ended.error().contains(says), "{}", ended.stderr);
        assert_eq!(system.snapshot(), before);
    };
    refused(&stick.0, "has 0 files that end in .gguf; name the file");
    fs::write(stick.0.join("a.gguf"), "<html>").expect("a file");
    refused(&stick.0, "a.gguf is no GGUF file");
    fs::write(stick.0.join("b.gguf"), "GGUF").expect("a file");
    refused(&stick.0, "has 2 files that end in .gguf: a.gguf, b.gguf; name the file");
    refused(&stick.0.join("c.gguf"), "cannot read");
}

#[test]
fn the_memory_setting_wins_over_the_system_s_own() {
    let system = System::new("trixie");
    system.setup(&["--yes"]).last_line();
    assert_eq!(system.read(MEMORY), "w- /sys/kernel/mm/lru_gen/min_ttl_ms - - - - 0\n");
    system.write("sys/kernel/mm/lru_gen/min_ttl_ms", "");
    let mut command = Command::new("systemd-tmpfiles");
    command.arg("--create").arg("--prefix=/sys/kernel").arg(format!("--root={}", system.0.0.display()));
    match command.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(system.read("sys/kernel/mm/lru_gen/min_ttl_ms"), "0", "{said}");
        }
        Err(error) => assert!(std::env::var_os("CI").is_none(), "the gate needs systemd: {error}"),
    }
}

#[test]
fn a_read_only_root_keeps_the_state_on_its_partition_and_the_journal_in_memory() {
    let system = System::new("bookworm");
    let options = ["--yes", "--read-only", "LABEL=torment-state"];
    let before = system.snapshot();
    assert!(system.setup(&options).error().contains("apt-get install overlayroot"));
    assert_eq!(system.snapshot(), before);

    system.write("usr/share/initramfs-tools/scripts/init-bottom/overlayroot", "");
    let before = system.snapshot();
    let fstab = system.read("etc/fstab");
    system.setup(&options).last_line();
    let added = system.read("etc/fstab");
    let added = added.strip_prefix(&fstab).expect("the old lines");
    assert!(added.starts_with("LABEL=torment-state /var/lib/private/torment-nexus ext4 defaults,noatime,"));
    assert!(added.ends_with(",x-systemd.before=torment-nexus.service 0 2\n"), "{added}");
    assert!(system.read(CMDLINE).starts_with("overlayroot=tmpfs:recurse=0 console=tty1 "));
    assert_eq!(system.read(JOURNAL), "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n");
    assert!(system.is_masked("dphys-swapfile.service"), "a swap file cannot be in memory");
    let stick = Folder::new();
    fs::write(stick.0.join("mind.gguf"), b"GGUF").expect("a model");
    let ended = system.setup(&["--yes", "--model-from", stick.0.to_str().expect("UTF-8")]);
    assert!(ended.error().starts_with("the state is on a partition of its own"), "{}", ended.stderr);
    assert_eq!(system.setup(&options).last_line(), "setup: nothing to change");
    assert_eq!(system.setup(&["--yes"]).last_line(), "setup: nothing to change", "it stays as it is");

    system.setup(&["--yes", "--no-read-only"]).last_line();
    assert_eq!(system.read("etc/fstab"), fstab);
    assert!(system.read(CMDLINE).starts_with("console=tty1 "));
    assert!(system.read(JOURNAL).contains("Storage=persistent"));
    assert!(!system.is_masked("dphys-swapfile.service"));
    system.setup(&["--undo", "--yes"]).last_line();
    assert_eq!(system.snapshot(), before);

    let ended = system.setup(&["--yes", "--read-only", "/dev/mmcblk0p3"]);
    assert_eq!(ended.error(), "with --root name the partition by LABEL=, UUID= or PARTUUID=");
}

#[test]
fn a_read_only_root_without_an_initramfs_is_refused() {
    let system = System::with_config("arm_boost=1\n");
    system.write("usr/share/initramfs-tools/scripts/init-bottom/overlayroot", "");
    let ended = system.setup(&["--yes", "--read-only", "LABEL=torment-state"]);
    assert!(ended.error().contains("auto_initramfs=1"), "{}", ended.stderr);
}
