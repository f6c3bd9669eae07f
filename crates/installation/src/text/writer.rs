//! A stream that is written without waiting for its reader.
//!
//! No look at a stream tells whether a write to it will wait: a terminal may be stopped
//! after that look, and a pipe filled by another process. Nor can the descriptor be made
//! non-blocking, since its flags are shared with other processes. So a thread of its own
//! writes, and may wait for ever.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::terminal::wait_until_it_takes_some;

/// A stream, and the thread that writes to it.
#[derive(Debug)]
pub(crate) struct Writer {
    give: Sender<Vec<u8>>,
    done: Receiver<(Vec<u8>, io::Result<()>)>,
    /// Empty, and its memory is reused; `None` while its bytes are being written.
    buffer: Option<Vec<u8>>,
}

impl Writer {
    /// Fails when the stream cannot be duplicated or the thread not started.
    pub(crate) fn new(stream: impl AsFd) -> io::Result<Self> {
        let mut file = File::from(stream.as_fd().try_clone_to_owned()?);
        let (give, given) = bounded(1);
        let (tell, done) = bounded(1);
        let write = move |bytes: Vec<u8>| {
            let written = write_all(&mut file, &bytes);
            tell.send((bytes, written))
        };
        thread::Builder::new().name("writer".to_owned()).spawn(move || given.iter().try_for_each(write))?;
        Ok(Self { give, done, buffer: Some(Vec::new()) })
    }

    /// Waits at most for this `time` until the bytes that were given last are written, and
    /// returns how that went; `None` while they are not.
    pub(crate) fn settle(&mut self, time: Duration) -> Option<io::Result<()>> {
        if self.buffer.is_some() {
            return Some(Ok(()));
        }
        let (mut buffer, written) = self.done.recv_timeout(time).ok()?;
        buffer.clear();
        self.buffer = Some(buffer);
        Some(written)
    }

    /// Begins to write these bytes; those before have [settled](Self::settle).
    pub(crate) fn begin(&mut self, bytes: &[u8]) {
        if let Some(mut buffer) = self.buffer.take() {
            buffer.extend_from_slice(bytes);
            // There is room: the thread has taken all that was given before.
            let _ = self.give.send(buffer);
        }
    }
}

/// As [`Write::write_all`], also where another process has made the stream non-blocking.
fn write_all(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_until_it_takes_some(&*file),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn bytes_that_wait_for_their_reader_keep_nobody_and_are_written_once_it_reads() {
        // More than a pipe takes.
        let bytes = vec![b'x'; 1 << 20];
        let (mut reader, stream) = io::pipe().expect("a pipe");
        let mut writer = Writer::new(&stream).expect("a thread");
        drop(stream);
        writer.begin(&bytes);
        assert!(writer.settle(Duration::from_millis(50)).is_none(), "nobody has read");
        let mut read = vec![0; bytes.len()];
        reader.read_exact(&mut read).expect("they come");
        writer.settle(Duration::from_secs(60)).expect("they are written").expect("well");
        drop(reader);
        writer.begin(b"more");
        let gone = writer.settle(Duration::from_secs(60)).expect("at once").expect_err("nobody is there");
        assert_eq!((gone.kind(), read), (ErrorKind::BrokenPipe, bytes));
    }
}
