//! The link to the program that draws the installation (`--simulate`): a socket in
//! place of the button's, the light's and the BUSY wire's pins. Each message is of
//! [`LENGTH`] bytes.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::threads;

/// Bytes of a message: its kind, and two numbers.
pub(crate) const LENGTH: usize = 9;

/// How long a life whose cabinet is gone may take to end: its receipt is closed in
/// 3 s, and the printer's thread has a moment besides.
const ENDING: Duration = Duration::from_secs(8);

/// What is told over the link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Message {
    /// The light's luminance, 0 to 1. From the life.
    Light(f32),
    /// The tokens in use, and the context size. From the life.
    Fill {
        /// Tokens in use, prompt included.
        used: u32,
        /// The context window in tokens.
        size: u32,
    },
    /// Whether the button is down. From the cabinet.
    Button(bool),
    /// How many bytes of this life the printer takes, those that it has taken among
    /// them. From the cabinet.
    Room(u32),
}

impl Message {
    /// The message in bytes.
    #[must_use]
    pub(crate) fn encode(self) -> [u8; LENGTH] {
        let (kind, one, two) = match self {
            Self::Light(luminance) => (b'l', luminance.to_bits(), 0),
            Self::Fill { used, size } => (b'f', used, size),
            Self::Button(down) => (b'b', down.into(), 0),
            Self::Room(bytes) => (b'r', bytes, 0),
        };
        let mut bytes = [kind; LENGTH];
        bytes[1..5].copy_from_slice(&one.to_le_bytes());
        bytes[5..].copy_from_slice(&two.to_le_bytes());
        bytes
    }

    /// The message of these bytes, which are those of a message: both ends are this
    /// program.
    #[must_use]
    pub(crate) fn decode(bytes: [u8; LENGTH]) -> Self {
        let [kind, a, b, c, d, two @ ..] = bytes;
        let (one, two) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(two));
        match kind {
            b'l' => Self::Light(f32::from_bits(one)),
            b'f' => Self::Fill { used: one, size: two },
            b'b' => Self::Button(one != 0),
            _ => Self::Room(one),
        }
    }
}

/// Sends a message.
///
/// # Errors
///
/// When the other end is gone.
pub fn send(mut socket: &UnixStream, message: Message) -> io::Result<()> {
    socket.write_all(&message.encode())
}

/// The next message; `None` once the other end is gone. What is no message is
/// skipped.
pub fn receive(mut socket: &UnixStream) -> Option<Message> {
    let mut bytes = [0; LENGTH];
    socket.read_exact(&mut bytes).ok()?;
    Some(Message::decode(bytes))
}

/// The life's end of the link. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Link(Arc<Wires>);

/// The socket, what the cabinet has told last, and how many bytes were written to its
/// printer. A wire alone would be seen some lines too late where the processor is busy.
#[derive(Debug)]
struct Wires {
    socket: UnixStream,
    down: AtomicBool,
    room: AtomicU32,
    written: AtomicU32,
}

impl Link {
    /// The link on stdin, where the cabinet has put it. Once the cabinet is gone this
    /// process is interrupted as by a signal, and if it does not end, ended.
    ///
    /// # Errors
    ///
    /// When stdin is no socket: the option is the cabinet's alone.
    pub fn on_stdin() -> Result<Self> {
        let stdin = io::stdin().as_fd().try_clone_to_owned().context("cannot use stdin; report this")?;
        let socket = UnixStream::from(stdin);
        socket.peer_addr().context("--in-cabinet is for --simulate alone; use that")?;
        let link = Self::on(socket);
        let other = link.clone();
        threads::start("link", move || {
            other.listen();
            interrupt_this_process();
        })?;
        Ok(link)
    }

    fn on(socket: UnixStream) -> Self {
        let (down, room, written) = Default::default();
        Self(Arc::new(Wires { socket, down, room, written }))
    }

    /// Keeps what the cabinet tells, until it is gone.
    fn listen(&self) {
        while let Some(message) = receive(&self.0.socket) {
            match message {
                Message::Button(down) => self.0.down.store(down, Ordering::Relaxed),
                Message::Room(bytes) => self.0.room.store(bytes, Ordering::Relaxed),
                Message::Light(_) | Message::Fill { .. } => {}
            }
        }
    }

    /// Whether the button is down.
    #[must_use]
    pub(crate) fn is_down(&self) -> bool {
        self.0.down.load(Ordering::Relaxed)
    }

    /// Whether the printer takes no bytes.
    #[must_use]
    pub(crate) fn is_busy(&self) -> bool {
        self.0.written.load(Ordering::Relaxed) >= self.0.room.load(Ordering::Relaxed)
    }

    /// So many more bytes were written to the printer.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.0.written.fetch_add(bytes as u32, Ordering::Relaxed);
    }

    /// Tells the cabinet.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub(crate) fn tell(&self, message: Message) -> io::Result<()> {
        send(&self.0.socket, message)
    }
}

/// Two links are equal if they are the same one.
impl PartialEq for Link {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Link {}

/// Has this process end as by a signal; the second one ends it at once.
fn interrupt_this_process() {
    for _ in 0..2 {
        // SAFETY: the program handles this signal, see `life::interrupt`; the call
        // has no preconditions.
        unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
        thread::sleep(ENDING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_cabinet_tells_reaches_the_wires_and_its_end_is_noticed() {
        let (cabinet, life) = UnixStream::pair().expect("a socket");
        let link = Link::on(life);
        send(&cabinet, Message::Button(true)).expect("sent");
        send(&cabinet, Message::Room(40)).expect("sent");
        link.tell(Message::Fill { used: 3, size: 9 }).expect("sent");
        assert_eq!(receive(&cabinet), Some(Message::Fill { used: 3, size: 9 }));
        assert!(!link.is_down() && link.is_busy(), "nothing was told yet");
        drop(cabinet);
        link.listen();
        assert!(link.is_down() && !link.is_busy());
        link.wrote(39);
        assert!(!link.is_busy());
        link.wrote(1);
        assert!(link.is_busy());
        assert!(link.tell(Message::Light(0.0)).is_err());
    }

    proptest! {
        #[test]
        fn each_message_comes_out_as_it_went_in(luminance in 0.0_f32..=1.0, used: u32, size: u32, on: bool) {
            for message in
                [Message::Light(luminance), Message::Fill { used, size }, Message::Button(on), Message::Room(used)]
            {
                prop_assert_eq!(Message::decode(message.encode()), message);
            }
        }
    }
}
