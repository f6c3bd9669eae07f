//! Findings, and how they are told. Pure.

use anyhow::Error;
use serde_json::json;

use installation::text::fault::one_line;

/// How a part of the box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is well.
    Ok,
    /// The piece lives, but something should be done.
    Warn,
    /// The piece does not live, or not as it is meant to.
    Fail,
    /// It could not be looked at here.
    Skip,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        }
    }
}

/// What was found of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The part.
    pub name: &'static str,
    pub state: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty if nothing is.
    pub next: String,
}

impl Finding {
    fn new(name: &'static str, state: Verdict, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, state, found: found.into(), next: next.into() }
    }

    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, found, "")
    }

    pub(super) fn warn(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warn, found, next)
    }

    pub(super) fn fail(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(name, Verdict::Fail, found, next)
    }

    pub(super) fn skip(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Skip, found, "")
    }

    /// A fault whose message says the next step after a semicolon, as those of
    /// this program do.
    pub(super) fn fault(name: &'static str, fault: &Error) -> Self {
        let message = one_line(fault);
        let (found, next) = message.split_once("; ").unwrap_or((&message, ""));
        Self::fail(name, found, next)
    }

    /// The finding on a line of its own.
    pub(super) fn line(&self) -> String {
        let Self { name, state, found, next } = self;
        let arrow = if next.is_empty() { "" } else { " -> " };
        format!("{:<4} {name:<12} {found}{arrow}{next}", state.word())
    }
}

/// All findings, in their order.
#[derive(Debug, Default)]
pub(super) struct Report(pub(super) Vec<Finding>);

impl Report {
    /// Whether every part was looked at and is well.
    #[must_use]
    pub(super) fn all_well(&self) -> bool {
        self.0.iter().all(|finding| finding.state == Verdict::Ok)
    }

    /// The result in a line.
    #[must_use]
    pub(super) fn summary(&self) -> String {
        if self.all_well() {
            return format!("all is well: {} parts", self.0.len());
        }
        let count = |(state, words)| {
            let number = self.0.iter().filter(|finding| finding.state == state).count();
            (number > 0).then(|| format!("{number} {words}"))
        };
        let states = [
            (Verdict::Fail, "failed"),
            (Verdict::Warn, "to be seen to"),
            (Verdict::Skip, "not looked at"),
            (Verdict::Ok, "well"),
        ];
        states.into_iter().filter_map(count).collect::<Vec<_>>().join(", ")
    }

    /// The lines of the slip: what is not well, and the result.
    #[must_use]
    pub(super) fn slip(&self) -> Vec<String> {
        let not_well = self.0.iter().filter(|finding| finding.state != Verdict::Ok);
        not_well.map(Finding::line).chain([self.summary()]).collect()
    }

    /// The report as one JSON object.
    #[must_use]
    pub(super) fn json(&self) -> String {
        let part = |Finding { name, state, found, next }: &Finding| json!({ "part": name, "state": state.word().to_lowercase(), "found": found, "next": next });
        let parts: Vec<_> = self.0.iter().map(part).collect();
        json!({ "well": self.all_well(), "summary": self.summary(), "parts": parts }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    fn report(findings: &[Finding]) -> Report {
        Report(findings.to_vec())
    }

    #[test]
    fn all_is_well_only_when_every_part_was_looked_at_and_is() {
        let ok = Finding::ok("board", "Zero 2 W");
        assert!(report(&[ok.clone(), ok.clone()]).all_well());
        for other in [
            Finding::warn("a", "b", "c"),
            Finding::fail("a", "b", "c"),
            Finding::skip("a", "needs the board"),
        ] {
            assert!(!report(&[ok.clone(), other.clone()]).all_well(), "{other:?}");
        }
        let some = report(&[ok.clone(), Finding::fail("a", "b", "c"), Finding::skip("d", "e")]);
        assert_eq!(some.summary(), "1 failed, 1 not looked at, 1 well");
        assert_eq!(report(&[ok]).summary(), "all is well: 1 parts");
    }

    #[test]
    fn a_line_says_the_state_the_part_what_was_found_and_the_next_step() {
        let line = Finding::fault("printer", &anyhow!("no such file; switch it on")).line();
        assert_eq!(line, "FAIL printer      no such file -> switch it on");
        assert_eq!(Finding::ok("clock", "set").line(), "ok   clock        set");
    }
}
