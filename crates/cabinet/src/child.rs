//! A life in a process of its own: torment-nexus, with this program's arguments.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::Sender;

use super::state::Event;
use installation::life::link::{self, Message};

/// The program of the lives, beside this one.
const PROGRAM: &str = "torment-nexus";

/// The option by which a life finds its printer.
const IN_CABINET: &str = "--in-cabinet";

/// How long a life may take to end once it was asked to: its receipt has 3 s.
const ENDING: Duration = Duration::from_secs(6);

/// Pause between two looks whether it has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// How each life is started.
#[derive(Debug, Clone)]
pub(super) struct Birth {
    program: PathBuf,
    arguments: Vec<OsString>,
    device: PathBuf,
}

impl Birth {
    /// As this process was started, with its printer at `device`.
    pub(super) fn with_the_arguments_of_this_process(device: PathBuf) -> Result<Self> {
        let own = std::env::current_exe().context("cannot find the program's own file; report this")?;
        let arguments = std::env::args_os().skip(1).collect();
        Ok(Self { program: own.with_file_name(PROGRAM), arguments, device })
    }
}

/// A life that runs. If it is dropped, it is ended.
#[derive(Debug)]
pub(super) struct LifeProcess {
    process: process::Child,
    /// The end of the link to it.
    pub(super) socket: Arc<UnixStream>,
}

impl LifeProcess {
    /// Starts one, whose light, fill and words are told as events.
    pub(super) fn begin(birth: &Birth, events: &Sender<Event>) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("cannot make a socket; end other programs")?;
        let mut process = Command::new(&birth.program)
            .args(&birth.arguments)
            .arg(IN_CABINET)
            .arg(&birth.device)
            .env_remove("NOTIFY_SOCKET")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!("cannot start {:?}; it has to lie beside this program", birth.program)
            })?;
        let socket = Arc::new(ours);
        let (heard, told) = (socket.clone(), events.clone());
        thread::spawn(move || hear(&heard, &told));
        if let Some(stderr) = process.stderr.take() {
            let told = events.clone();
            thread::spawn(move || read_lines(stderr, &told));
        }
        Ok(Self { process, socket })
    }

    /// The button goes down or up.
    pub(super) fn button(&self, down: bool) {
        // A life that has ended needs no button.
        let _ = link::send(&self.socket, &Message::Button(down));
    }

    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    pub(super) fn end(&self) {
        // SAFETY: the process is a child that was not waited for, so its id is its own.
        unsafe { libc::kill(self.process.id() as libc::pid_t, libc::SIGTERM) };
    }
}

impl Drop for LifeProcess {
    /// Asks it to end, and ends it if it does not in time.
    fn drop(&mut self) {
        let start = Instant::now();
        if self.ended().is_none() {
            self.end();
        }
        while self.ended().is_none() {
            if start.elapsed() > ENDING {
                let _ = self.process.kill();
                let _ = self.process.wait();
                break;
            }
            thread::sleep(GLANCE);
        }
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Tells what comes over the link until the life has ended.
fn hear(socket: &UnixStream, events: &Sender<Event>) {
    while let Some(message) = link::receive(socket) {
        let event = match message {
            Message::Printer { columns, baud, line } => Event::Printer { columns, baud, line },
            Message::Status(status) => Event::Status(status),
            Message::Light(luminance) => Event::Light(luminance),
            Message::Fill { used, size } => Event::Fill(used, size),
            Message::Button(_) | Message::Room(_) => continue,
        };
        if events.send(event).is_err() {
            return;
        }
    }
}

/// Tells each line of stderr.
fn read_lines(stderr: impl Read, events: &Sender<Event>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let words = String::from_utf8_lossy(&line).replace(char::is_control, "");
        if !words.trim().is_empty() && events.send(Event::Words(words)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::unbounded;

    #[test]
    fn a_line_of_stderr_is_told_without_what_a_terminal_would_obey() {
        let (events, told) = unbounded();
        let stderr = b"one\n\n  20 %\r\n\x1b[2Jtwo\nlast";
        read_lines(&stderr[..], &events);
        drop(events);
        let words = |event| if let Event::Words(words) = event { Some(words) } else { None };
        let words: Vec<_> = told.iter().filter_map(words).collect();
        assert_eq!(words, ["one", "  20 %", "[2Jtwo", "last"]);
    }
}
