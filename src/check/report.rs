//! Findings, and how they are told. Pure.

use serde_json::{Value, json};

/// How a part of the box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is well.
    Ok,
    /// The piece lives, but something should be done.
    Warn,
    /// The piece does not live, or not as it is meant to.
    Fail,
    /// It could not be looked at here.
    Skip,
}

impl State {
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
pub(super) struct Finding {
    /// The part.
    pub name: &'static str,
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty if nothing is.
    pub next: String,
}

impl Finding {
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), next: String::new() }
    }

    pub(super) fn warn(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, state: State::Warn, found: found.into(), next: next.into() }
    }

    pub(super) fn fail(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, state: State::Fail, found: found.into(), next: next.into() }
    }

    pub(super) fn skip(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Skip, found: found.into(), next: String::new() }
    }

    /// A fault whose message says the next step after a semicolon, as those of
    /// this program do.
    pub(super) fn fault(name: &'static str, message: &str) -> Self {
        match message.split_once("; ") {
            Some((found, next)) => Self::fail(name, found, next),
            None => Self::fail(name, message, String::new()),
        }
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
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    fn count(&self, state: State) -> usize {
        self.0.iter().filter(|finding| finding.state == state).count()
    }

    /// Whether every part was looked at and is well.
    #[must_use]
    pub(super) fn all_well(&self) -> bool {
        self.count(State::Ok) == self.0.len()
    }

    /// The result in a line.
    #[must_use]
    pub(super) fn summary(&self) -> String {
        if self.all_well() {
            return format!("all is well: {} parts", self.0.len());
        }
        let count = |state: State, words: &str| match self.count(state) {
            0 => None,
            number => Some(format!("{number} {words}")),
        };
        let counts = [
            count(State::Fail, "failed"),
            count(State::Warn, "to be seen to"),
            count(State::Skip, "not looked at"),
            count(State::Ok, "well"),
        ];
        counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// The lines of the slip: what is not well, and the result.
    #[must_use]
    pub(super) fn slip(&self) -> Vec<String> {
        let not_well = self.0.iter().filter(|finding| finding.state != State::Ok);
        not_well.map(Finding::line).chain([self.summary()]).collect()
    }

    /// The report as one JSON object.
    #[must_use]
    pub(super) fn json(&self) -> String {
        let findings: Vec<Value> = self
            .0
            .iter()
            .map(|Finding { name, state, found, next }| {
                json!({ "part": name, "state": state.word().to_lowercase(), "found": found, "next": next })
            })
            .collect();
        json!({ "well": self.all_well(), "summary": self.summary(), "parts": findings }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let line = Finding::fault("printer", "no such file; switch it on").line();
        assert_eq!(line, "FAIL printer      no such file -> switch it on");
        assert_eq!(Finding::ok("clock", "set").line(), "ok   clock        set");
    }

    #[test]
    fn the_json_is_what_the_lines_say() {
        let text = report(&[Finding::warn("a \"b\"", "c\n", "d")]).json();
        let json: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["well"], false);
        assert_eq!(json["parts"][0]["part"], "a \"b\"");
        assert_eq!(json["parts"][0]["state"], "warn");
        assert_eq!(json["parts"][0]["found"], "c\n");
    }
}
