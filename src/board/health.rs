//! What the board says of itself, and the technician's slip that says it.
//!
//! | fact | where the kernel has it |
//! |---|---|
//! | temperature | `/sys/class/thermal/thermal_zone0/temp`, in 1/1000 °C |
//! | throttling | the firmware, asked through `/dev/vcio` (group video) as `vcgencmd` does; with kernels before March 2025 also `/sys/devices/platform/soc/soc:firmware/get_throttled` |
//! | under-voltage | the same, else the hwmon device `rpi_volt`: `in0_lcrit_alarm` of the last 2 s |
//! | free memory | `MemAvailable` of `/proc/meminfo` |
//!
//! (raspberrypi/linux pull requests 2397 and 6697; raspberrypi/utils,
//! vcgencmd.) What is not there is not known, and never an error.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::board::memory;
use crate::text::wrap::Wrapper;

/// What the board says of itself; `None` is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Health {
    /// Temperature of the processor, in °C.
    pub celsius: Option<f64>,
    /// What the firmware limits.
    pub throttled: Option<Throttled>,
    /// Whether the supply is or lately was below 4.63 V.
    pub under_voltage: Option<bool>,
    /// Memory that can be had without swapping, in bytes.
    pub free: Option<u64>,
}

/// The firmware's `get_throttled` bits: low half now, high half since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled(pub u32);

impl Throttled {
    const UNDER_VOLTAGE: u32 = 1 << 0;
    /// Frequency capped, throttled, or above the soft temperature limit.
    const SLOWED: u32 = 1 << 1 | 1 << 2 | 1 << 3;

    fn words(self, bits: u32) -> &'static str {
        let Self(state) = self;
        match (state & bits != 0, state & bits << 16 != 0) {
            (true, _) => "YES, now",
            (false, true) => "not now, but since boot",
            (false, false) => "no",
        }
    }
}

impl Health {
    /// Reads it from a system whose `/` is `root`. `firmware` is asked for the
    /// throttled bits first; see [`ask_firmware`].
    #[must_use]
    pub fn read(root: &Path, firmware: impl FnOnce() -> Option<Throttled>) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let throttled = firmware().or_else(|| {
            let bits = text("sys/devices/platform/soc/soc:firmware/get_throttled")?;
            u32::from_str_radix(bits.trim(), 16).ok().map(Throttled)
        });
        let thousandths = text("sys/class/thermal/thermal_zone0/temp")
            .and_then(|temperature| temperature.trim().parse::<f64>().ok());
        Self {
            celsius: thousandths.map(|thousandths| thousandths / 1000.0),
            throttled,
            under_voltage: under_voltage(root),
            free: text("proc/meminfo").and_then(|meminfo| memory::parse_available(&meminfo)),
        }
    }

    /// Reads this machine's.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::read(Path::new("/"), ask_firmware)
    }

    fn voltage(&self) -> Option<&'static str> {
        match (self.throttled, self.under_voltage) {
            (_, Some(true)) => Some("YES, now"),
            (Some(throttled), _) => Some(throttled.words(Throttled::UNDER_VOLTAGE)),
            (None, Some(false)) => Some("no"),
            (None, None) => None,
        }
    }
}

/// The alarm of the hwmon device rpi_volt; their numbers change from boot to
/// boot.
fn under_voltage(root: &Path) -> Option<bool> {
    let devices = fs::read_dir(root.join("sys/class/hwmon")).ok()?;
    let device = devices
        .flatten()
        .map(|entry| entry.path())
        .find(|device| fs::read_to_string(device.join("name")).is_ok_and(|name| name.trim() == "rpi_volt"))?;
    let alarm = fs::read_to_string(device.join("in0_lcrit_alarm")).ok()?;
    alarm.trim().parse::<u8>().ok().map(|alarm| alarm != 0)
}

mod mailbox {
    /// The mailbox's device number, of which the request is made.
    const MAJOR: u8 = 100;
    nix::ioctl_readwrite!(property, MAJOR, 0, *mut u8);
}

/// Words of a property message: size, state, tag, room, length, error, a
/// command's text of 1,024 bytes, end.
const TEXT: usize = 6;
const TEXT_WORDS: usize = 256;
const MESSAGE_WORDS: usize = TEXT + TEXT_WORDS + 1;

