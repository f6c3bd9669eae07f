//! A signal ends a life within one step of whatever it does, and a second one
//! at once.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;

use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;
use installation::life::progress::Progress;
use model_file::name::{ModelFile, ModelName};
use torment_nexus::mind::model::Model;

use super::{ended, signal, sleeps, start, wait_until};
use crate::support::nexus::{LIMIT, Nexus};

/// The size of a pipe, in bytes, that holds less than ember's life: if nobody
/// reads it, the program is still alive when its signal comes.
const SMALL_PIPE: i32 = 4096;

/// Starts a life whose stdout is a pipe too small for all of it. Returns the
/// child, its stdout, a channel that says whether its first signal was
/// confirmed, and a thread that returns the lines of stderr after that.
fn speaking(nexus: &Nexus) -> (Child, ChildStdout, mpsc::Receiver<bool>, JoinHandle<Vec<String>>) {
    let mut child = start(nexus.command(["--model", "ember", "--verbose"]), Stdio::piped());
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
        let (child, mut stdout, confirmed, log) = speaking(&nexus);
        stdout.read_exact(&mut [0]).expect("the life has begun");
        signal(&child, number);
        assert_eq!(confirmed.recv_timeout(LIMIT), Ok(true), "{number} is not noticed");
        let mut thought = String::new();
        stdout.read_to_string(&mut thought).expect("valid UTF-8");
        assert_eq!(ended(child).0, Some(130), "{number}");
        assert!(thought.ends_with('\n'), "{thought}");
        let log = log.join().expect("a log");
        let [place] = log.as_slice() else { panic!("one line follows: {log:?}") };
        assert!(place.starts_with("interrupted at ") && place.ends_with(" of 1945 tokens"), "{place}");
    }
}

#[test]
fn a_second_signal_ends_at_once_where_nothing_notices_the_first() {
    let nexus = Nexus::new();
    let (mut child, mut stdout, confirmed, _log) = speaking(&nexus);
    stdout.read_exact(&mut [0]).expect("the life has begun");
    wait_until("sleep", || sleeps(&child));
    signal(&child, Signal::SIGTERM);
    assert_eq!(confirmed.recv_timeout(LIMIT), Ok(true));
    // The pipe is full and nobody reads it: the program waits in a write.
    assert!(child.try_wait().expect("a child").is_none(), "one signal waits for the step to end");
    signal(&child, Signal::SIGTERM);
    assert_eq!(ended(child).0, Some(130));
}

#[test]
fn a_signal_cancels_the_load_of_the_model() {
    let (raise, interrupt) = Interrupt::new();
    let file = ModelFile::find(&ModelName::Ember, "models".as_ref(), &interrupt).expect("ember");
    drop(raise);
    let ended = Model::load(&file, false, &Progress::default(), &interrupt);
    let Err(Ending::Interrupted(place)) = ended else { panic!("no interrupt") };
    assert_eq!(place, "while loading the model");
}
