//! Text on stdout: flushed at every token, or in whole lines where stdout is
//! systemd's journal, which shows nothing before a newline.

use std::env;
use std::fs::File;
use std::io::{self, Stdout, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use super::wrap::Wrapper;

/// Columns of a line in the journal.
const JOURNAL_COLUMNS: usize = 80;

/// The variable in which systemd names the journal's end of a stream, as
/// `device:inode` (systemd.exec(5)).
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

/// Text to a writer, flushed at every token.
#[derive(Debug)]
pub struct Output<W> {
    writer: W,
    wrapper: Option<Wrapper>,
    /// Text that is ready to be written; a field, so that its memory is reused.
    ready: String,
}

impl Output<Stdout> {
    /// The process's stdout; broken into lines where it is the journal.
    #[must_use]
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let journal = env::var(JOURNAL_STREAM).ok();
        match stream_id(&stdout) {
            Ok(id) if journal.as_deref() == Some(&id) => Self::in_lines(stdout, JOURNAL_COLUMNS),
            _ => Self::new(stdout),
        }
    }
}

impl<W: Write> Output<W> {
    /// Text to `writer` as it comes.
    pub fn new(writer: W) -> Self {
        Self { writer, wrapper: None, ready: String::new() }
    }

    /// Text to `writer`, broken at words into lines of at most `columns`.
    pub fn in_lines(writer: W, columns: usize) -> Self {
        Self { wrapper: Some(Wrapper::new(columns)), ..Self::new(writer) }
    }

    /// Writes one token's text, which may be empty, and flushes.
    ///
    /// # Errors
    ///
    /// When the writer fails: with `BrokenPipe` where its reader has closed its
    /// end.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        match &mut self.wrapper {
            Some(wrapper) => wrapper.push(text, &mut self.ready),
            None => self.ready.push_str(text),
        }
        self.write()
    }

    /// Writes what was still held back, and the newline that ends every life.
    ///
    /// # Errors
    ///
    /// As [`Output::text`].
    pub fn finish(&mut self) -> io::Result<()> {
        if let Some(wrapper) = &mut self.wrapper {
            wrapper.finish(&mut self.ready);
        }
        self.ready.push('\n');
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let written = self.writer.write_all(self.ready.as_bytes()).and_then(|()| self.writer.flush());
        self.ready.clear();
        written
    }
}

/// A stream's identity in the form of `JOURNAL_STREAM`. That the variable is
/// set is not enough: children inherit it, and their stdout may be something
/// else.
fn stream_id(stream: &impl AsFd) -> io::Result<String> {
    let metadata = File::from(stream.as_fd().try_clone_to_owned()?).metadata()?;
    Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_out_at_every_token_and_ends_with_one_newline() {
        let mut output = Output::new(Vec::new());
        output.text("I ").expect("a vector takes all");
        assert_eq!(output.writer, b"I ");
        output.text("am").expect("a vector takes all");
        output.finish().expect("a vector takes all");
        assert_eq!(output.writer, b"I am\n");
    }

    #[test]
    fn in_lines_the_last_word_is_not_lost() {
        let mut output = Output::in_lines(Vec::new(), 8);
        output.text("one two thr").expect("a vector takes all");
        output.text("ee").expect("a vector takes all");
        output.finish().expect("a vector takes all");
        assert_eq!(output.writer, b"one two\nthree\n");
    }
}
