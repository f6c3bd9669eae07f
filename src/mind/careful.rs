//! Keeps the words of a list out of a life: text is held back while it may become one of
//! them, and where one stands, the mind takes its tokens back and chooses others.

use std::collections::VecDeque;

use anyhow::Result;

use installation::life::generator::Mind;
use installation::text::never::{Found, Never};

/// How often another token is chosen where a listed word would stand. Then its letters
/// become dashes. A signal is noticed after these tries, not among them.
const TRIES: u32 = 8;

/// Tokens that are held back at the most. A context has as many beyond the life's end, so
/// that looking ahead never overflows it.
const MOST_HELD: usize = 8;

/// A mind that can take back what it said last.
pub trait Revocable: Mind {
    /// Takes back the last `count` tokens. The next one is then another than stood there,
    /// and than was refused there just before. Returns whether the model can: a recurrent
    /// one cannot.
    ///
    /// # Errors
    ///
    /// When what stays cannot be computed again.
    fn take_back(&mut self, count: usize) -> Result<bool>;
}

/// A mind that says no listed word.
#[derive(Debug)]
pub struct Careful<M> {
    mind: M,
    /// `None` costs nothing: each token is said at once.
    never: Option<Never>,
    /// The tokens that were not said yet.
    held: VecDeque<Vec<u8>>,
    /// How many of them may be said.
    cleared: usize,
    /// The last character that was said.
    before: Option<char>,
    /// The end of the opening, where a listed word may have begun.
    context: String,
    tries: u32,
}

impl<M: Revocable> Careful<M> {
    /// `mind`, without the words of `never`, going on after `opening`.
    pub fn new(mind: M, never: Option<Never>, opening: &str) -> Self {
        let clean = never.as_ref().map_or(opening.len(), |never| {
            // What the opening says whole cannot be taken back.
            match (never.find(None, &format!("{opening} ")), never.find(None, opening)) {
                (Found::Clean(_), Found::Clean(clean)) => clean,
                _ => opening.len(),
            }
        });
        let (said, context) = opening.split_at(clean);
        let (before, context) = (said.chars().last(), context.to_owned());
        Self { mind, never, held: VecDeque::new(), cleared: 0, before, context, tries: TRIES }
    }

    /// Decides how many of the tokens that are held back may be said.
    fn sift(&mut self, never: &Never) -> Result<()> {
        let text = self.context.clone() + &self.text();
        let context = self.context.len();
        let mut end = context;
        let ends: Vec<_> = (self.held.iter().map(Vec::len))
            .map(|length| {
                end += length;
                end
            })
            .collect();
        match never.find(self.before, &text) {
            Found::Clean(clean) => {
                let may_be_said = |&end: &usize| end <= clean && text.is_char_boundary(end);
                self.cleared = ends.iter().rposition(may_be_said).map_or(0, |last| last + 1);
                if self.cleared == 0 && self.held.len() >= MOST_HELD {
                    let whole = ends.iter().position(|&end| text.is_char_boundary(end));
                    self.cleared = whole.map_or(self.held.len(), |last| last + 1);
                }
                if let Some(last) = self.cleared.checked_sub(1) {
                    self.before = text.get(..ends[last]).unwrap_or(&text).chars().last();
                    self.context.clear();
                    self.tries = TRIES;
                }
            }
            Found::Listed(start, end) => {
                let first = ends.iter().take_while(|&&end| end <= start).count();
                let tries = self.tries > 0;
                if tries && self.mind.take_back(self.held.len() - first)? {
                    self.tries -= 1;
                    self.held.truncate(first);
                } else {
                    let (start, end) = (start.saturating_sub(context), end.saturating_sub(context));
                    let listed = self.held.iter_mut().flatten().take(end).skip(start);
                    listed.filter(|byte| !byte.is_ascii_whitespace()).for_each(|byte| *byte = b'-');
                    self.before = self.context.chars().last().or(self.before);
                    self.context.clear();
                    self.tries = TRIES;
                    self.sift(never)?;
                }
            }
        }
        Ok(())
    }

    /// The text of the held tokens, without a character that is not whole yet at its end;
    /// a byte that is no text is a NUL, so that places in the text are places in the bytes.
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.held.iter().flatten().copied().collect();
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            let is_begun =
                || std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
            if text.len() + chunk.invalid().len() < bytes.len() || !is_begun() {
                text.extend(chunk.invalid().iter().map(|_| '\0'));
            }
        }
        text
    }
}

