//! The text on stdout: on a terminal as it comes, in the journal line by line.

use std::env;
use std::fs::File;
use std::io::{self, Stdout, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, anyhow};

use crate::life::ending::Ending;
use crate::text::wrap::Wrapper;

/// The width of a line in the journal, which shows nothing before a newline.
const JOURNAL_COLUMNS: usize = 80;

/// The variable in which systemd names the journal's end of a stream, as
/// `device:inode` (systemd.exec(5)).
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

/// Text to a writer, flushed at every token.
#[derive(Debug)]
pub struct Output<W> {
    writer: W,
    wrapper: Option<Wrapper>,
    /// Text that is ready to be written; kept to reuse its memory.
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
    /// [`Ending::Unheard`] when the reader has closed its end; a fault on any
    /// other failure to write.
    pub fn text(&mut self, text: &str) -> Result<()> {
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
    pub fn finish(&mut self) -> Result<()> {
        if let Some(wrapper) = &mut self.wrapper {
            wrapper.finish(&mut self.ready);
        }
        self.ready.push('\n');
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        let written = self.writer.write_all(self.ready.as_bytes()).and_then(|()| self.writer.flush());
        self.ready.clear();
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Ending::Unheard.into(),
            _ => anyhow!("cannot write the thought to stdout: {error}; give it somewhere else to go"),
        })
    }
}

/// A stream's identity in the form of `JOURNAL_STREAM`. The variable alone
/// does not tell: it is inherited by children whose stdout is something else.
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

    #[test]
    fn a_reader_that_left_is_told_from_a_full_disk() {
        struct Failing(io::ErrorKind);
        impl Write for Failing {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let failure = |kind| Output::new(Failing(kind)).text("a").expect_err("it fails");
        assert!(matches!(failure(io::ErrorKind::BrokenPipe).downcast_ref(), Some(Ending::Unheard)));
        let full = failure(io::ErrorKind::StorageFull);
        assert!(full.downcast_ref::<Ending>().is_none());
        assert!(full.to_string().contains("stdout"), "{full}");
    }
}
