//! The local date on a receipt, and only if the clock is synchronised.
//!
//! The board has no real-time clock. After a power cut its time is wrong until
//! NTP sets it, and there may be no network: a receipt without a date is better
//! than one with a wrong date.

use jiff::ZonedDateTime;

/// The local date and time in a format of strftime(3), or `None` while the kernel
/// calls its clock unsynchronised. The time zone is `$TZ`, else that of
/// /etc/localtime.
#[must_use]
pub(crate) fn now(format: &str) -> Option<String> {
    is_synchronised().then(|| words(format, &ZonedDateTime::now()).ok())?
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

#[cfg(test)]
mod tests {
    use super::words;
    use jiff::civil;
    use jiff::tz::{TimeZone, offset};

    const FORMAT: &str = "%-d %B %Y, %H:%M";

    #[test]
    fn a_date_is_in_words_and_in_local_time() {
        let utc = civil::datetime(2026, 3, 1, 23, 5, 0, 0).to_zoned_datetime(TimeZone::UTC).expect("a time");
        assert_eq!(words(FORMAT, &utc).expect("a date"), "1 March 2026, 23:05");
        let east = utc.with_time_zone(offset(2).to_time_zone());
        assert_eq!(words(FORMAT, &east).expect("a date"), "2 March 2026, 01:05");
    }
}
