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

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::settings::Pin;

/// The folder in which the kernel lists its PWM chips.
pub(super) const ROOT: &str = "/sys/class/pwm";

/// The end of the device name of the PWM block on the 40-pin header. The base
/// address before it differs between boards: 3f20c000.pwm on a Zero 2 W.
const DEVICE: &str = "20c000.pwm";

/// 1 kHz: far above what an eye or a camera sees, and with the block's clock
/// of 10 MHz or more still 10,000 steps of brightness.
const PERIOD_NS: u32 = 1_000_000;

/// After the export, udev gives the channel's files to the group gpio. That
/// takes some 30 ms; the program waits at most 1 s, which is enough on a loaded
/// board.
const EXPORT_WAIT: Duration = Duration::from_millis(40);
const EXPORT_WAITS: u32 = 25;

/// The channel of the PWM block that a pin can be switched to.
#[must_use]
pub(super) fn channel_of(pin: Pin) -> Option<u32> {
    match pin.number() {
        12 | 18 => Some(0),
        13 | 19 => Some(1),
        _ => None,
    }
}

/// A PWM channel, exported and enabled as long as this lives; dark and
/// unexported afterwards.
#[derive(Debug)]
pub(super) struct Pwm {
    chip: PathBuf,
    channel: u32,
    duty: File,
}

impl Pwm {
    /// Exports the channel of `pin` under `root` with a duty cycle of 0;
    /// `sleep` waits for udev.
    ///
    /// # Errors
    ///
    /// When the pin has no channel, the kernel offers none, or it cannot be
    /// used: the reason, without a next step.
    pub(super) fn open(root: &Path, pin: Pin, sleep: impl FnMut(Duration)) -> io::Result<Self> {
        let absent = |why: &str| io::Error::new(io::ErrorKind::NotFound, why);
        let channel = channel_of(pin).ok_or_else(|| absent("the pin has no hardware PWM"))?;
        let chip = chip(root).ok_or_else(|| absent("the pwm overlay is not loaded"))?;
        let folder = chip.join(format!("pwm{channel}"));
        if !folder.exists() {
            fs::write(chip.join("export"), channel.to_string())?;
        }
        let result = enable(&folder, sleep);
        match result {
            Ok(duty) => Ok(Self { chip, channel, duty }),
            Err(error) => {
                unexport(&chip, channel);
                Err(error)
            }
        }
    }

    /// Sets the luminance, 0 to 1, which is the duty cycle.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it, as after the overlay was removed.
    pub(super) fn set(&mut self, luminance: f64) -> io::Result<()> {
        let duty = (luminance.clamp(0.0, 1.0) * f64::from(PERIOD_NS)).round() as u32;
        // sysfs takes each write at offset 0 as one value, ended by the
        // newline.
        self.duty.write_all_at(format!("{duty}\n").as_bytes(), 0)
    }
}

impl Drop for Pwm {
    fn drop(&mut self) {
        let _ = self.set(0.0);
        let _ = fs::write(self.chip.join(format!("pwm{}/enable", self.channel)), "0");
        unexport(&self.chip, self.channel);
    }
}

