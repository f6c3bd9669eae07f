//! A supervisor in miniature. It follows the unit's rules for one process after the
//! other, on one thread: it hears what the process notifies, feeds on stdout and
//! stderr, kills what its watchdog takes for hung, and strikes where the dice says.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe};

use super::faults::{Blow, Stage};
use crate::support::exhibition::setting;
use crate::support::fake_printer::FakePrinter;
use crate::support::nexus::LIMIT;

/// The unit's pauses are so many times as long as these.
const FASTER: u32 = 50;

/// How often the process is looked at.
const GLANCE: Duration = Duration::from_millis(2);

/// How often its descriptors, threads and memory are counted.
const CENSUS: Duration = Duration::from_millis(15);

fn seconds(name: &str) -> Duration {
    Duration::from_secs(setting(name).parse().expect("whole seconds"))
}

/// Where the process's stdout goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdout {
    Read,
    Closed,
    Full,
    Unread,
}

/// What happens to a process besides what it does itself.
pub struct Scene<'a> {
    pub stdout: Stdout,
    pub printer: Option<&'a FakePrinter>,
    pub blow: Option<Blow>,
    /// Done once the printer has received so many bytes.
    pub midway: Option<(usize, &'a dyn Fn())>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    With(i32),
    By(i32),
    /// The watchdog, or the limit of the start, has killed it.
    AsHung,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Lived {
    pub ended: Ended,
    /// Whether the blow has fallen.
    pub struck: bool,
    pub stdout: String,
    pub stderr: String,
    /// From the third line of the death before, or the end of a process that was
    /// ended otherwise, to its `READY=1`, without the pause between.
    pub to_armed: Option<(Duration, bool)>,
    /// The most that it ever had of what is [`COUNTED`].
    pub counts: [usize; 3],
}

/// Files that are open while a birth or an end is written: the lock, the two of the history
/// that are read, and the one that is appended to. With a long history they are open
/// longer, so that the count catches them more often.
const HISTORY_FILES: f64 = 4.0;

/// What is counted of a process, and by how much the last lives may have more of it
/// than the first: a process has some 20 MB, and its peak differs by some pages from
/// life to life.
pub const COUNTED: [(&str, f64); 3] = [
    ("descriptors of a life", HISTORY_FILES),
    ("threads of a life", 0.0),
    ("greatest memory of a life, kB", 512.0),
];

/// The supervisor.
pub struct Supervisor {
    socket: UnixDatagram,
    restart: Duration,
    after_fault: Duration,
    watchdog: Duration,
    start: Duration,
    success: Vec<i32>,
    pause: Duration,
    /// When the process before ended or panicked, and whether it panicked.
    before: Option<(Instant, bool)>,
    /// Processes that systemd would count as failed.
    pub failures: usize,
}

impl Supervisor {
    /// A supervisor that listens in `folder`. `watchdog`: in place of the unit's; the
    /// limit of the start too.
    pub fn of_the_unit(folder: &Path, watchdog: Option<Duration>) -> Self {
        assert_eq!((setting("Type"), setting("Restart")), ("notify", "always"));
        assert_eq!(setting("StartLimitIntervalSec"), "0", "it never gives up");
        assert_eq!((setting("TimeoutStartSec"), setting("WatchdogSignal")), ("10min", "SIGKILL"));
        assert!(setting("ExecStopPost").contains("sleep 4"), "the pause after a fault");
        let socket = UnixDatagram::bind(folder.join("notify")).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        let success = setting("SuccessExitStatus").split(' ').map(|code| code.parse().expect("a status"));
        Self {
            socket,
            restart: seconds("RestartSec") / FASTER,
            after_fault: Duration::from_secs(4) / FASTER,
            watchdog: watchdog.unwrap_or_else(|| seconds("WatchdogSec")),
            start: watchdog.unwrap_or(Duration::from_secs(600)),
            success: success.chain([0]).collect(),
            pause: Duration::ZERO,
            before: None,
            failures: 0,
        }
    }

    /// Starts the process after the unit's pause, and attends to it until it ends.
    /// `folder` is its state folder.
    pub fn live(&mut self, mut command: Command, folder: &Path, scene: &Scene<'_>) -> Lived {
        thread::sleep(self.pause);
        let notify = self.socket.local_addr().expect("a socket");
        command.env("NOTIFY_SOCKET", notify.as_pathname().expect("a path"));
        command.env("WATCHDOG_USEC", self.watchdog.as_micros().to_string());
        let mut kept = None;
        match scene.stdout {
            Stdout::Read | Stdout::Closed => command.stdout(Stdio::piped()),
            Stdout::Full => {
                command.stdout(File::options().write(true).open("/dev/full").expect("Linux has it"))
            }
            Stdout::Unread => {
                let (reader, writer) = full_pipe();
                kept = Some(reader);
                command.stdout(writer)
            }
        };
        let watch = scene.blow.filter(|blow| blow.stage == Stage::StateWrite).map(|_| watch(folder));
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(command);
        if scene.stdout == Stdout::Closed {
            drop(child.stdout.take());
        }
        let mut process = Process {
            started: Instant::now(),
            stdout: Pipe::new(child.stdout.take().map(OwnedFd::from)),
            stderr: Pipe::new(child.stderr.take().map(OwnedFd::from)),
            child,
            watch,
            writes: 0,
            loading: None,
            ready: None,
            fed: Instant::now(),
            extended: Duration::ZERO,
            panicked: None,
            dying: None,
            struck: false,
            midway: false,
            hung: false,
            census: None,
            counts: [0; 3],
        };
        let status = loop {
            process.wait(&self.socket);
            process.listen(&self.socket);
            process.strike(scene);
            process.guard(self.watchdog, self.start);
            if let Some(status) = process.child.try_wait().expect("a child") {
                break status;
            }
            assert!(process.started.elapsed() < LIMIT, "it never ends: {}", process.stderr.text());
        };
        drop(kept);
        let pause = self.pause;
        let ended = process.ended(status);
        let is_success = matches!(ended, Ended::With(code) if self.success.contains(&code));
        self.pause = self.restart + if is_success { Duration::ZERO } else { self.after_fault };
        self.failures += usize::from(!is_success);
        process.listen(&self.socket);
        let end = Instant::now();
        let to_armed = self.before.zip(process.ready).map(|((before, died), ready)| {
            (ready.saturating_duration_since(before).saturating_sub(pause), died)
        });
        self.before = Some(process.panicked.map_or((end, false), |at| (at, true)));
        Lived {
            ended,
            struck: process.struck,
            to_armed,
            counts: process.counts,
            stdout: process.stdout.rest(),
            stderr: process.stderr.rest(),
        }
    }
}

struct Process {
    child: Child,
    started: Instant,
    stdout: Pipe,
    stderr: Pipe,
    watch: Option<Inotify>,
    /// Writes to the state folder so far.
    writes: usize,
    /// When the prompt made its first progress, and so on.
    loading: Option<Instant>,
    ready: Option<Instant>,
    fed: Instant,
    /// The time that the start has asked for, since the start.
    extended: Duration,
    dying: Option<Instant>,
    panicked: Option<Instant>,
    struck: bool,
    midway: bool,
    hung: bool,
    census: Option<Instant>,
    counts: [usize; 3],
}

impl Process {
    /// Waits until there is something to hear, at most a [`GLANCE`].
    fn wait(&self, socket: &UnixDatagram) {
        let mut all = vec![PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let pipes = [&self.stdout, &self.stderr].into_iter().filter_map(|pipe| pipe.end.as_ref());
        all.extend(pipes.map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN)));
        all.extend(self.watch.as_ref().map(|watch| PollFd::new(watch.as_fd(), PollFlags::POLLIN)));
        let _ = poll(&mut all, PollTimeout::try_from(GLANCE).expect("it is short"));
    }

    fn listen(&mut self, socket: &UnixDatagram) {
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            let now = Instant::now();
            for message in String::from_utf8_lossy(&buffer[..length]).lines() {
                match message.split_once('=') {
                    Some(("READY", _)) => {
                        self.ready.get_or_insert(now);
                        self.fed = now;
                    }
                    Some(("WATCHDOG", _)) => self.fed = now,
                    Some(("EXTEND_TIMEOUT_USEC", _)) => {
                        self.loading.get_or_insert(now);
                        // The unit's ten minutes; under a shorter limit as much again.
                        self.extended = self.started.elapsed();
                    }
                    _ => {}
                }
            }
        }
        self.stdout.read();
        self.stderr.read();
        let text = self.stderr.text();
        let now = || Some(Instant::now());
        if self.dying.is_none() && text.contains("WARNING: Context") {
            self.dying = now();
        }
        if self.panicked.is_none() && text.contains("panicked at 'Context overflow") {
            self.panicked = now();
        }
        if let Some(watch) = &self.watch {
            let events = watch.read_events().unwrap_or_default();
            let is_lock = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".lock");
            self.writes +=
                events.iter().filter(|event| event.name.as_deref().is_none_or(|name| !is_lock(name))).count();
        }
        if self.census.is_none_or(|last| last.elapsed() >= CENSUS) {
            self.census = now();
            self.count();
        }
    }

    fn count(&mut self) {
        let process = format!("/proc/{}", self.child.id());
        let descriptors = fs::read_dir(format!("{process}/fd")).map_or(0, |fds| fds.count());
        let status = fs::read_to_string(format!("{process}/status")).unwrap_or_default();
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<usize>().ok()
        };
        let now = [descriptors, value("Threads").unwrap_or(0), value("VmHWM").unwrap_or(0)];
        self.counts.iter_mut().zip(now).for_each(|(most, now)| *most = now.max(*most));
    }

    fn strike(&mut self, scene: &Scene<'_>) {
        let printed = scene.printer.map_or(0, FakePrinter::count);
        if let Some((at, act)) = scene.midway
            && !self.midway
            && printed >= at
        {
            self.midway = true;
            act();
        }
        let Some(blow) = scene.blow.filter(|_| !self.struck) else { return };
        let since = match blow.stage {
            Stage::Load => Some(self.started),
            Stage::Prefill => self.loading,
            Stage::Life | Stage::Paper => (printed >= blow.at).then(Instant::now),
            Stage::Death => self.dying,
            Stage::StateWrite => (self.writes >= blow.at).then(Instant::now),
        };
        // The next glance may be too late.
        let Some(since) = since else { return };
        let left = blow.after.saturating_sub(since.elapsed());
        if left > GLANCE && blow.stage != Stage::StateWrite {
            return;
        }
        let until = Instant::now() + left;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        self.struck = true;
        self.send(blow.signal);
    }

    /// Kills the process if it has made no progress for as long as it may.
    fn guard(&mut self, watchdog: Duration, start: Duration) {
        let is_late = match self.ready {
            Some(_) => self.fed.elapsed() > watchdog,
            None => self.started.elapsed() > self.extended + start,
        };
        if is_late && !self.hung {
            self.hung = true;
            self.send(Signal::SIGKILL);
        }
    }

    fn send(&self, signal: Signal) {
        // It may have ended by itself; it is not waited for yet, so that its number is
        // not another's.
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }

    fn ended(&self, status: ExitStatus) -> Ended {
        match (status.code(), status.signal()) {
            (Some(code), _) => Ended::With(code),
            (None, Some(libc::SIGKILL)) if self.hung => Ended::AsHung,
            (None, signal) => Ended::By(signal.expect("a signal")),
        }
    }
}

