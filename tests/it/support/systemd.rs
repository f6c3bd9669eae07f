//! A real systemd that runs the unit: PID 1 of namespaces of its own, in which
//! the program is installed. What it changes is gone when it ends.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use tempfile::TempDir;

use super::exhibition::UNIT;
use super::nexus::{LIMIT, is_root, wait};

/// The settings of systemd's that the test needs: of the groups only those that
/// this machine has, and the program where nothing of the machine's own is hidden.
const DROP_IN: &str = "[Unit]\nDefaultDependencies=no\n[Service]\nSupplementaryGroups=\nWatchdogSec=2\n\
                       ExecStart=\nExecStart=/usr/local/bin/torment-nexus\n";

/// Pause between two looks at it.
const GLANCE: Duration = Duration::from_millis(50);

/// Makes the file systems, in namespaces of their own, and becomes systemd. The
/// group of processes is a new one, so that systemd's are not mixed with those of
/// the machine's own.
const BEGIN: &str = r#"
set -e
folder=$1
mkdir "$folder/cgroup"
mount -t cgroup2 none "$folder/cgroup"
mkdir "$folder/cgroup/$2"
echo $$ >"$folder/cgroup/$2/cgroup.procs"
exec unshare --cgroup --kill-child --mount-proc --pid --fork sh -c '
set -e
folder=$1
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
for at in /run /usr/local/bin /usr/libexec /etc/default /etc/systemd/system /var/lib /boot; do
    mount -t tmpfs -o mode=755 none $at
done
mkdir -p /etc/systemd/system/torment-nexus.service.d /usr/libexec/torment-nexus /boot/firmware/torment-nexus
cp "$folder/report" "$folder/heartbeat" /usr/libexec/torment-nexus/
cp -r "$folder"/units/torment-nexus* /etc/systemd/system/
for unit in torment-nexus-report@.service torment-nexus-heartbeat@.service torment-nexus-heartbeat.timer; do
    mkdir "/etc/systemd/system/$unit.d"
    printf "[Unit]\nDefaultDependencies=no\n" >"/etc/systemd/system/$unit.d/test.conf"
done
cp "$folder/torment-nexus" /usr/local/bin/
cp "$folder/options" /etc/default/torment-nexus
cp "$folder/unit" /etc/systemd/system/torment-nexus.service
cp "$folder/drop-in" /etc/systemd/system/torment-nexus.service.d/test.conf
printf "[Unit]\nDefaultDependencies=no\n" >/etc/systemd/system/nothing.target
# So that no unit of the machine cleans its temporary files up.
mount -t tmpfs none /var/tmp
mount -t tmpfs none /tmp
export container=test
exec /lib/systemd/systemd --system --unit=nothing.target --show-status=0 --log-target=null
' sh "$folder"
"#;

/// A running systemd. It ends, with everything it has started, when this is
/// dropped.
pub struct Systemd {
    unshare: Child,
    pid: u32,
    folder: TempDir,
    cgroup: String,
}

impl Systemd {
    /// Starts it, with these options of the exhibition. `None`, with a word on
    /// stderr, where a real systemd cannot be run; in the gate that is a failure.
    pub fn start(options: &str) -> Option<Self> {
        let why = if !Path::new("/lib/systemd/systemd").exists() {
            "there is no systemd"
        } else if !is_root() {
            "only root can make the namespaces"
        } else if let Some(systemd) = Self::run(options) {
            return Some(systemd);
        } else {
            "the namespaces cannot be made"
        };
        assert!(std::env::var_os("CI").is_none(), "the gate runs the unit under a real systemd: {why}");
        let _ = writeln!(std::io::stderr(), "SKIPPED: the unit under a real systemd: {why}");
        None
    }

    /// `None` if the namespaces cannot be made.
    fn run(options: &str) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        fs::copy(cargo_bin!("torment-nexus"), at("torment-nexus")).expect("the program");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("hardware");
        for script in ["report", "heartbeat"] {
            fs::copy(root.join(script), at(script)).expect("a script");
        }
        let units = root.join("system/usr/lib/systemd/system");
        symlink(units, at("units")).expect("a link");
        fs::write(at("unit"), UNIT).expect("the unit");
        fs::write(at("drop-in"), DROP_IN).expect("a drop-in");
        fs::write(at("options"), options).expect("the options");
        let cgroup = folder.path().file_name().expect("a name").to_string_lossy().replace('.', "nexus-");
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", BEGIN, "sh"]).arg(folder.path()).arg(&cgroup);
        unshare.stdin(Stdio::null()).stdout(Stdio::null());
        let unshare = unshare.spawn().expect("unshare starts");
        let mut systemd = Self { unshare, pid: 0, folder, cgroup };
        let children = format!("/proc/{0}/task/{0}/children", systemd.unshare.id());
        systemd.pid = wait(
            || "systemd",
            LIMIT,
            GLANCE,
            || {
                if systemd.unshare.try_wait().is_ok_and(|ended| ended.is_some()) {
                    return Some(None);
                }
                let pid = fs::read_to_string(&children).ok()?.trim().parse().ok()?;
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
                (name.trim() == "systemd").then_some(Some(pid))
            },
        )?;
        wait(
            || "an answer of systemd",
            LIMIT,
            GLANCE,
            || systemd.systemctl(&["is-active", "nothing.target"]).map(drop),
        );
        Some(systemd)
    }

    /// What a command prints in its namespaces, and whether it succeeds.
    pub fn does(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string(), "--mount", "--pid", "--cgroup"]);
        let output = command.args(words).output().expect("nsenter starts");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// What `systemctl` with these arguments says; `None` if it fails.
    pub fn systemctl(&self, arguments: &[&str]) -> Option<String> {
        let (is_done, said) = self.does(&[&["systemctl"], arguments].concat());
        is_done.then_some(said)
    }

    /// A property of the unit.
    pub fn show(&self, property: &str) -> String {
        self.systemctl(&["show", "--value", "-p", property, "torment-nexus"]).expect("systemctl show")
    }

    /// Waits until the status has this text, as long as the unit does not fail.
    pub fn wait_for_status(&self, what: &str, is_right: impl Fn(&str) -> bool) -> String {
        wait(|| what, LIMIT, GLANCE, || Some(self.show("StatusText")).filter(|text| is_right(text)))
    }

    /// The card's report, once there is one that holds this.
    pub fn wait_for_report(&self, expected: &str) -> String {
        let path = format!("/proc/{}/root/boot/firmware/torment-nexus/report.txt", self.pid);
        let read = || fs::read_to_string(&path).ok().filter(|text| text.contains(expected));
        wait(|| "the report", LIMIT, GLANCE, read)
    }

    /// Sends a signal to the program's main process.
    pub fn kill(&self, signal: &str) {
        let kill = ["kill", "--kill-whom=main", "--signal", signal, "torment-nexus"];
        self.systemctl(&kill).expect("systemctl kill");
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // `--kill-child`: systemd, and with it every process of its namespace.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        // The mount went with its namespace, the group of processes has to be
        // removed.
        let root = self.folder.path().join("cgroup");
        let script = r#"mount -t cgroup2 none "$1" && find "$1/$2" -depth -type d -exec rmdir {} +"#;
        for _ in 0..50 {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", script, "sh"]).arg(&root).arg(&self.cgroup);
            if command.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The device of a fake printer, which the unit's user may write to.
pub fn open_to_all(link: &Path) -> PathBuf {
    let device = fs::read_link(link).expect("the printer's link");
    fs::set_permissions(&device, fs::Permissions::from_mode(0o666)).expect("a mode");
    device
}
