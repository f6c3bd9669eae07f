//! A simulated printer on a pseudo-terminal: it receives bytes, answers
//! queries, and fails in the ways a printer does.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

/// What the printer does besides printing. `at`, `from` and the like are
/// numbers of bytes received so far.
#[derive(Debug, Clone, Copy)]
pub enum Behaviour {
    /// It prints and sends nothing.
    Silent,
    /// It answers every query: there is paper.
    Answers,
    /// It answers; from `from` on it reports the end of the paper until it was
    /// asked `questions` times, then paper again.
    OutOfPaper { from: usize, questions: usize },
    /// It answers every query: there is little paper.
    NearEnd,
    /// It is unplugged. What was on the wire by then has arrived.
    Unplugged { at: usize },
    /// It is switched on after so many bytes, which are lost.
    PoweredAt(usize),
    /// It sends one XOFF, and never XON.
    Xoff { at: usize },
    /// It sends every byte value but XOFF, over and over.
    Babbles,
    /// It sends XOFF after every so many bytes, and XON after a pause.
    Pauses { every: usize, pause: Duration },
    /// It takes nothing any more and says nothing.
    Hangs { at: usize },
}

/// The options of a printer that is much faster than any real one, so that tests do not
/// wait for it.
pub const FAST: [&str; 6] = ["--printer", "printer", "--printer-baud", "4000000", "--printer-line-ms", "1"];

/// Those of a slower one, on which a life takes some seconds: a fault in the middle then
/// still falls into the life, even if the scheduler delays it.
pub const SLOW: [&str; 6] = ["--printer", "printer", "--printer-baud", "115200", "--printer-line-ms", "20"];

const XOFF: u8 = 0x13;
const XON: u8 = 0x11;

/// The time in which a dot row of blank paper is fed.
const FED_ROW: Duration = Duration::from_micros(2100);

/// The longest that a test waits for the printer.
const LIMIT: Duration = Duration::from_secs(240);

/// Replies to `DLE EOT 4`.
const PAPER: u8 = 0x12;
const LITTLE_PAPER: u8 = 0x1E;
const NO_PAPER: u8 = 0x72;

/// A running simulated printer. Its device is a symbolic link, as /dev/serial0
/// is.
pub struct FakePrinter {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<(Instant, Vec<u8>)>>,
    /// Kept open so that the pseudo-terminal does not hang up between two
    /// lives.
    _slave: File,
}

/// The bytes that were received, and when.
pub struct Received(Vec<(Instant, Vec<u8>)>);

impl FakePrinter {
    /// Starts a printer whose device is at `link`.
    pub fn at(link: &Path, behaviour: Behaviour) -> Self {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let master = posix_openpt(flags).expect("a pseudo-terminal");
        grantpt(&master).expect("a pseudo-terminal");
        unlockpt(&master).expect("a pseudo-terminal");
        let device = PathBuf::from(ptsname_r(&master).expect("it has a name"));
        let _ = fs::remove_file(link);
        std::os::unix::fs::symlink(&device, link).expect("a link");
        let mut options = File::options();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let slave = options.open(&device).expect("the device");
        // Raw mode, so that the terminal does not echo what it receives.
        let mut termios = tcgetattr(&slave).expect("a terminal");
        cfmakeraw(&mut termios);
        tcsetattr(&slave, SetArg::TCSANOW, &termios).expect("a terminal");
        // From here on the master is used as a file.
        let master = File::from(master.as_fd().try_clone_to_owned().expect("a descriptor"));
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let thread = thread::spawn({
            let (stop, count) = (stop.clone(), count.clone());
            let device = slave.try_clone().expect("a descriptor");
            move || run(master, device, behaviour, &stop, &count)
        });
        Self { stop, count, thread, _slave: slave }
    }