/// The property that takes a command as text and returns its answer.
const GENERAL_COMMAND: u32 = 0x0003_0080;

/// Asks the firmware of a Raspberry Pi for its throttled bits.
#[must_use]
pub fn ask_firmware() -> Option<Throttled> {
    let device = File::open("/dev/vcio").ok()?;
    let mut message = request("get_throttled");
    // SAFETY: the driver reads and writes as many bytes as the message's first
    // word says, which is its whole length.
    unsafe { mailbox::property(device.as_raw_fd(), message.as_mut_ptr().cast()) }.ok()?;
    parse_answer(&message)
}

fn request(command: &str) -> [u32; MESSAGE_WORDS] {
    let mut message = [0; MESSAGE_WORDS];
    message[0] = size_of_val(&message) as u32;
    message[2] = GENERAL_COMMAND;
    message[3] = (TEXT_WORDS * size_of::<u32>()) as u32;
    for (word, bytes) in message[TEXT..].iter_mut().zip(command.as_bytes().chunks(4)) {
        let mut four = [0; 4];
        four[..bytes.len()].copy_from_slice(bytes);
        *word = u32::from_ne_bytes(four);
    }
    message
}

fn parse_answer(message: &[u32; MESSAGE_WORDS]) -> Option<Throttled> {
    let bytes: Vec<u8> =
        message[TEXT..].iter().flat_map(|word| word.to_ne_bytes()).take_while(|&byte| byte != 0).collect();
    let bits = std::str::from_utf8(&bytes).ok()?.trim().strip_prefix("throttled=0x")?;
    u32::from_str_radix(bits, 16).ok().map(Throttled)
}

/// What the technician's slip says beside the board's health.
#[derive(Debug, Clone, Copy)]
pub struct Slip<'a> {
    /// Lives so far, where they are counted.
    pub lives: Option<u64>,
    /// The model's name.
    pub model: &'a str,
    /// The whole prompt; the slip shows its first words.
    pub prompt: &'a str,
    /// Tokens a second of the last life, where it is known.
    pub rate: Option<f64>,
}

/// Columns of a fact's name.
const NAME: usize = 12;
/// The most lines that a fact takes.
const LINES: usize = 2;
const NOT_KNOWN: &str = "not known";

impl Slip<'_> {
    /// The slip's lines, each at most `columns` wide.
    #[must_use]
    pub fn lines(&self, health: &Health, columns: usize) -> Vec<String> {
        let throttled = health.throttled.map(|throttled| throttled.words(Throttled::SLOWED).to_owned());
        let facts = [
            ("version", Some(env!("CARGO_PKG_VERSION").to_owned())),
            ("lives", self.lives.map(|lives| lives.to_string())),
            ("model", Some(self.model.to_owned())),
            ("prompt", Some(self.prompt.split_whitespace().collect::<Vec<_>>().join(" "))),
            ("last life", self.rate.map(|rate| format!("{rate:.1} tokens/s"))),
            ("temperature", health.celsius.map(|celsius| format!("{celsius:.1} °C"))),
            ("throttled", throttled),
            ("low voltage", health.voltage().map(str::to_owned)),
            ("free memory", health.free.map(|free| format!("{} MB", free / 1_000_000))),
        ];
        facts
            .iter()
            .flat_map(|(name, value)| fact(name, value.as_deref().unwrap_or(NOT_KNOWN), columns))
            .collect()
    }
}

