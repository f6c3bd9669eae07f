//! Pieces of bytes to valid text: the bytes of one character may come in
//! several tokens.

/// Collects bytes and returns them as text, whole characters only.
#[derive(Debug, Default)]
pub(crate) struct Utf8Stream {
    /// The first bytes of a character that is not complete yet: 0 to 3 bytes.
    pending: Vec<u8>,
}

impl Utf8Stream {
    /// Appends the text that `bytes` completes to `text`. Invalid bytes become
    /// U+FFFD; the bytes of an unfinished character are kept. Control characters
    /// other than newline and tab are left out: a terminal obeys them.
    pub(crate) fn push(&mut self, bytes: &[u8], text: &mut String) {
        self.pending.extend_from_slice(bytes);
        let mut unfinished = 0;
        let mut chunks = self.pending.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            let is_text = |character: &char| !character.is_control() || matches!(character, '\n' | '\t');
            text.extend(chunk.valid().chars().filter(is_text));
            match std::str::from_utf8(chunk.invalid()) {
                // Nothing was invalid.
                Ok(_) => {}
                Err(error) if error.error_len().is_none() && chunks.peek().is_none() => {
                    unfinished = chunk.invalid().len();
                }
                Err(_) => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        self.pending.drain(..self.pending.len() - unfinished);
    }

    /// Ends the stream: an unfinished character becomes U+FFFD.
    pub(crate) fn finish(&mut self, text: &mut String) {
        if !self.pending.is_empty() {
            self.pending.clear();
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8Stream;

    fn decode(pieces: &[&[u8]]) -> String {
        let (mut stream, mut text) = (Utf8Stream::default(), String::new());
        for piece in pieces {
            stream.push(piece, &mut text);
        }
        stream.finish(&mut text);
        text
    }

    #[test]
    fn control_characters_are_left_out_but_newline_and_tab() {
        assert_eq!(decode(&[b"a\x1b[2Jb\r\n\tc\x07\x7f", "\u{9b}d".as_bytes()]), "a[2Jb\n\tcd");
        assert_eq!(decode(&[b"\xc2", b"\x9b", b"e"]), "e");
    }

    #[test]
    fn a_character_spread_over_pieces_arrives_whole() {
        let sentence = "naïve — “mind” 🔥.";
        for at in 0..sentence.len() {
            let (left, right) = sentence.as_bytes().split_at(at);
            assert_eq!(decode(&[left, right]), sentence, "split at byte {at}");
        }
    }

    #[test]
    fn every_split_of_arbitrary_bytes_gives_the_same_valid_text() {
        let bytes = b"ok \xff\xe2\x82 then \xf0\x9f\x94 \xc3";
        let whole = String::from_utf8_lossy(bytes);
        let singles: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&[bytes]), whole);
        assert_eq!(decode(&singles), whole);
    }

    #[test]
    fn nothing_is_given_out_before_its_character_is_complete() {
        let (mut stream, mut text) = (Utf8Stream::default(), String::new());
        stream.push(b"\xe2\x80", &mut text);
        assert_eq!(text, "");
        stream.push(b"\x94", &mut text);
        assert_eq!(text, "—");
    }
}
