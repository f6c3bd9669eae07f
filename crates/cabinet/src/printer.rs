//! The thread of the printer that is drawn, and its pseudo-terminal, which the life opens
//! as it would a serial port.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

use super::machine::Machine;
use super::state::Event;
use installation::board::threads;
use installation::life::link::{self, Message};

/// How often the printer looks at its clock and its orders.
const STEP: u8 = 10;

/// What the printer's thread is told.
#[derive(Debug)]
pub(super) enum Order {
    /// See [`super::state::Action`].
    Pace(Option<u32>),
    Paper(bool),
    Plug(bool),
    /// Bits a second, and the time that the paper needs for a line.
    Speed(u32, Duration),
    /// Whose bytes it takes from now on.
    Life(Arc<UnixStream>),
}

/// Plugs a printer in at `device`. Returns how it is told; when that is dropped, it is
/// unplugged.
pub(super) fn start(device: PathBuf, events: Sender<Event>) -> Result<Sender<Order>> {
    let port =
        PtyPort::at(&device).context("cannot make a pseudo-terminal for the printer; end other programs")?;
    // Before a life says how it prints, none is printed.
    let machine = Machine::new(1, Duration::ZERO);
    let (orders, ordered) = unbounded();
    let work = Work { port: Some(port), machine, pace: Some(1), life: None, room: 0, device, events };
    threads::start("drawn printer", move || work.run(&ordered))?;
    Ok(orders)
}

struct Work {
    port: Option<PtyPort>,
    machine: Machine,
    pace: Option<u32>,
    life: Option<Arc<UnixStream>>,
    /// What the life was told of its room last.
    room: usize,
    device: PathBuf,
    events: Sender<Event>,
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut last = Instant::now();
        loop {
            loop {
                match orders.try_recv() {
                    Ok(order) => self.obey(order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            match &mut self.port {
                Some(port) => {
                    let bytes = port.read();
                    let answers = self.machine.receive(&bytes);
                    port.write(&answers);
                }
                None => thread::sleep(Duration::from_millis(STEP.into())),
            }
            let now = Instant::now();
            let time = now - last;
            last = now;
            let printed = self.machine.print(self.pace.map(|pace| time * pace));
            if !printed.is_empty() && self.events.send(Event::Printed(printed)).is_err() {
                return;
            }
            self.tell_room();
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Pace(pace) => self.pace = pace,
            Order::Speed(baud, line) => self.machine.set_speed(baud, line),
            Order::Paper(paper) => self.machine.set_paper(paper),
            Order::Plug(true) => {
                // Without a pseudo-terminal it stays unplugged.
                self.port = PtyPort::at(&self.device).ok();
            }
            Order::Plug(false) => {
                // What was written is lost, but it is not to come.
                if let Some(port) = &mut self.port {
                    self.machine.receive(&port.read());
                }
                self.machine.switch_off();
                self.port = None;
            }
            Order::Life(socket) => {
                self.machine.begin();
                self.life = Some(socket);
                self.room = 0;
            }
        }
    }

    /// Tells the life how many bytes the printer takes, if that has changed.
    fn tell_room(&mut self) {
        let room = self.machine.room(self.pace.is_none());
        if let Some(life) = &self.life
            && std::mem::replace(&mut self.room, room) != room
        {
            // A life that has ended prints no more.
            let _ = link::send(life, &Message::Room(room as u32));
        }
    }
}

/// A pseudo-terminal at a path.
#[derive(Debug)]
struct PtyPort {
    master: File,
    /// Kept open, so that the pseudo-terminal does not hang up between two lives.
    _slave: File,
    device: PathBuf,
}

impl PtyPort {
    fn at(device: &Path) -> io::Result<Self> {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname_r(&master)?;
        let slave = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(&name)?;
        // Raw, so that the terminal does not echo what it receives.
        let mut termios = tcgetattr(&slave)?;
        cfmakeraw(&mut termios);
        tcsetattr(&slave, SetArg::TCSANOW, &termios)?;
        // From here on the master is used as a file.
        let master = File::from(master.as_fd().try_clone_to_owned()?);
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))?;
        let _ = fs::remove_file(device);
        symlink(&name, device)?;
        Ok(Self { master, _slave: slave, device: device.to_owned() })
    }

    /// The bytes that come within [`STEP`] milliseconds.
    fn read(&mut self) -> Vec<u8> {
        let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ready, PollTimeout::from(STEP));
        let mut buffer = [0; 4096];
        // The master does not block: nothing to read is an error here.
        let length = self.master.read(&mut buffer).unwrap_or(0);
        buffer[..length].to_vec()
    }

    fn write(&mut self, bytes: &[u8]) {
        // A life that does not read the answers does without.
        let _ = self.master.write_all(bytes);
    }
}

impl Drop for PtyPort {
    fn drop(&mut self) {
        // Whoever looks for it finds that it is absent.
        let _ = fs::remove_file(&self.device);
    }
}
