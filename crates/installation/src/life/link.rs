//! The link to the cabinet, the program that draws the installation: a socket in place
//! of the button's, the light's and the BUSY wire's pins, by which the life also says what
//! it does. Each message has [`LENGTH`] bytes.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::status::{Printing, Status};
use crate::board::threads;

/// Bytes of a message: its kind, and three numbers.
pub const LENGTH: usize = 13;

/// How long a life whose cabinet is gone may take to end: its receipt is closed in
/// 3 s, and the printer's thread has a moment besides.
const ENDING: Duration = Duration::from_secs(8);

/// What is told over the link.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// How the printer that is drawn has to print. From the life, first of all.
    Printer {
        /// Characters in a line.
        columns: u32,
        /// Bits a second.
        baud: u32,
        /// Milliseconds that the paper needs for a line.
        line: u32,
    },
    /// What the piece does. From the life; [`Status::Ended`] is not told, since the exit
    /// status says it.
    Status(Status),
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

/// A number that may be missing, as one.
const NONE: u32 = u32::MAX;

fn number(of: Option<u64>) -> u32 {
    of.map_or(NONE, |number| u32::try_from(number).unwrap_or(NONE - 1))
}

fn optional(number: u32) -> Option<u64> {
    (number != NONE).then_some(number.into())
}

impl Message {
    /// The message in bytes; `None` for what is not told.
    #[must_use]
    pub fn encode(&self) -> Option<[u8; LENGTH]> {
        let (kind, numbers) = match self {
            Self::Printer { columns, baud, line } => (b'p', [*columns, *baud, *line]),
            Self::Status(status) => match status {
                Status::Loading => (b'o', [0; 3]),
                Status::Armed { lives } => (b'a', [number(*lives), 0, 0]),
                Status::Living { number: life, percent, printer } => {
                    (b'v', [number(*life), *percent, *printer as u32])
                }
                Status::Dying { out_of_paper } => (b'd', [(*out_of_paper).into(), 0, 0]),
                Status::Resting => (b'r', [0; 3]),
                Status::Closed => (b'c', [0; 3]),
                Status::Ended(_) => return None,
            },
            Self::Light(luminance) => (b'l', [luminance.to_bits(), 0, 0]),
            Self::Fill { used, size } => (b'f', [*used, *size, 0]),
            Self::Button(down) => (b'b', [(*down).into(), 0, 0]),
            Self::Room(bytes) => (b's', [*bytes, 0, 0]),
        };
        let mut bytes = [kind; LENGTH];
        for (place, number) in bytes[1..].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        Some(bytes)
    }

    /// The message of these bytes, which are those of a message: both ends are of one
    /// version.
    #[must_use]
    pub fn decode(bytes: [u8; LENGTH]) -> Self {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (one, two, three) = (number(1), number(5), number(9));
        match bytes[0] {
            b'p' => Self::Printer { columns: one, baud: two, line: three },
            b'o' => Self::Status(Status::Loading),
            b'a' => Self::Status(Status::Armed { lives: optional(one) }),
            b'v' => {
                let printer = [Printing::None, Printing::Prints, Printing::WaitsForPaper, Printing::Lost];
                let printer = printer.into_iter().find(|printer| *printer as u32 == three);
                let printer = printer.unwrap_or(Printing::None);
                Self::Status(Status::Living { number: optional(one), percent: two, printer })
            }
            b'd' => Self::Status(Status::Dying { out_of_paper: one != 0 }),
            b'r' => Self::Status(Status::Resting),
            b'c' => Self::Status(Status::Closed),
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
pub fn send(mut socket: &UnixStream, message: &Message) -> io::Result<()> {
    message.encode().map_or(Ok(()), |bytes| socket.write_all(&bytes))
}

/// The next message; `None` once the other end is gone.
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
        socket.peer_addr().context("--in-cabinet is for the cabinet alone; use torment-nexus simulate")?;
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
                _ => {}
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
    pub fn tell(&self, message: Message) -> io::Result<()> {
        send(&self.0.socket, &message)
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
        send(&cabinet, &Message::Button(true)).expect("sent");
        send(&cabinet, &Message::Room(40)).expect("sent");
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
        fn each_message_comes_out_as_it_went_in(
            luminance in 0.0_f32..=1.0, used: u32, size: u32, on: bool, life in proptest::option::of(0..u64::from(NONE))
        ) {
            let statuses = [
                Status::Loading,
                Status::Armed { lives: life },
                Status::Living { number: life, percent: 45, printer: Printing::WaitsForPaper },
                Status::Living { number: life, percent: 45, printer: Printing::Lost },
                Status::Dying { out_of_paper: on },
                Status::Resting,
                Status::Closed,
            ];
            let others = [
                Message::Printer { columns: 32, baud: used, line: size },
                Message::Light(luminance),
                Message::Fill { used, size },
                Message::Button(on),
                Message::Room(used),
            ];
            for message in statuses.map(Message::Status).into_iter().chain(others) {
                let bytes = message.encode().expect("told");
                prop_assert_eq!(Message::decode(bytes), message);
            }
        }
    }
}
