//! Text on stdout: written at every token; in lines broken at words where stdout is
//! a terminal, or systemd's journal, which shows nothing before a newline.

use std::env;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::terminal;
use super::wrap::Wrapper;
use super::writer::Writer;

/// Columns of a line in the journal.
const JOURNAL_COLUMNS: usize = 80;

/// The variable in which systemd names the journal's end of a stream, as
/// `device:inode` (systemd.exec(5)). That it is set is not enough: children inherit
/// it, and their stdout may be something else.
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

/// How long the reader may take before a write counts as one that waits for it.
const PAUSE: Duration = Duration::from_millis(20);

/// The process's stdout. A write that waits for a reader returns
/// [`ErrorKind::WouldBlock`]; the next one, of the same bytes and what may follow them,
/// says what became of it.
#[derive(Debug)]
pub struct Standard {
    writer: Writer,
    /// How many bytes are being written.
    begun: Option<usize>,
}

impl Standard {
    /// The process's stdout.
    ///
    /// # Errors
    ///
    /// When it cannot be duplicated, or the thread that writes to it not be started.
    pub fn open() -> io::Result<Self> {
        Ok(Self { writer: Writer::new(io::stdout())?, begun: None })
    }
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = *self.begun.get_or_insert_with(|| {
            self.writer.begin(bytes);
            bytes.len()
        });
        let written = self.writer.settle(PAUSE).ok_or(ErrorKind::WouldBlock)?;
        self.begun = None;
        written.map(|()| count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Text to a writer, token by token.
#[derive(Debug)]
pub struct Output<W> {
    writer: W,
    /// Where the text is broken into lines.
    wrapper: Option<Wrapper>,
    /// How long the lines are that begin now.
    columns: fn() -> Option<usize>,
    /// Text that is ready to be written; a field, so that its memory is reused.
    ready: String,
    /// How many of its bytes have been written.
    written: usize,
}

impl Output<Standard> {
    /// The process's stdout; broken into lines where it is the journal, or a
    /// terminal, whose width is asked for again at each token.
    ///
    /// # Errors
    ///
    /// As [`Standard::open`].
    pub fn stdout() -> io::Result<Self> {
        let metadata = File::from(io::stdout().as_fd().try_clone_to_owned()?).metadata()?;
        let id = format!("{}:{}", metadata.dev(), metadata.ino());
        let stdout = Standard::open()?;
        Ok(match env::var(JOURNAL_STREAM) {
            Ok(journal) if journal == id => Self::in_lines(stdout, || Some(JOURNAL_COLUMNS)),
            _ => Self::in_lines(stdout, || terminal::columns(io::stdout())),
        })
    }
}

impl<W: Write> Output<W> {
    /// Text to `writer` as it comes.
    pub fn new(writer: W) -> Self {
        Self::in_lines(writer, || None)
    }

    /// Text to `writer`, broken at words into lines as long as `columns` says when
    /// they begin; as it comes if that is `None` now.
    fn in_lines(writer: W, columns: fn() -> Option<usize>) -> Self {
        Self { writer, wrapper: columns().map(Wrapper::new), columns, ready: String::new(), written: 0 }
    }

    /// Writes one token's text, which may be empty.
    ///
    /// # Errors
    ///
    /// When the writer fails: with `BrokenPipe` where its reader has closed its
    /// end, with `WouldBlock` where the reader does not keep up. The rest is
    /// then written by [`Output::resume`].
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        match &mut self.wrapper {
            Some(wrapper) => {
                if let Some(columns) = (self.columns)() {
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
        while self.written < self.ready.len() {
            match self.writer.write(&self.ready.as_bytes()[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) => return Err(error),
            }
        }
        self.ready.clear();
        self.written = 0;
        Ok(())
    }
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
        let mut output = Output::in_lines(Vec::new(), || Some(8));
        output.text("one two thr").expect("a vector takes all");
        output.text("ee").expect("a vector takes all");
        output.finish().expect("a vector takes all");
        assert_eq!(output.writer, b"one two\nthree\n");
    }
}