fn unexport(chip: &Path, channel: u32) {
    let _ = fs::write(chip.join("unexport"), channel.to_string());
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

/// Waits until the channel's files can be written, and enables the channel with
/// a duty cycle of 0.
fn enable(folder: &Path, mut sleep: impl FnMut(Duration)) -> io::Result<File> {
    let mut waits = 0;
    let duty = loop {
        match writable(&folder.join("duty_cycle")).and_then(|duty| {
            writable(&folder.join("period"))?;
            writable(&folder.join("enable"))?;
            Ok(duty)
        }) {
            Ok(duty) => break duty,
            Err(error) if waits == EXPORT_WAITS => return Err(error),
            Err(_) => sleep(EXPORT_WAIT),
        }
        waits += 1;
    };
    // The kernel refuses a duty cycle above the period, and any duty cycle
    // while there is no period. So the duty cycle of a channel that a killed
    // program left is set to 0 before its period; on a new channel this write
    // fails and is ignored.
    let _ = duty.write_all_at(b"0\n", 0);
    fs::write(folder.join("period"), PERIOD_NS.to_string())?;
    duty.write_all_at(b"0\n", 0)?;
    fs::write(folder.join("enable"), "1")?;
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

    /// A folder that simulates /sys/class/pwm of a board.
    pub(crate) struct Sysfs(pub(crate) TempDir);

    impl Sysfs {
        /// The first chip is not that of the 40-pin header, as a fan's may be.
        pub(crate) fn with_overlay() -> Self {
            let sysfs = Self::without_overlay();
            for (chip, device) in [("pwmchip0", "1f000a0000.fan"), ("pwmchip1", "3f20c000.pwm")] {
                let chip = sysfs.path(chip);
                let device = sysfs.path(&format!("devices/{device}"));
                fs::create_dir_all(&chip).expect("a chip");
                fs::create_dir_all(&device).expect("a device");
                symlink(&device, chip.join("device")).expect("a link");
                for file in ["export", "unexport"] {
                    fs::write(chip.join(file), "").expect("a file");
                }
            }
            sysfs
        }

        pub(crate) fn without_overlay() -> Self {
            Self(TempDir::new().expect("a temporary folder"))
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// The first line of a file of the 40-pin header's chip.
        pub(crate) fn says(&self, file: &str) -> String {
            let text = fs::read_to_string(self.path("pwmchip1").join(file)).expect("a file");
            text.lines().next().unwrap_or_default().to_owned()
        }

        /// Creates the channel's files, as the kernel and udev do after an
        /// export.
        pub(crate) fn make_channel(&self, channel: u32) {
            let folder = self.path("pwmchip1").join(format!("pwm{channel}"));
            fs::create_dir_all(&folder).expect("a channel");
            for file in ["period", "duty_cycle", "enable"] {
                fs::write(folder.join(file), "0").expect("a file");
            }
        }

        pub(crate) fn open(&self, pin: u8) -> io::Result<Pwm> {
            let mut waits = 0;
            Pwm::open(self.0.path(), Pin::new(pin).expect("a pin"), |_| {
                waits += 1;
                let exported = self.says("export");
                if waits == 2 && !exported.is_empty() {
                    self.make_channel(exported.parse().expect("a channel"));
                }
            })
        }
    }

    #[test]
    fn each_pin_has_its_channel_of_the_headers_own_chip() {
        for (pin, channel) in [(12, 0), (13, 1), (18, 0), (19, 1)] {
            let sysfs = Sysfs::with_overlay();
            let mut pwm = sysfs.open(pin).expect("PWM");
            assert_eq!(sysfs.says("export"), channel.to_string(), "GPIO {pin}");
            let of = |file: &str| sysfs.says(&format!("pwm{channel}/{file}"));
            assert_eq!([of("period"), of("duty_cycle"), of("enable")], ["1000000", "0", "1"]);
            pwm.set(0.25).expect("set");
            assert_eq!(of("duty_cycle"), "250000");
            pwm.set(0.0).expect("set");
            assert_eq!(of("duty_cycle"), "0", "a shorter number replaces a longer one");
        }
    }

    #[test]
    fn it_leaves_the_pin_dark_and_the_channel_unexported() {
        let sysfs = Sysfs::with_overlay();
        let mut pwm = sysfs.open(18).expect("PWM");
        pwm.set(1.0).expect("set");
        drop(pwm);
        assert_eq!([sysfs.says("pwm0/duty_cycle"), sysfs.says("pwm0/enable")], ["0", "0"]);
        assert_eq!(sysfs.says("unexport"), "0");
    }

    #[test]
    fn a_channel_that_a_killed_program_left_behind_is_taken_over() {
        let sysfs = Sysfs::with_overlay();
        sysfs.make_channel(0);
        let pwm = sysfs.open(18).expect("PWM");
        assert_eq!((sysfs.says("export").as_str(), sysfs.says("pwm0/enable").as_str()), ("", "1"));
        drop(pwm);
    }

    #[test]
    fn without_the_overlay_or_without_permission_it_says_so_and_waits_no_longer_than_a_second() {
        let sysfs = Sysfs::without_overlay();
        assert_eq!(sysfs.open(18).expect_err("no chip").to_string(), "the pwm overlay is not loaded");
        let sysfs = Sysfs::with_overlay();
        assert_eq!(sysfs.open(23).expect_err("no channel").to_string(), "the pin has no hardware PWM");
        let mut waited = Duration::ZERO;
        let pin = Pin::new(18).expect("a pin");
        let never = Pwm::open(sysfs.0.path(), pin, |wait| waited += wait);
        assert!(never.is_err() && waited <= Duration::from_secs(1), "{waited:?}");
        assert_eq!(sysfs.says("unexport"), "0", "nothing is left exported");
    }
}
