//! The local date, and only if the clock can be believed.
//!
//! The board has no real-time clock. After a power cut its time is wrong until
//! NTP sets it, and there may be no network: a receipt without a date is better
//! than one with a wrong date. The clock is believed once it is synchronised, or
//! where a hardware clock that was added to the board set it at boot.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// Date and time as in ISO 8601, with the offset from UTC.
const STAMP: &str = "%Y-%m-%dT%H:%M:%S%:z";

/// The local date and time in a format of strftime(3); `None` if the clock cannot
/// be believed. The time zone is `$TZ`, else that of /etc/localtime.
#[must_use]
pub fn now(format: &str) -> Option<String> {
    believed().and_then(|time| words(format, &time).ok())
}

/// The Unix time, in seconds, of a date in a header of HTTP, `Sun, 06 Nov 1994 08:49:37 GMT`.
#[must_use]
pub fn http_date(text: &str) -> Option<i64> {
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second())
}

/// The local date and time as in ISO 8601, with the offset from UTC; `None` if
/// the clock cannot be believed.
#[must_use]
pub(crate) fn stamp() -> Option<String> {
    now(STAMP)
}

/// Minutes since midnight, in local time; `None` if the clock cannot be believed.
#[must_use]
pub fn minute_of_day() -> Option<u16> {
    believed().and_then(|time| u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).ok())
}

fn believed() -> Option<ZonedDateTime> {
    let is_set = is_synchronised() || is_set_by_hardware(Path::new("/sys"));
    is_set.then(SystemTime::now).and_then(local)
}

/// A time as a local one; `None` beyond the years that a date has, -9999 to 9999.
fn local(time: SystemTime) -> Option<ZonedDateTime> {
    Some(Timestamp::try_from(time).ok()?.to_zoned_datetime(TimeZone::system()))
}

/// Checks a format for [`now`].
///
/// # Errors
///
/// When it is no such format; the text says why.
pub(crate) fn check_format(format: &str) -> Result<(), String> {
    words(format, &ZonedDateTime::default()).map(drop).map_err(|error| error.to_string())
}

fn words(format: &str, time: &ZonedDateTime) -> Result<String, jiff::Error> {
    jiff::fmt::strtime::format(format, time)
}

/// Whether the clock is synchronised: systemd-timesyncd, chrony and ntpd clear
/// the kernel's STA_UNSYNC flag once they have set it.
fn is_synchronised() -> bool {
    // SAFETY: an all-zero timex asks for nothing to be changed, and adjtimex
    // fills it.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex)
    };
    state >= 0 && state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0
}

/// Whether a hardware clock set the kernel's clock at boot: `hctosys` then reads
/// 1 (Documentation/ABI/testing/sysfs-class-rtc of the kernel). `sysfs` is where
/// sysfs is mounted; a board without a hardware clock has no such file.
fn is_set_by_hardware(sysfs: &Path) -> bool {
    fs::read_to_string(sysfs.join("class/rtc/rtc0/hctosys")).is_ok_and(|set| set.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil;
    use jiff::tz::offset;
    use std::time::Duration;

    const FORMAT: &str = "%-d %B %Y, %H:%M";

    #[test]
    fn the_clock_is_believed_where_a_hardware_clock_set_it_at_boot() {
        let sysfs = tempfile::tempdir().expect("a temporary folder");
        assert!(!is_set_by_hardware(sysfs.path()), "there is no hardware clock");
        let device = sysfs.path().join("class/rtc/rtc0");
        fs::create_dir_all(&device).expect("a folder");
        for (content, set) in [("1\n", true), ("0\n", false), ("", false)] {
            fs::write(device.join("hctosys"), content).expect("a file");
            assert_eq!(is_set_by_hardware(sysfs.path()), set, "{content:?}");
        }
    }

    #[test]
    fn a_clock_beyond_the_years_of_a_date_gives_none() {
        for (seconds, is_date) in [(0, true), (1 << 31, true), (253_402_300_800, false), (1 << 40, false)] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(local(time).is_some(), is_date, "{seconds} s");
        }
        assert!(local(SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 31)).is_some());
    }

    #[test]
    fn a_date_is_in_words_and_in_local_time() {
        let utc = civil::datetime(2026, 3, 1, 23, 5, 0, 0).to_zoned_datetime(TimeZone::UTC).expect("a time");
        assert_eq!(words(FORMAT, &utc).expect("a date"), "1 March 2026, 23:05");
        let east = utc.with_time_zone(offset(2).to_time_zone());
        assert_eq!(words(FORMAT, &east).expect("a date"), "2 March 2026, 01:05");
        assert_eq!(words(STAMP, &east).expect("a date"), "2026-03-02T01:05:00+02:00");
    }
}
