//! A running emulated Zero 2 W: it boots, its pins are driven and read from
//! outside, and what is on its serial ports is kept.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::nexus::wait;

/// The longest wait for anything in the emulator: a life of ember takes about a
/// minute on a machine that does nothing else.
pub const LIMIT: Duration = Duration::from_secs(900);

/// How long the emulator may take to answer, and a life to begin after its
/// press.
pub const ANSWER: Duration = Duration::from_secs(60);

/// The wiring, by BCM number.
pub const BUTTON: u8 = 23;
pub const LIGHT: u8 = 18;

/// Registers of the BCM2837's GPIO block: set, clear and level of pins 0 to 31.
const SET: u32 = 0x3f20_001c;
const CLEAR: u32 = 0x3f20_0028;
const LEVEL: u32 = 0x3f20_0034;

/// What the kernel needs on every emulated board. `initcall_blacklist`: the power
/// manager's clock is not emulated. `iomem=relaxed`: rppal maps registers that the
/// kernel's own driver has claimed.
const KERNEL: &str = "iomem=relaxed initcall_blacklist=bcm2835_pm_driver_init rdinit=/init";

/// The first program of a system on a card: it loads the modules of the card, the
/// pins and a USB stick, and hands over to the card's own. The quirk of QEMU's stick (no
/// more than 18 bytes of sense data): of what is asked for beyond what it has, QEMU fills
/// a whole packet with zeros, over what is behind the kernel's buffer.
const ONTO_THE_CARD: &str = "#!/bin/busybox sh\n\
     /bin/busybox --install -s /bin\n\
     export PATH=/bin\n\
     mkdir -p /proc /sys /dev /card\n\
     mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev\n\
     for module in /lib/*.ko; do insmod $module; done\n\
     echo 46f4:0001:b >/sys/module/usb_storage/parameters/quirks\n\
     tries=0\n\
     while [ ! -e /dev/mmcblk0p2 ] && [ $tries -lt 60 ]; do sleep 1; tries=$((tries + 1)); done\n\
     mount -t ext4 -o ro /dev/mmcblk0p2 /card || echo '[there is no card]' >/dev/ttyS0\n\
     umount /proc /sys && mount --move /dev /card/dev\n\
     exec switch_root /card /sbin/init\n";

pub fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What the printer's serial line is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Printer,
    /// Every byte is sent, and none arrives.
    Nowhere,
}

/// A running emulated board.
pub struct Board {
    qemu: Child,
    pub folder: TempDir,
    /// QEMU's qtest socket, through which registers are read and written from
    /// outside.
    registers: Mutex<BufReader<UnixStream>>,
    /// What is typed on the console.
    keys: Mutex<UnixStream>,
    /// QEMU's monitor.
    monitor: Mutex<UnixStream>,
}

impl Board {
    /// Boots, and runs `script` in a shell with the program and the `extra`
    /// files in its PATH; `card` is the image of an SD card.
    pub fn boot(script: &str, wire: Wire, extra: &[(&str, Vec<u8>)], card: Option<&Path>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        copy(&tree("target/emulator/root"), &at("root"));
        let program = tree("target/aarch64-unknown-linux-gnu/dist/torment-nexus");
        fs::copy(program, at("root/bin/torment-nexus")).expect("script/pi-build has built the program");
        for (name, content) in extra {
            executable(&at("root/bin").join(name), content);
        }
        let init = format!(
            "#!/bin/busybox sh\n\
             /bin/busybox --install -s /bin\n\
             export PATH=/bin HOME=/\n\
             mkdir -p /proc /sys /dev /tmp\n\
             mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev\n\
             {script}\n\
             echo 'the end'\n\
             sleep 1000\n"
        );
        executable(&at("root/init"), init.as_bytes());
        Self::start(folder, wire, "console=ttyS0,115200 loglevel=1", card)
    }

    /// Boots the system of an SD card, with this command line of its firmware.
    pub fn boot_from_card(card: &Path, command_line: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        copy(&tree("target/emulator/root"), &at("root"));
        copy(&tree("target/emulator/modules/."), &at("root/lib"));
        executable(&at("root/init"), ONTO_THE_CARD.as_bytes());
        Self::start(folder, Wire::Printer, command_line, Some(card))
    }

