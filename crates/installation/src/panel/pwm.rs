//! Hardware PWM through the kernel's sysfs files, for the pins that have it.
//!
//! | pin (BCM) | channel | boot line |
//! |---|---|---|
//! | 12 | 0 | `dtoverlay=pwm,pin=12,func=4` |
//! | 13 | 1 | `dtoverlay=pwm,pin=13,func=4` |
//! | 18 | 0 | `dtoverlay=pwm,pin=18,func=2` |
//! | 19 | 1 | `dtoverlay=pwm,pin=19,func=2` |
//!
//! (BCM2835 ARM Peripherals, table 6-31; overlays/README of Raspberry Pi's
//! firmware.) The PWM hardware holds the duty cycle: between two changes no
//! code runs.
//!
//! The kernel may bind the block's driver after the program has started, and
//! udev gives the group gpio its files some time after that. So the channel is
//! looked for again and again, for [`LONGEST_SEARCH`] at most, and only if it is
//! known to come: the firmware has merged the overlay into the device tree, or
//! the chip is there. Each look returns at once, so that the model loads
//! meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use super::pulse::Means;
use super::settings::Pin;
use super::thread::Lamp;

/// The folder in which the kernel lists its PWM chips.
pub(super) const ROOT: &str = "/sys/class/pwm";

/// The end of the device name of the PWM block on the 40-pin header. The base
/// address before it differs between boards: 3f20c000.pwm on a Zero 2 W.
const DEVICE: &str = "20c000.pwm";

/// The block's node in the device tree, which the firmware hands to the kernel.
const NODE: &str = "soc/pwm@7e20c000";
/// The folder in which the kernel shows the device tree.
pub(super) const DEVICE_TREE: &str = "/proc/device-tree";

/// 20 kHz: far above what an eye or a camera sees (1 kHz leaves bands on the
/// video of a phone). The overlay sets the block's clock to 100 MHz, so that
/// there are 5,000 steps of brightness.
const PERIOD_NS: u32 = 50_000;

/// How long the channel is looked for: udev and the kernel's drivers are late by
/// a few seconds on a board that has just been switched on.
pub(super) const LONGEST_SEARCH: Duration = Duration::from_secs(10);

/// A PWM channel, enabled as long as this lives, and dark afterwards. It stays
/// exported, so that the next life finds the files that udev has given to the group.
#[derive(Debug)]
pub(super) struct Pwm {
    folder: PathBuf,
    duty: File,
}

