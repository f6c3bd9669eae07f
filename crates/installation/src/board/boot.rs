//! Which boot of the system this is.

use std::fs;

/// The id that the kernel draws at random at each boot (random(4)); empty if it
/// cannot be read.
#[must_use]
pub fn id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |id| id.trim().to_owned())
}