/// The read end of a pipe, and what came.
struct Pipe {
    end: Option<File>,
    bytes: Vec<u8>,
}

impl Pipe {
    fn new(end: Option<OwnedFd>) -> Self {
        let end = end.map(|end| {
            fcntl(&end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a descriptor");
            File::from(end)
        });
        Self { end, bytes: Vec::new() }
    }

    fn read(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(end) = &mut self.end {
            match end.read(&mut buffer) {
                Ok(0) => self.end = None,
                Ok(length) => self.bytes.extend(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn rest(mut self) -> String {
        self.read();
        self.text()
    }
}

/// A pipe that holds no more: its reader, which reads nothing, and its writer.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe().expect("a pipe");
    for end in [&reader, &writer] {
        fcntl(end, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).expect("a descriptor");
    }
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).expect("a pipe can be made smaller");
    let mut file = File::from(writer.try_clone().expect("a descriptor"));
    let room = fcntl(&writer, FcntlArg::F_GETPIPE_SZ).expect("a pipe") as usize;
    // A few bytes are left, so that a first token is taken.
    file.write_all(&vec![b' '; room - 100]).expect("room");
    (reader, writer)
}

/// Watches the writes to the state folder.
fn watch(folder: &Path) -> Inotify {
    let watch = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).expect("inotify");
    use AddWatchFlags as Flags;
    let flags = Flags::IN_CREATE | Flags::IN_MODIFY | Flags::IN_CLOSE_WRITE | Flags::IN_MOVED_TO;
    if !folder.exists() {
        fs::create_dir(folder).expect("a folder");
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("a mode");
    }
    watch.add_watch(folder, flags).expect("a folder");
    watch
}