impl<M: Revocable> Mind for Careful<M> {
    fn next(&mut self, piece: &mut Vec<u8>) -> Result<()> {
        let Some(never) = self.never.take() else { return self.mind.next(piece) };
        let mut found = Ok(());
        while self.cleared == 0 && found.is_ok() {
            let mut next = Vec::new();
            found = self.mind.next(&mut next).and_then(|()| {
                self.held.push_back(next);
                self.sift(&never)
            });
        }
        self.never = Some(never);
        found?;
        self.cleared -= 1;
        piece.extend(self.held.pop_front().unwrap_or_default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says the first of the alternatives at each place, and the next one where it was
    /// taken back.
    struct ScriptedTokens {
        script: Vec<Vec<&'static [u8]>>,
        /// Of each place that was said, which alternative.
        said: Vec<usize>,
        refused: Option<(usize, usize)>,
        can: bool,
    }

    impl Mind for ScriptedTokens {
        fn next(&mut self, piece: &mut Vec<u8>) -> Result<()> {
            let place = self.said.len();
            let which = self.refused.filter(|refused| refused.0 == place).map_or(0, |refused| refused.1 + 1);
            self.said.push(which);
            let alternatives = &self.script[place];
            piece.extend(alternatives[which.min(alternatives.len() - 1)]);
            Ok(())
        }
    }

    impl Revocable for ScriptedTokens {
        fn take_back(&mut self, count: usize) -> Result<bool> {
            if self.can {
                let place = self.said.len() - count;
                self.refused = Some((place, self.said[place]));
                self.said.truncate(place);
            }
            Ok(self.can)
        }
    }

    /// What is said of a script after an opening. A token is alternatives with `|` between.
    fn said(list: &str, opening: &str, script: &[&'static [u8]], can: bool) -> String {
        let alternatives = |token: &&'static [u8]| token.split(|&byte| byte == b'|').collect();
        let script: Vec<Vec<_>> = script.iter().map(alternatives).collect();
        let count = script.len() - MOST_HELD;
        let mind = ScriptedTokens { script, said: Vec::new(), refused: None, can };
        let mut careful = Careful::new(mind, Some(Never::read(list).expect("a list")), opening);
        let mut bytes = Vec::new();
        (0..count).for_each(|_| careful.next(&mut bytes).expect("a token"));
        String::from_utf8(bytes).expect("text")
    }

    const REST: [&[u8]; MOST_HELD] = [b" x"; MOST_HELD];

    fn says(list: &str, script: &[&'static str], can: bool, expected: &str) {
        let script: Vec<_> = script.iter().map(|token| token.as_bytes()).collect();
        assert_eq!(said(list, "", &[&script, &REST[..]].concat(), can), expected, "{list} {script:?}");
    }

    #[test]
    fn a_listed_word_is_taken_back_to_its_first_token_and_another_is_chosen() {
        says("turnip", &["a", " tur| leek", "nip", " is"], true, "a leeknip is");
        says("turnip", &["a", " turnip| turnip| leek", " is"], true, "a leek is");
        says("old turnip", &["an", " old| new", " turnip", "."], true, "an new turnip.");
    }

    #[test]
    fn what_only_begins_like_a_listed_word_is_said() {
        says("turnip", &["a", " tur", "tle", " turn", "ips", "."], true, "a turtle turnips.");
    }

    #[test]
    fn after_eight_tries_or_where_nothing_can_be_taken_back_there_are_dashes() {
        says("turnip", &["a", " turnip", " is"], true, "a ------ is");
        says("turnip", &["a", " tur", "nip", "'s"], false, "a ------'s");
        says("turnip*", &["Turn", "ips", " are"], false, "------- are");
    }

    #[test]
    fn a_character_may_be_torn_between_two_tokens() {
        let of = |list, script: &[&'static [u8]]| said(list, "", &[script, &REST].concat(), true);
        assert_eq!(of("café", &[b" caf| tea", b"\xC3", b"\xA9", b" is"]), " teaé is");
        assert_eq!(
            of("old turnip\nturnip", &[b"old", b"\xC3", b"\xA9 tur", b"nip| leek", b"."]),
            "oldé ------."
        );
        assert_eq!(of("turnip", &[b"a", b"\xC3", b"\xA9", b" b"]), "aé b");
    }

    #[test]
    fn no_more_tokens_are_held_than_fit_and_none_leaks_for_that() {
        let long = "a a a a a a a a a a a a b";
        says(
            long,
            &[" a", " a", " a", " a", " a", " a", " a", " a", " a", " c"],
            true,
            " a a a a a a a a a c",
        );
        let script = ["go", ",", ".", "-", ".", "-", ".", " turnip| leek", " is"];
        says("go to hell\nturnip", &script, true, "go,.-.-. leek is");
    }

    #[test]
    fn a_listed_word_that_the_opening_begins_is_not_completed() {
        let of =
            |list, opening, script: &[&'static [u8]]| said(list, opening, &[script, &REST].concat(), true);
        assert_eq!(of("old turnip", "An old", &[b" turnip| leek", b"."]), " leek.");
        assert_eq!(of("turnip", "I tur", &[b"nip|tle", b"."]), "tle.");
        assert_eq!(of("nip", "I tur", &[b"nip", b"."]), "nip.", "the end of another word");
        assert_eq!(of("old turnip", "An old", &[b" turnip", b"."]), " ------.");
        assert_eq!(of("turnip", "I am a turnip", &[b".", b" b"]), ". b", "the opening's own word stays");
    }

    #[test]
    fn without_a_list_each_token_is_said_at_once() {
        let mind = ScriptedTokens { script: vec![vec![b"tur"]], said: Vec::new(), refused: None, can: true };
        let mut bytes = Vec::new();
        Careful::new(mind, None, "").next(&mut bytes).expect("a token");
        assert_eq!(bytes, b"tur");
    }
}