    /// Waits until that many bytes have arrived.
    pub fn wait_for(&self, bytes: usize) {
        let start = Instant::now();
        while self.count.load(Ordering::Relaxed) < bytes {
            assert!(start.elapsed() < LIMIT, "nothing is printed");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The number of bytes that have arrived.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until it is unplugged.
    pub fn stop_when_unplugged(self) -> Received {
        Received(self.thread.join().expect("the fake printer does not fail"))
    }

    /// Receives what is left, and stops.
    pub fn stop(self) -> Received {
        self.stop.store(true, Ordering::Relaxed);
        Received(self.thread.join().expect("the fake printer does not fail"))
    }
}

fn run(
    mut master: File,
    mut device: File,
    behaviour: Behaviour,
    stop: &AtomicBool,
    total: &AtomicUsize,
) -> Vec<(Instant, Vec<u8>)> {
    let mut received = Vec::new();
    let (mut count, mut asked, mut held, mut pauses) = (0, 0, false, 0);
    let mut tail = Vec::new();
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        let came = read(&mut master);
        if came.is_empty() {
            if stopping {
                return received;
            }
            let mut ready = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut ready, PollTimeout::from(5_u8));
            if matches!(behaviour, Behaviour::Babbles) {
                let _ = master.write(&(0..=255).filter(|&byte| byte != XOFF).collect::<Vec<u8>>());
            }
            continue;
        }
        count += came.len();
        total.store(count, Ordering::Relaxed);
        // Counts the queries, also those that are split between two reads.
        tail.extend(&came);
        let questions = tail.windows(3).filter(|bytes| bytes == b"\x10\x04\x04").count();
        let keep = if tail.ends_with(b"\x10\x04\x04") { 0 } else { tail.len().min(2) };
        tail.drain(..tail.len() - keep);

        let replies = |reply: u8| vec![reply; questions];
        let reply = match behaviour {
            Behaviour::Answers => replies(PAPER),
            Behaviour::NearEnd => replies(LITTLE_PAPER),
            Behaviour::OutOfPaper { from, questions: enough } => {
                let out = count >= from && asked < enough;
                if out {
                    asked += questions;
                }
                replies(if out { NO_PAPER } else { PAPER })
            }
            Behaviour::Xoff { at } if count >= at && !held => {
                held = true;
                vec![XOFF]
            }
            Behaviour::Unplugged { at } if count >= at => {
                let mut last = came;
                while !last.is_empty() {
                    received.push((Instant::now(), last));
                    last = read(&mut master);
                }
                return received;
            }
            Behaviour::Pauses { every, pause } if count / every > pauses => {
                pauses = count / every;
                let _ = master.write_all(&[XOFF]);
                thread::sleep(pause);
                vec![XON]
            }
            Behaviour::Hangs { at } if count >= at => {
                received.push((Instant::now(), came));
                while !stop.load(Ordering::Relaxed) {
                    // What the port holds back between program and printer is full.
                    while device.write(&[0; 64]).is_ok_and(|length| length > 0) {}
                    thread::sleep(Duration::from_millis(1));
                }
                return received;
            }
            _ => Vec::new(),
        };
        let _ = master.write_all(&reply);
        let on = !matches!(behaviour, Behaviour::PoweredAt(at) if count < at);
        if on {
            received.push((Instant::now(), came));
        }
    }
}

fn read(master: &mut File) -> Vec<u8> {
    let mut buffer = vec![0; 4096];
    // It fails where there is nothing, or the other end is closed.
    let length = master.read(&mut buffer).unwrap_or(0);
    buffer.truncate(length);
    buffer
}

impl Received {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    /// The number of bytes that would have overflowed the input buffer of a
    /// printer with `buffer` bytes, a serial line of `baud`, and a time of
    /// `line` for each line. Time runs from the first byte.
    pub fn overruns(&self, baud: u32, line: Duration, buffer: usize) -> usize {
        let Some((start, _)) = self.0.first() else { return 0 };
        let byte_time = Duration::from_secs_f64(10.0 / f64::from(baud));
        let mut wire = Duration::ZERO;
        let mut paper = Duration::ZERO;
        // When each byte in the input buffer will be taken out of it.
        let mut waiting: Vec<Duration> = Vec::new();
        let (mut overruns, mut operands, mut text) = (0, 0, false);
        let mut command = Vec::new();
        for (at, bytes) in &self.0 {
            for &byte in bytes {
                wire = wire.max(at.duration_since(*start)) + byte_time;
                waiting.retain(|&taken| taken > wire);
                if waiting.len() >= buffer {
                    overruns += 1;
                }
                let taken = wire.max(paper);
                waiting.push(taken);
                // Finds out what the byte is, and until when it keeps the
                // printer busy.
                if operands > 0 {
                    operands -= 1;
                    command.push(byte);
                    if let [0x1B, b'J', rows] = command[..] {
                        paper = taken + FED_ROW * u32::from(rows);
                    }
                } else if matches!(byte, 0x1B | 0x1C | 0x1D | 0x10) {
                    operands = if byte == 0x1C { 1 } else { 2 };
                    command = vec![byte];
                } else if byte == b'\n' {
                    paper = taken + if text { line } else { FED_ROW * 28 };
                    text = false;
                } else {
                    text |= byte != b' ' && byte != 0xFF;
                }
                match command[..] {
                    [0x1B, b'@'] => operands = 0,
                    [0x1B, b'8'] if operands == 1 => operands = 2,
                    [0x1B, b'7'] if operands == 1 => operands = 3,
                    _ => {}
                }
            }
        }
        overruns
    }
}