    /// Starts the emulator with the `root` of a folder as its first file system.
    fn start(folder: TempDir, wire: Wire, command_line: &str, card: Option<&Path>) -> Self {
        let at = |name: &str| folder.path().join(name);
        let pack = "cd root && find . | cpio --quiet -o -H newc | gzip -1 >../initramfs";
        run(Command::new("sh").args(["-c", pack]).current_dir(folder.path()));
        let printer = match wire {
            Wire::Printer => format!("file:{}", at("printer").display()),
            Wire::Nowhere => "null".to_owned(),
        };
        let mut qemu = Command::new("qemu-system-aarch64");
        qemu.args(["-M", "raspi3ap", "-accel", "tcg,thread=single", "-display", "none"]);
        qemu.arg("-no-reboot").arg("-kernel").arg(tree("target/emulator/kernel"));
        qemu.arg("-dtb").arg(tree("target/emulator/board.dtb")).arg("-initrd").arg(at("initramfs"));
        qemu.arg("-append").arg(format!("{KERNEL} {command_line}"));
        for (id, socket) in [("console", "keys"), ("monitor", "monitor")] {
            let (socket, log) = (at(socket), at(&format!("{id}.log")));
            let (socket, log) = (socket.display(), log.display());
            qemu.args([
                "-chardev",
                &format!("socket,id={id},server=on,wait=off,path={socket},logfile={log}"),
            ]);
        }
        qemu.args(["-mon", "monitor,mode=control", "-serial", &printer, "-serial", "chardev:console"]);
        qemu.args(["-qtest", &format!("unix:{},server=on,wait=off", at("qtest").display())]);
        if let Some(card) = card {
            qemu.args(["-drive", &format!("if=sd,format=raw,file={}", card.display())]);
        }
        let qemu =
            qemu.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("qemu-system-aarch64 starts");
        let [keys, monitor] = ["keys", "monitor"].map(|name| {
            let socket = connect(&at(name));
            // What is said there is in its log.
            let mut said = socket.try_clone().expect("a socket");
            thread::spawn(move || io::copy(&mut said, &mut io::sink()));
            Mutex::new(socket)
        });
        write(&monitor, r#"{ "execute": "qmp_capabilities" }"#);
        let registers = connect(&at("qtest"));
        registers.set_read_timeout(Some(ANSWER)).expect("a time-out");
        Self { qemu, folder, registers: Mutex::new(BufReader::new(registers)), keys, monitor }
    }

    fn ask(&self, question: &str) -> String {
        let mut registers = self.registers.lock().expect("no test has panicked");
        registers.get_mut().write_all(format!("{question}\n").as_bytes()).expect("the machine runs");
        let mut answer = String::new();
        registers.read_line(&mut answer).expect("the machine answers");
        answer.trim().strip_prefix("OK").unwrap_or_else(|| panic!("{question}: {answer}")).trim().to_owned()
    }

    pub fn drive(&self, pin: u8, high: bool) {
        let register = if high { SET } else { CLEAR };
        self.ask(&format!("writel {register:#x} {:#x}", 1_u32 << pin));
    }

    pub fn is_high(&self, pin: u8) -> bool {
        let level = self.ask(&format!("readl {LEVEL:#x}"));
        let level = u64::from_str_radix(level.trim_start_matches("0x"), 16).expect("a number");
        level >> pin & 1 == 1
    }

    /// What the program and its shell have written so far.
    pub fn console(&self) -> String {
        let bytes = fs::read(self.folder.path().join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// Types on the console.
    pub fn type_in(&self, text: &str) {
        write(&self.keys, text);
    }

    /// Plugs a USB stick with this image in, which cannot be written to. `name` is not
    /// any former one's.
    pub fn plug_in(&self, name: &str, image: &Path) {
        let file = json!({ "driver": "file", "filename": image });
        let disk = json!({ "driver": "raw", "node-name": name, "read-only": true, "file": file });
        self.order("blockdev-add", &disk);
        // Without a port named it would get a hub, which hangs when the next stick comes.
        let device = json!({ "driver": "usb-storage", "drive": name, "id": name, "port": "1" });
        self.order("device_add", &device);
    }

    pub fn pull_out(&self, name: &str) {
        self.order("device_del", &json!({ "id": name }));
    }

    /// Has the monitor do something.
    fn order(&self, what: &str, arguments: &Value) {
        write(&self.monitor, &json!({ "execute": what, "arguments": arguments }).to_string());
    }

    pub fn printed(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("printer")).unwrap_or_default()
    }

    /// Waits until the console contains `words` `count` times.
    pub fn wait_for(&self, words: &str, count: usize, limit: Duration) -> Result<(), String> {
        let begun = Instant::now();
        while self.console().matches(words).count() < count {
            if begun.elapsed() > limit {
                return Err(format!("{words:?} is not said in {} s: {}", limit.as_secs(), self.console()));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Connects to a socket of QEMU's once it is there.
fn connect(path: &Path) -> UnixStream {
    wait(|| "a machine", ANSWER, Duration::from_millis(50), || UnixStream::connect(path).ok())
}

fn write(socket: &Mutex<UnixStream>, text: &str) {
    socket.lock().expect("no test has panicked").write_all(text.as_bytes()).expect("the machine runs");
}

fn copy(from: &Path, to: &Path) {
    assert!(from.exists(), "{from:?} is missing: run script/pi-emulate");
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

fn executable(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
}

pub fn run(command: &mut Command) {
    let status = command.status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
}
