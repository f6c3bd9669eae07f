//! An error as one line.

use anyhow::Error;

/// An error on one line: what failed, why, and then the next step, which an error's words
/// have after their first semicolon.
#[must_use]
pub fn one_line(error: &Error) -> String {
    let mut words =
        error.chain().map(|each| each.to_string().split_whitespace().collect::<Vec<_>>().join(" "));
    let what = words.next().unwrap_or_default();
    let why: String = words.map(|cause| format!(": {cause}")).collect();
    match what.split_once("; ") {
        Some((what, next)) if !why.is_empty() => format!("{what}{why}; {next}"),
        _ => what + &why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn the_cause_comes_before_the_next_step_and_all_is_one_line() {
        for (error, line) in [
            (
                anyhow!("no\nsuch file").context("cannot read \"x\"; name another"),
                "cannot read \"x\": no such file; name another",
            ),
            (anyhow!("first\nsecond").context("cannot read \"x\""), "cannot read \"x\": first second"),
            (anyhow!("it broke; mend it"), "it broke; mend it"),
            (anyhow!("a; do b").context("c; do d"), "c: a; do b; do d"),
        ] {
            assert_eq!(one_line(&error), line);
        }
    }
}
