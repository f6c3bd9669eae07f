//! Word wrap for text that arrives piece by piece.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Breaks text into lines between words, piece by piece: a word is given out
/// once it is complete, on the next line if it does not fit on this one.
#[derive(Debug)]
pub struct Wrapper {
    /// Width of this line in columns, at least 1.
    columns: usize,
    /// The same of the next line.
    next_columns: usize,
    /// Columns used on this line.
    column: usize,
    /// White space since the last word; dropped where the line breaks.
    space: String,
    /// The word that is not complete yet.
    word: String,
}

impl Wrapper {
    /// A wrapper at the beginning of a line of `columns` columns; 0 counts
    /// as 1.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        let columns = columns.max(1);
        Self { columns, next_columns: columns, column: 0, space: String::new(), word: String::new() }
    }

    /// Sets the width of the lines that begin from now on; 0 counts as 1.
    pub(crate) fn set_columns(&mut self, columns: usize) {
        self.next_columns = columns.max(1);
        if self.column == 0 {
            self.columns = self.next_columns;
        }
    }

    /// Takes more text and appends what is ready to `out`.
    pub fn push(&mut self, text: &str, out: &mut String) {
        for character in text.chars() {
            if character == '\n' {
                self.finish(out);
                self.end_line(out);
            } else if character.is_whitespace() {
                self.finish(out);
                self.space.push(character);
            } else {
                // A word longer than a line is broken where the line ends.
                if self.word.width() + character.width().unwrap_or(0) > self.columns {
                    self.finish(out);
                }
                self.word.push(character);
            }
        }
    }

    /// Appends the last, unfinished word to `out`. Does not end the line.
    pub fn finish(&mut self, out: &mut String) {
        if self.word.is_empty() {
            return;
        }
        let space = self.space.width();
        if self.column > 0 && self.column + space + self.word.width() > self.columns {
            self.end_line(out);
        }
        // A line may begin with the spaces that the text put there, if they fit.
        if self.column + self.space.width() + self.word.width() <= self.columns {
            self.column += self.space.width();
            out.push_str(&self.space);
        }
        self.space.clear();
        self.column += self.word.width();
        out.push_str(&self.word);
        self.word.clear();
    }

    fn end_line(&mut self, out: &mut String) {
        out.push('\n');
        self.column = 0;
        self.columns = self.next_columns;
        self.space.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(columns: usize, pieces: &[&str]) -> String {
        let (mut wrapper, mut out) = (Wrapper::new(columns), String::new());
        for piece in pieces {
            wrapper.push(piece, &mut out);
        }
        wrapper.finish(&mut out);
        out
    }

    #[test]
    fn lines_break_between_words_and_never_exceed_the_columns() {
        let text = "I have four slow cores and a strip of paper; none of it is mine.";
        for columns in 6..40 {
            let wrapped = wrap(columns, &[text]);
            assert!(wrapped.lines().all(|line| line.width() <= columns), "{columns}: {wrapped}");
            assert_eq!(wrapped.replace('\n', " "), text);
        }
    }

    #[test]
    fn the_lines_do_not_depend_on_how_the_text_was_cut_into_pieces() {
        let text = "a mind in a box,\nsays the box\n\nand is right";
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(wrap(7, &letters), wrap(7, &[text]));
    }

    #[test]
    fn a_word_longer_than_a_line_is_broken_and_nothing_of_it_is_lost() {
        assert_eq!(wrap(4, &["ab incomprehensible"]), "ab\ninco\nmpre\nhens\nible");
    }

    #[test]
    fn the_texts_own_line_breaks_stay() {
        assert_eq!(wrap(10, &["one\n\ntwo"]), "one\n\ntwo");
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        assert_eq!(wrap(4, &["火火火"]), "火火\n火");
    }

    #[test]
    fn a_width_that_changes_counts_from_the_next_line_on() {
        let (mut wrapper, mut out) = (Wrapper::new(12), String::new());
        wrapper.push("one two ", &mut out);
        wrapper.set_columns(5);
        wrapper.push("six four five ten ", &mut out);
        assert_eq!(out, "one two six\nfour\nfive\nten");
        wrapper.set_columns(20);
        wrapper.push("a bc and on it goes to ", &mut out);
        assert_eq!(out.lines().last(), Some("bc and on it goes to"), "{out}");
    }

    #[test]
    fn an_unfinished_word_waits_for_its_rest() {
        let (mut wrapper, mut out) = (Wrapper::new(10), String::new());
        wrapper.push("remem", &mut out);
        assert_eq!(out, "");
        wrapper.push("ber ", &mut out);
        assert_eq!(out, "remember");
    }
}
