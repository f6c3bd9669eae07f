//! The date on a receipt: local, and only if the clock can be believed.
//!
//! The board has no clock of its own. After a power cut the time is wrong
//! until the network gives it, and there may be none: no date is better than
//! a wrong one.

use jiff::ZonedDateTime;

/// The local date and time in words, or `None` while the kernel calls its
/// clock unsynchronised. The time zone is `$TZ`, else that of /etc/localtime.
#[must_use]
pub(crate) fn now() -> Option<String> {
    is_synchronised().then(|| words(&ZonedDateTime::now()))
}

fn words(time: &ZonedDateTime) -> String {
    time.strftime("%-d %B %Y, %H:%M").to_string()
}

/// Whether something keeps the clock right: systemd-timesyncd, chrony and ntpd
/// all clear the kernel's STA_UNSYNC once they have the time.
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

    #[test]
    fn a_date_is_in_words_and_in_local_time() {
        let utc = civil::datetime(2026, 3, 1, 23, 5, 0, 0).to_zoned_datetime(TimeZone::UTC).expect("a time");
        assert_eq!(words(&utc), "1 March 2026, 23:05");
        let east = utc.with_time_zone(offset(2).to_time_zone());
        assert_eq!(words(&east), "2 March 2026, 01:05");
    }
}
