//! Text on stdout: flushed at every token; in lines broken at words where stdout is
//! a terminal, or systemd's journal, which shows nothing before a newline.

use std::env;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use super::standard::Standard;
use super::terminal;
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
    /// The width of the terminal, where the lines are as long as that.
    columns: Option<fn() -> Option<usize>>,
    /// Text that is ready to be written; a field, so that its memory is reused.
    ready: String,
    /// How many of its bytes have been written.
    written: usize,
}

impl Output<Standard> {
    /// The process's stdout; broken into lines where it is the journal, or a
    /// terminal, whose width is asked for again at each line.
    ///
    /// # Errors
    ///
    /// When it cannot be duplicated.
    pub fn stdout() -> io::Result<Self> {
        let journal = env::var(JOURNAL_STREAM).ok();
        let stdout = Standard::open()?;
        Ok(match stream_id(&io::stdout()) {
            Ok(id) if journal.as_deref() == Some(&id) => Self::in_lines(stdout, JOURNAL_COLUMNS),
            _ => Self::as_wide_as(stdout, width),
        })
    }
}

impl<W: Write> Output<W> {
    /// Text to `writer` as it comes.
    pub fn new(writer: W) -> Self {
        Self { writer, wrapper: None, columns: None, ready: String::new(), written: 0 }
    }

    /// Text to `writer`, broken at words into lines of at most `columns`.
    pub fn in_lines(writer: W, columns: usize) -> Self {
        Self { wrapper: Some(Wrapper::new(columns)), ..Self::new(writer) }
    }

    /// Text to `writer`, broken at words into lines as long as `columns` says when
    /// they begin; as it comes if that is `None` now.
    fn as_wide_as(writer: W, columns: fn() -> Option<usize>) -> Self {
        match columns() {
            Some(now) => Self { columns: Some(columns), ..Self::in_lines(writer, now) },
            None => Self::new(writer),
        }
    }

    /// Writes one token's text, which may be empty, and flushes.
    ///
    /// # Errors
    ///
    /// When the writer fails: with `BrokenPipe` where its reader has closed its
    /// end, with `WouldBlock` where the reader does not keep up. The rest is
    /// then written by [`Output::resume`].
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        match &mut self.wrapper {
            Some(wrapper) => {
                if let Some(columns) = self.columns.and_then(|columns| columns()) {
                    wrapper.set_columns(columns);
                }
                wrapper.push(text, &mut self.ready);
            }
            None => self.ready.push_str(text),
        }
        self.resume()
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
        self.resume()
    }

    /// Writes what a call that returned `WouldBlock` has left.
    ///
    /// # Errors
    ///
    /// As [`Output::text`].
    pub fn resume(&mut self) -> io::Result<()> {
        let result = self.write_rest();
        if !matches!(&result, Err(error) if error.kind() == ErrorKind::WouldBlock) {
            self.ready.clear();
            self.written = 0;
        }
        result
    }

    fn write_rest(&mut self) -> io::Result<()> {
        while self.written < self.ready.len() {
            match self.writer.write(&self.ready.as_bytes()[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.writer.flush()
    }
}

/// The width of the terminal that stdout is.
fn width() -> Option<usize> {
    terminal::columns(io::stdout())
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
