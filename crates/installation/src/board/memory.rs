//! The memory that is available, as the kernel estimates it.

use std::fs;

/// The kernel's estimate of the bytes that are available without swapping, page
/// cache included; `None` if it gives none.
#[must_use]
pub fn available() -> Option<u64> {
    parse_available(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// `MemAvailable` of the text of `/proc/meminfo`, in bytes.
#[must_use]
pub(crate) fn parse_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read_in_kibibytes() {
        let meminfo = "MemTotal:         421800 kB\nMemAvailable:     240000 kB\n";
        assert_eq!(parse_available(meminfo), Some(240_000 * 1024));
        assert_eq!(parse_available("MemTotal: 1 kB\n"), None);
    }
}
