//! Words that are never said: a list, and where in a text one of them stands.
//!
//! The text comes token by token, so that a word may have begun and not ended. What
//! could still become a listed word is held back; everything before it may be said.

use anyhow::{Result, ensure};

/// The words and phrases of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Never {
    phrases: Vec<Vec<Form>>,
}

/// A word of a phrase, in lower case; with `open`, every word that begins so.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Form {
    letters: String,
    open: bool,
}

/// What a text is found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// None of the listed words; the first bytes may be said, and the others be held back.
    Clean(usize),
    /// A listed one, from and to these bytes.
    Listed(usize, usize),
}

impl Never {
    /// Reads a list: on each line a word, or words with spaces between them; a `*` at the
    /// end of a word stands for any ending. Lines that begin with `#` are comments. Capitals
    /// do not matter.
    ///
    /// # Errors
    ///
    /// When a line has anything else than letters, digits, spaces and such a `*`, or
    /// the list is empty.
    pub fn read(list: &str) -> Result<Self> {
        let mut phrases = Vec::new();
        for (number, line) in (1..).zip(list.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let forms = line.split_whitespace().map(|word| {
                let (letters, open) = word.strip_suffix('*').map_or((word, false), |start| (start, true));
                let is_word = !letters.is_empty() && letters.chars().all(is_letter);
                is_word.then(|| Form { letters: letters.to_lowercase(), open })
            });
            let phrase: Option<Vec<_>> = forms.collect();
            ensure!(
                phrase.is_some(),
                "line {number}, {line:?}, is not words of letters, each with a * at most"
            );
            phrases.extend(phrase);
        }
        ensure!(!phrases.is_empty(), "it lists no word");
        Ok(Self { phrases })
    }

    /// Looks for the first listed word or phrase in `text`, which goes on after `before`.
    #[must_use]
    pub fn find(&self, before: Option<char>, text: &str) -> Found {
        let mut words = words(text);
        if before.is_some_and(is_letter) && words.first().is_some_and(|word| word.start == 0) {
            // The rest of a word that is none of the listed.
            words.remove(0);
        }
        for at in 0..words.len() {
            let mut held = false;
            for phrase in &self.phrases {
                match begins(phrase, &words[at..], text) {
                    Begins::Whole(end) => return Found::Listed(words[at].start, end),
                    Begins::Perhaps => held = true,
                    Begins::Not => {}
                }
            }
            if held {
                return Found::Clean(words[at].start);
            }
        }
        Found::Clean(text.len())
    }
}

/// A run of letters: its first byte, the byte after its last, and the letters in lower case.
struct Word {
    start: usize,
    end: usize,
    said: String,
}

enum Begins {
    Not,
    /// So far; more text will tell.
    Perhaps,
    /// All of it, up to this byte.
    Whole(usize),
}

/// Whether a text begins with a phrase, given its words.
fn begins(phrase: &[Form], words: &[Word], text: &str) -> Begins {
    for (at, form) in phrase.iter().enumerate() {
        let Some(word) = words.get(at) else {
            let is_open = text[words[at - 1].end..].chars().all(char::is_whitespace);
            return if is_open { Begins::Perhaps } else { Begins::Not };
        };
        if at > 0 && !text[words[at - 1].end..word.start].chars().all(char::is_whitespace) {
            return Begins::Not;
        }
        let (said, goes_on) = (&word.said, word.end == text.len());
        let fits =
            if form.open { said.starts_with(&form.letters) } else { *said == form.letters && !goes_on };
        if !fits {
            let may_become = goes_on && form.letters.starts_with(said);
            return if may_become { Begins::Perhaps } else { Begins::Not };
        }
    }
    phrase.len().checked_sub(1).map_or(Begins::Not, |last| Begins::Whole(words[last].end))
}

fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (at, letter) in text.char_indices().filter(|&(_, letter)| is_letter(letter)) {
        let end = at + letter.len_utf8();
        match words.last_mut().filter(|word| word.end == at) {
            Some(word) => word.end = end,
            None => words.push(Word { start: at, end, said: String::new() }),
        }
    }
    // Once, and not for each phrase of the list.
    words.iter_mut().for_each(|word| word.said = text[word.start..word.end].to_lowercase());
    words
}

/// What a word is made of. An apostrophe is not: `it's` is two words, so that the
/// possessive of a listed word is found too.
fn is_letter(character: char) -> bool {
    character.is_alphabetic() || character.is_numeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(list: &str, text: &str) -> Found {
        Never::read(list).expect("a list").find(None, text)
    }

    #[test]
    fn a_listed_word_is_found_once_it_has_ended_in_capitals_and_as_a_possessive_too() {
        for text in ["a turnip.", "a Turnip ", "a TURNIP\n", "a turnip's"] {
            assert_eq!(find("turnip", text), Found::Listed(2, 8), "{text:?}");
        }
        assert_eq!(find("turnip", "a turnip"), Found::Clean(2), "it may become turnips");
    }

    #[test]
    fn no_word_that_only_holds_a_listed_one_is_found() {
        for text in ["turnips ", "aturnip ", "turn ip ", "parsnip and more "] {
            assert_eq!(find("turnip", text), Found::Clean(text.len()), "{text:?}");
        }
        let list = Never::read("turnip").expect("a list");
        assert_eq!(list.find(Some('a'), "turnip "), Found::Clean(7), "the end of another word");
    }

    #[test]
    fn with_a_star_every_ending_is_found_at_once() {
        for text in ["turnips", "turnip", "Turniped"] {
            assert!(matches!(find("turnip*", text), Found::Listed(0, _)), "{text:?}");
        }
        assert_eq!(find("turnip*", "turni"), Found::Clean(0));
    }

    #[test]
    fn a_phrase_is_found_over_spaces_and_lines_and_not_over_a_full_stop() {
        for text in ["old  turnip.", "Old\nturnip.", "old \n\n turnip."] {
            assert!(matches!(find("old turnip", text), Found::Listed(0, _)), "{text:?}");
        }
        assert_eq!(find("old turnip", "old. turnip."), Found::Clean(12));
        assert_eq!(find("old turnip", "an old t"), Found::Clean(3), "it may become the phrase");
        assert_eq!(find("old turnip", "an old man"), Found::Clean(10));
    }

    #[test]
    fn a_text_that_cannot_become_a_listed_word_is_not_held_back() {
        assert_eq!(find("turnip", "the tur"), Found::Clean(4));
        assert_eq!(find("turnip", "the turt"), Found::Clean(8));
    }

    #[test]
    fn a_line_that_is_no_word_is_an_error_that_names_it() {
        assert_eq!(
            Never::read("# a comment\n\nTurnip\n").expect("a list"),
            Never::read("turnip").expect("a list")
        );
        for (list, line) in
            [("a\nb, c", "line 2"), ("*", "line 1"), ("tur*nip", "line 1"), ("it's", "line 1")]
        {
            let error = Never::read(list).expect_err("no list").to_string();
            assert!(error.contains(line), "{error}");
        }
        assert!(Never::read("# nothing\n").is_err());
    }
}
