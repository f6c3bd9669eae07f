//! A signal ends a life within one step of whatever it does, and a second one
//! at once.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use torment_nexus::cli::Cli;
use torment_nexus::life::ending::Ending;
use torment_nexus::life::interrupt::Interrupt;
use torment_nexus::life::lifespan::Lifespan;
use torment_nexus::mind::computing::Computing;
use torment_nexus::mind::model::Model;
use torment_nexus::mind::session::Session;
use torment_nexus::model_file::name::{ModelFile, ModelName};

use crate::support::nexus::{LIMIT, Nexus};

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).expect("the program still runs");
}

/// The exit code of a child that must end by itself; it is killed when it
/// does not.
fn code_of(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status.code();
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("a child can be killed");
    panic!("the program does not end");
}

/// Waits until the program's main thread sleeps. With one computing thread, a
/// life that has begun sleeps only when it cannot write.
fn wait_until_asleep(child: &Child) {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("the program runs");
        // `pid (name) state …`
        if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("the program does not fall asleep");
}

fn rest_of(stderr: impl Read) -> String {
    let mut rest = String::new();
    BufReader::new(stderr).read_to_string(&mut rest).expect("valid UTF-8");
    rest
}

/// The size of a pipe, in bytes, that holds less than ember's life: if nobody
/// reads it, the program is still alive when its signal comes.
const SMALL_PIPE: i32 = 4096;

/// Starts a life whose stdout is a pipe too small for all of it. Returns the
/// child, its stdout, a channel that says whether its first signal was
/// confirmed, and a thread that returns the lines of stderr after that.
fn speaking(nexus: &Nexus) -> (Child, ChildStdout, mpsc::Receiver<bool>, JoinHandle<Vec<String>>) {
    let mut command = nexus.command(["--model", "ember", "--verbose"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let stdout = child.stdout.take().expect("a pipe");
    fcntl(&stdout, FcntlArg::F_SETPIPE_SZ(SMALL_PIPE)).expect("a pipe can be made smaller");
    let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let (confirm, confirmed) = mpsc::channel();
    let log = thread::spawn(move || {
        let mut lines = stderr.lines().map(|line| line.expect("valid UTF-8"));
        let confirmation = lines.find(|line| line.starts_with("signal received"));
        confirm.send(confirmation.is_some()).expect("the test waits");
        lines.collect()
    });
    (child, stdout, confirmed, log)
}

#[test]
fn each_signal_ends_a_life_with_130_and_says_how_far_it_got() {
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let nexus = Nexus::new();
        let (mut child, mut stdout, confirmed, log) = speaking(&nexus);
        stdout.read_exact(&mut [0]).expect("the life has begun");
        signal(&child, number);
        assert_eq!(confirmed.recv_timeout(LIMIT), Ok(true), "{number} is not noticed");
        let thought = rest_of(stdout);
        assert_eq!(code_of(&mut child), Some(130), "{number}");
        assert!(thought.ends_with('\n'), "{thought}");
        let log = log.join().expect("a log");
        let [place] = log.as_slice() else { panic!("one line follows: {log:?}") };
        assert!(place.starts_with("interrupted at ") && place.ends_with(" of 1945 tokens"), "{place}");
    }
}

#[test]
fn a_signal_ends_the_wait_for_a_prompt_that_never_comes() {
    let nexus = Nexus::new();
    mkfifo(&nexus.path("pipe"), Mode::S_IRWXU).expect("a named pipe");
    let mut command = nexus.command(["--model", "ember", "-p", "pipe"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    // Opening the pipe waits until the program has opened it for reading: by
    // then its signal handlers are in place.
    let _prompt = File::options().write(true).open(nexus.path("pipe")).expect("the pipe");
    signal(&child, Signal::SIGTERM);
    assert_eq!(code_of(&mut child), Some(130));
    let stderr = rest_of(child.stderr.take().expect("a pipe"));
    assert_eq!(stderr, "interrupted while reading the prompt file\n");
}

#[test]
fn a_second_signal_ends_at_once_where_nothing_notices_the_first() {
    let nexus = Nexus::new();
    let (mut child, mut stdout, confirmed, _log) = speaking(&nexus);
    stdout.read_exact(&mut [0]).expect("the life has begun");
    wait_until_asleep(&child);
    signal(&child, Signal::SIGTERM);
    assert_eq!(confirmed.recv_timeout(LIMIT), Ok(true));
    // The pipe is full and nobody reads it: the program waits in a write.
    assert!(child.try_wait().expect("a child").is_none(), "one signal waits for the step to end");
    signal(&child, Signal::SIGTERM);
    assert_eq!(code_of(&mut child), Some(130));
}

#[test]
fn a_signal_cancels_the_load_of_the_model() {
    let (raise, interrupt) = Interrupt::new();
    let file = ModelFile::find(&ModelName::Ember, "models".as_ref(), &interrupt).expect("ember");
    drop(raise);
    let ended = Model::load(&file, false, &interrupt);
    let Err(Ending::Interrupted(place)) = ended else { panic!("no interrupt") };
    assert_eq!(place, "while loading the model");
}

#[test]
fn a_signal_while_the_prompt_is_read_ends_before_the_next_batch() {
    let (raise, interrupt) = Interrupt::new();
    let file = ModelFile::find(&ModelName::Ember, "models".as_ref(), &interrupt).expect("ember");
    let model = Model::load(&file, false, &interrupt).expect("ember loads");
    let tokens = model.tokenize_prompt("You are here.", "").expect("tokens");
    let lifespan = Lifespan::new(300.try_into().expect("not 0"), tokens.len(), 2048).expect("room");
    let cli = <Cli as clap::Parser>::parse_from(["torment-nexus"]);
    let sampling = cli.sampling.with_seed().expect("greedy");
    let mut session = Session::open(&model, lifespan, Computing::new(1), &sampling).expect("a context");
    drop(raise);
    let ended = session.prefill(&tokens, None, &interrupt);
    let Err(Ending::Interrupted(place)) = ended else { panic!("no interrupt") };
    assert_eq!(place, format!("while reading the prompt, at 0 of {} tokens", tokens.len()));
}
