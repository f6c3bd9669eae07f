//! The board's health, and where each value comes from.
//!
//! | value | source |
//! |---|---|
//! | temperature | `/sys/class/thermal/thermal_zone0/temp`, in 1/1000 °C |
//! | throttling, under-voltage | the firmware, asked through `/dev/vcio` (group video) as `vcgencmd` does (raspberrypi/utils) |
//! | free memory | `MemAvailable` of `/proc/meminfo` |
//!
//! A missing file leaves its value unknown (`None`); it is never an
//! error.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::memory;

/// The board's health; `None` is an unknown value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Health {
    /// Temperature of the processor, in °C.
    pub celsius: Option<f64>,
    /// What the firmware limits, and whether the supply was below 4.63 V.
    pub throttled: Option<Throttled>,
    /// Memory that can be had without swapping, in bytes.
    pub free: Option<u64>,
}

/// The bits of the firmware's `get_throttled`: the low 16 say what is so now,
/// the high 16 what was so at any time since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled(pub u32);

impl Throttled {
    const UNDER_VOLTAGE: u32 = 1 << 0;
    /// Frequency capped, throttled, or above the soft temperature limit.
    const SLOWED: u32 = 1 << 1 | 1 << 2 | 1 << 3;

    /// Whether the processor is or was slowed down, in words.
    #[must_use]
    pub fn slowed(self) -> &'static str {
        self.words(Self::SLOWED)
    }

    /// Which of these are so now, in the words of the slip.
    #[must_use]
    pub(crate) fn names(self) -> &'static str {
        let Self(state) = self;
        match (state & Self::SLOWED != 0, state & Self::UNDER_VOLTAGE != 0) {
            (false, false) => "neither",
            (true, false) => "throttled",
            (false, true) => "low voltage",
            (true, true) => "throttled, low voltage",
        }
    }

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
    /// Reads the values of the system whose root folder is `root`. The
    /// throttled bits are those that `firmware` returns, as [`ask_firmware`]
    /// does.
    #[must_use]
    pub fn read(root: &Path, firmware: impl FnOnce() -> Option<Throttled>) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let thousandths = text("sys/class/thermal/thermal_zone0/temp")
            .and_then(|temperature| temperature.trim().parse::<f64>().ok());
        Self {
            celsius: thousandths.map(|thousandths| thousandths / 1000.0),
            throttled: firmware(),
            free: text("proc/meminfo").and_then(|meminfo| memory::parse_available(&meminfo)),
        }
    }

    /// Reads the values of this machine.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::read(Path::new("/"), ask_firmware)
    }

    /// What is limited now: the low 16 bits of [`Throttled`]; `None` if unknown.
    #[must_use]
    pub(crate) fn limits_now(&self) -> Option<u32> {
        self.throttled.map(|Throttled(bits)| bits & 0xFFFF)
    }

    /// Whether the supply is or was below 4.63 V, in words; `None` if unknown.
    #[must_use]
    pub fn voltage(&self) -> Option<&'static str> {
        self.throttled.map(|throttled| throttled.words(Throttled::UNDER_VOLTAGE))
    }
}

mod mailbox {
    /// The type in the mailbox's ioctl request number: its major device number.
    const MAJOR: u8 = 100;
    nix::ioctl_readwrite!(property, MAJOR, 0, *mut u8);
}

/// A property message, in words: its size, request or response code, tag, size
/// of the value buffer, length of the value, error code, the command's text
/// (1,024 bytes), end tag. `TEXT` is the position of the text.
const TEXT: usize = 6;
const TEXT_WORDS: usize = 256;
const MESSAGE_WORDS: usize = TEXT + TEXT_WORDS + 1;

/// The tag of the property that takes a command as text and returns its answer.
const GENERAL_COMMAND: u32 = 0x0003_0080;

/// Asks the firmware of a Raspberry Pi for its throttled bits; `None` if there
/// is no such firmware or no such answer.
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

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// The health of a system that has these files.
    fn health(temperature: &str, meminfo: &str, firmware: Option<u32>) -> Health {
        let root = TempDir::new().expect("a temporary folder");
        for (path, content) in
            [("sys/class/thermal/thermal_zone0/temp", temperature), ("proc/meminfo", meminfo)]
        {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        Health::read(root.path(), || firmware.map(Throttled))
    }

    #[test]
    fn a_current_board_says_all_of_it() {
        let meminfo = "MemTotal: 421800 kB\nMemAvailable:  240000 kB\n";
        let health = health("54768\n", meminfo, Some(0x5_0000));
        let throttled = Some(Throttled(0x5_0000));
        assert_eq!(health, Health { celsius: Some(54.768), throttled, free: Some(240_000 * 1024) });
        assert_eq!(health.voltage(), Some("not now, but since boot"));
    }

    #[test]
    fn what_is_not_there_or_is_nonsense_is_not_known() {
        assert_eq!(Health::read(Path::new("/nowhere"), || None), Health::default());
        assert_eq!(health("warm", "MemAvailable: much\n", None), Health::default());
    }

    #[test]
    fn what_is_limited_now_is_the_low_half_of_the_firmwares_bits() {
        let limits = |throttled: Option<u32>| {
            Health { throttled: throttled.map(Throttled), ..Health::default() }.limits_now()
        };
        assert_eq!([limits(None), limits(Some(0x5_0004))], [None, Some(0x4)]);
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
