//! The exhibition's options, `hardware/default`, and its unit.

pub const UNIT: &str = include_str!("../../../hardware/torment-nexus.service");

/// The value of a setting of the unit.
pub fn setting(name: &str) -> &'static str {
    let line = UNIT.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("{name} is not set"))
}

/// Where the package puts the list of words that are never printed.
const NEVER: &str = "/etc/torment-nexus/never.txt";

const FILE: &str = include_str!("../../../hardware/default");

/// Its variables and their values, those in comments too.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    variables(FILE.lines().map(|line| line.trim_start_matches('#')))
}

/// The variables that decide which text a life has.
pub fn of_the_text() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_the_board = ["TORMENT_BUTTON", "TORMENT_LED", "TORMENT_PRINTER"];
    variables(FILE.lines()).filter(move |(name, _)| !of_the_board.contains(name))
}

fn variables(
    lines: impl Iterator<Item = &'static str>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    lines.filter(|line| line.starts_with("TORMENT_")).filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        // systemd takes off one pair of quotation marks.
        let unquoted = |mark| value.strip_prefix(mark)?.strip_suffix(mark);
        let value = unquoted('"').or_else(|| unquoted('\'')).unwrap_or(value);
        Some((
            name,
            if value == NEVER { concat!(env!("CARGO_MANIFEST_DIR"), "/hardware/never.txt") } else { value },
        ))
    })
}