/// A name and its value, which continues beneath itself.
fn fact(name: &str, value: &str, columns: usize) -> Vec<String> {
    let mut wrapper = Wrapper::new(columns.saturating_sub(NAME));
    let mut text = String::new();
    wrapper.push(value, &mut text);
    wrapper.finish(&mut text);
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    names.zip(text.lines()).take(LINES).map(|(name, line)| format!("{name:NAME$}{line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;
    use unicode_width::UnicodeWidthStr;

    struct Root(TempDir);

    impl Root {
        fn new() -> Self {
            Self(TempDir::new().expect("a temporary folder"))
        }

        fn file(self, path: &str, content: &str) -> Self {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, content).expect("a file");
            self
        }

        fn health(&self, firmware: Option<u32>) -> Health {
            Health::read(self.0.path(), || firmware.map(Throttled))
        }
    }

    const SLIP: Slip = Slip {
        lives: Some(12),
        model: "SmolLM2-135M-Instruct-Q4_K_M.gguf",
        prompt: "You are here,\nand you will speak until there is no room left in you for a word.",
        rate: Some(9.84),
    };

    #[test]
    fn a_current_board_says_all_of_it() {
        let health = Root::new()
            .file("sys/class/thermal/thermal_zone0/temp", "54768\n")
            .file("sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
            .file("sys/class/hwmon/hwmon1/name", "rpi_volt\n")
            .file("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
            .file("proc/meminfo", "MemTotal: 421800 kB\nMemAvailable:  240000 kB\n")
            .health(Some(0x5_0000));
        let lines = SLIP.lines(&health, 32);
        assert_eq!(
            lines,
            [
                concat!("version     ", env!("CARGO_PKG_VERSION")),
                "lives       12",
                "model       SmolLM2-135M-Instruc",
                "            t-Q4_K_M.gguf",
                "prompt      You are here, and",
                "            you will speak until",
                "last life   9.8 tokens/s",
                "temperature 54.8 °C",
                "throttled   not now, but since",
                "            boot",
                "low voltage not now, but since",
                "            boot",
                "free memory 245 MB",
            ]
        );
        assert!(lines.iter().all(|line| line.width() <= 32));
    }

    #[test]
    fn what_is_not_there_is_not_known() {
        let health = Root::new().health(None);
        assert_eq!(health, Health::default());
        let unknown = Slip { lives: None, rate: None, ..SLIP }.lines(&health, 32);
        let not_known = unknown.iter().filter(|line| line.ends_with(NOT_KNOWN)).count();
        assert_eq!(not_known, 6, "{unknown:?}");
    }

    #[test]
    fn nonsense_is_not_known_either() {
        let health = Root::new()
            .file("sys/class/thermal/thermal_zone0/temp", "warm")
            .file("sys/class/hwmon/hwmon0/name", "rpi_volt")
            .file("sys/class/hwmon/hwmon0/in0_lcrit_alarm", "")
            .file("sys/devices/platform/soc/soc:firmware/get_throttled", "zz")
            .file("proc/meminfo", "MemAvailable: much\n")
            .health(None);
        assert_eq!(health, Health::default());
    }

    #[test]
    fn an_older_kernels_file_serves_where_the_firmware_is_not_to_be_asked() {
        let root = Root::new().file("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n");
        let health = root.health(None);
        assert_eq!((health.throttled, health.voltage()), (Some(Throttled(0x5_0005)), Some("YES, now")));
        assert_eq!(root.health(Some(0)).throttled, Some(Throttled(0)), "the firmware knows better");
    }

    #[test]
    fn under_voltage_is_known_from_the_alarm_alone() {
        for (alarm, words) in [("0\n", "no"), ("1\n", "YES, now")] {
            let health = Root::new()
                .file("sys/class/hwmon/hwmon0/name", "rpi_volt\n")
                .file("sys/class/hwmon/hwmon0/in0_lcrit_alarm", alarm)
                .health(None);
            assert_eq!(health.voltage(), Some(words));
        }
    }

    #[test]
    fn each_bit_of_the_firmware_has_its_words() {
        let words = |bits| {
            let throttled = Throttled(bits);
            [throttled.words(Throttled::SLOWED), throttled.words(Throttled::UNDER_VOLTAGE)]
        };
        assert_eq!(words(0), ["no", "no"]);
        assert_eq!(words(0x1), ["no", "YES, now"]);
        for slowed in [0x2, 0x4, 0x8] {
            assert_eq!(words(slowed), ["YES, now", "no"]);
            assert_eq!(words(slowed << 16), ["not now, but since boot", "no"]);
        }
    }

    #[test]
    fn the_firmwares_answer_is_read_and_any_other_is_not() {
        let asked = request("get_throttled");
        assert_eq!((asked[0], asked[2], asked[3]), (1052, 0x0003_0080, 1024));
        assert_eq!(parse_answer(&asked), None, "the question is no answer");
        assert_eq!(parse_answer(&request("throttled=0x50005")), Some(Throttled(0x5_0005)));
        assert_eq!(parse_answer(&request("error=2 error_msg=\"Command not registered\"")), None);
        assert_eq!(parse_answer(&[u32::MAX; MESSAGE_WORDS]), None);
    }
}