/// Looks for the channel of `pin` under `root`, the folder of the PWM chips, `waited`
/// after the first look: `None` is to look again, an error why it will not come.
/// `switched` tells whether the pin has been switched to the block: the kernel does that
/// before the chip appears.
pub(super) fn look(
    root: &Path,
    device_tree: &Path,
    pin: Pin,
    waited: Duration,
    switched: impl FnOnce() -> bool,
) -> Result<Option<Pwm>> {
    let channel = match pin.number() {
        12 | 18 => 0,
        13 | 19 => 1,
        _ => bail!("the pin has no hardware PWM"),
    };
    let Some(chip) = chip(root) else {
        let status = fs::read(device_tree.join(NODE).join("status")).unwrap_or_default();
        // The device tree's two spellings, with the zero that ends a string.
        return match status.strip_suffix(b"\0") {
            Some(b"okay" | b"ok") if waited < LONGEST_SEARCH => Ok(None),
            Some(b"okay" | b"ok") => bail!("the pwm overlay's driver does not come"),
            _ => bail!("the pwm overlay is not loaded"),
        };
    };
    if !switched() {
        bail!("the pwm overlay is not loaded for this pin");
    }
    match Pwm::open(&chip, channel) {
        Err(_) if waited < LONGEST_SEARCH => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

impl Pwm {
    /// Exports and enables the channel. Fails when that cannot be done yet, or at all.
    fn open(chip: &Path, channel: u32) -> io::Result<Self> {
        let folder = chip.join(format!("pwm{channel}"));
        if !folder.exists() {
            writable(&chip.join("export"))?.write_all_at(channel.to_string().as_bytes(), 0)?;
        }
        let duty = enable(&folder)?;
        Ok(Self { folder, duty })
    }
}

impl Lamp for Pwm {
    fn means(&self) -> Means {
        Means::Dimmed
    }

    fn set(&mut self, luminance: f64) -> io::Result<()> {
        let duty = (luminance.clamp(0.0, 1.0) * f64::from(PERIOD_NS)).round() as u32;
        // sysfs takes each write at offset 0 as one value, ended by the
        // newline.
        self.duty.write_all_at(format!("{duty}\n").as_bytes(), 0)
    }
}

impl Drop for Pwm {
    fn drop(&mut self) {
        let _ = self.set(0.0);
        let _ = fs::write(self.folder.join("enable"), "0");
    }
}

/// The folder of the PWM block on the 40-pin header.
fn chip(root: &Path) -> Option<PathBuf> {
    let mut chips: Vec<_> = fs::read_dir(root).ok()?.flatten().map(|entry| entry.path()).collect();
    chips.sort();
    chips.into_iter().find(|chip| {
        let device = chip.join("device").canonicalize().unwrap_or_default();
        device.file_name().is_some_and(|name| name.to_string_lossy().ends_with(DEVICE))
    })
}

/// Enables the channel with a duty cycle of 0, once all its files can be
/// written.
fn enable(folder: &Path) -> io::Result<File> {
    let duty = writable(&folder.join("duty_cycle"))?;
    let period = writable(&folder.join("period"))?;
    let enable = writable(&folder.join("enable"))?;
    // The kernel refuses a duty cycle above the period, and any duty cycle
    // while there is no period. So the duty cycle of a channel that a killed
    // program left is set to 0 before its period; on a new channel this write
    // fails and is ignored.
    let _ = duty.write_all_at(b"0\n", 0);
    period.write_all_at(format!("{PERIOD_NS}\n").as_bytes(), 0)?;
    duty.write_all_at(b"0\n", 0)?;
    enable.write_all_at(b"1\n", 0)?;
    Ok(duty)
}

fn writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// A folder that simulates /sys/class/pwm and /proc/device-tree of a board.
    pub(crate) struct Sysfs(pub(crate) TempDir);

    impl Sysfs {
        pub(crate) fn with_overlay() -> Self {
            let sysfs = Self::without_overlay();
            sysfs.configure(b"okay\0");
            sysfs.bind();
            sysfs
        }

        pub(crate) fn without_overlay() -> Self {
            Self(TempDir::new().expect("a temporary folder"))
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// Makes the device tree, as the firmware does.
        fn configure(&self, status: &[u8]) {
            let node = self.path("tree").join(NODE);
            fs::create_dir_all(&node).expect("a node");
            fs::write(node.join("status"), status).expect("a status");
        }

        /// Makes the chips, as the kernel's drivers do. The first one is not
        /// that of the 40-pin header, as a fan's may be.
        pub(crate) fn bind(&self) {
            for (chip, device) in [("pwmchip0", "1f000a0000.fan"), ("pwmchip1", "3f20c000.pwm")] {
                let chip = self.path("pwm").join(chip);
                let device = self.path(&format!("devices/{device}"));
                fs::create_dir_all(&chip).expect("a chip");
                fs::create_dir_all(&device).expect("a device");
                symlink(&device, chip.join("device")).expect("a link");
                fs::write(chip.join("export"), "").expect("a file");
            }
        }

        fn chip(&self, file: &str) -> PathBuf {
            self.path("pwm/pwmchip1").join(file)
        }

        /// The first line of a file of the 40-pin header's chip.
        pub(crate) fn says(&self, file: &str) -> String {
            let text = fs::read_to_string(self.chip(file)).unwrap_or_default();
            text.lines().next().unwrap_or_default().to_owned()
        }

        /// Creates the channel's files, as the kernel and udev do after an
        /// export.
        pub(crate) fn make_channel(&self, channel: u32) {
            let folder = self.chip(&format!("pwm{channel}"));
            fs::create_dir_all(&folder).expect("a channel");
            for file in ["period", "duty_cycle", "enable"] {
                fs::write(folder.join(file), "0").expect("a file");
            }
        }

        fn look(&self, pin: u8, waited: Duration, switched: bool) -> Result<Option<Pwm>> {
            let pin = Pin::new(pin).expect("a pin");
            look(&self.path("pwm"), &self.path("tree"), pin, waited, || switched)
        }

        /// Looks every quarter of a second of a virtual clock, and calls
        /// `happens` with the time before each look. Returns the time as well.
        fn found(&self, pin: u8, mut happens: impl FnMut(Duration)) -> (Result<Pwm, String>, Duration) {
            let mut waited = Duration::ZERO;
            loop {
                happens(waited);
                match self.look(pin, waited, true).transpose() {
                    Some(found) => return (found.map_err(|why| why.to_string()), waited),
                    None => waited += Duration::from_millis(250),
                }
                assert!(waited <= LONGEST_SEARCH, "it looks for ever");
            }
        }

        /// Makes the files of a channel once it is exported.
        fn answer_export(&self) {
            if let Ok(channel) = self.says("export").parse() {
                self.make_channel(channel);
            }
        }

        pub(crate) fn open(&self, pin: u8) -> Pwm {
            self.found(pin, |_| self.answer_export()).0.expect("PWM")
        }
    }

    #[test]
    fn each_pin_has_its_channel_of_the_headers_own_chip_and_leaves_it_dark_and_off() {
        for (pin, channel) in [(12, 0), (13, 1), (18, 0), (19, 1)] {
            let sysfs = Sysfs::with_overlay();
            let mut pwm = sysfs.open(pin);
            assert_eq!(sysfs.says("export"), channel.to_string(), "GPIO {pin}");
            let of = |file: &str| sysfs.says(&format!("pwm{channel}/{file}"));
            assert_eq!([of("period"), of("duty_cycle"), of("enable")], ["50000", "0", "1"]);
            pwm.set(0.25).expect("set");
            assert_eq!(of("duty_cycle"), "12500");
            pwm.set(0.0).expect("set");
            assert_eq!(of("duty_cycle"), "0", "a shorter number replaces a longer one");
            pwm.set(1.0).expect("set");
            drop(pwm);
            assert_eq!([of("duty_cycle"), of("enable")], ["0", "0"], "GPIO {pin}");
        }
    }

    #[test]
    fn a_channel_that_a_killed_program_left_behind_is_taken_over() {
        let sysfs = Sysfs::with_overlay();
        sysfs.make_channel(0);
        let (_pwm, waited) = sysfs.found(18, |_| ());
        assert_eq!([sysfs.says("export"), sysfs.says("pwm0/enable")], ["", "1"]);
        assert_eq!(waited, Duration::ZERO);
    }

    #[test]
    fn a_chip_that_appears_after_7_s_is_found_then() {
        let sysfs = Sysfs::without_overlay();
        sysfs.configure(b"okay\0");
        let seven = Duration::from_secs(7);
        let (found, waited) = sysfs.found(18, |now| match now == seven {
            true => sysfs.bind(),
            false => sysfs.answer_export(),
        });
        found.expect("PWM");
        assert!((seven..=seven + Duration::from_millis(250)).contains(&waited), "{waited:?}");
    }

    #[test]
    fn an_export_that_is_refused_until_udev_has_come_is_tried_again() {
        let sysfs = Sysfs::with_overlay();
        // A folder in the place of the file cannot be written, by root neither.
        fs::remove_file(sysfs.chip("export")).expect("removed");
        fs::create_dir(sysfs.chip("export")).expect("a folder");
        let (found, waited) = sysfs.found(18, |now| match now.as_secs() {
            0..3 => {}
            3 if sysfs.chip("export").is_dir() => {
                fs::remove_dir(sysfs.chip("export")).expect("removed");
                fs::write(sysfs.chip("export"), "").expect("a file");
            }
            _ => sysfs.answer_export(),
        });
        found.expect("PWM");
        assert!(waited < Duration::from_secs(4), "{waited:?}");
    }

    #[test]
    fn a_chip_or_a_permission_that_never_comes_is_given_up_after_10_s() {
        let sysfs = Sysfs::without_overlay();
        sysfs.configure(b"okay\0");
        let given_up = |sysfs: &Sysfs| {
            let (found, waited) = sysfs.found(18, |_| ());
            assert_eq!(waited, LONGEST_SEARCH);
            found.expect_err("it never comes")
        };
        assert_eq!(given_up(&sysfs), "the pwm overlay's driver does not come");
        sysfs.bind();
        given_up(&sysfs);
    }

    #[test]
    fn nothing_is_waited_for_that_will_not_come() {
        let at_once = |sysfs: &Sysfs, pin: u8, switched: bool| {
            sysfs.look(pin, Duration::ZERO, switched).expect_err("it never comes").to_string()
        };
        let sysfs = Sysfs::without_overlay();
        assert_eq!(at_once(&sysfs, 18, true), "the pwm overlay is not loaded");
        sysfs.configure(b"disabled\0");
        assert_eq!(at_once(&sysfs, 18, true), "the pwm overlay is not loaded");
        assert_eq!(at_once(&sysfs, 23, true), "the pin has no hardware PWM");
        let sysfs = Sysfs::with_overlay();
        assert_eq!(at_once(&sysfs, 18, false), "the pwm overlay is not loaded for this pin");
        assert_eq!(sysfs.says("export"), "", "another pin's channel is left alone");
    }
}
