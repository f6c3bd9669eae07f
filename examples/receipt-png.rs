//! Runs one life on a simulated printer and draws its receipt into a PNG file.
//! `script/receipt-png` runs it.
//!
//! `receipt-png [--board] FILE ARGS…`: the arguments are passed to torment-nexus.
//! Unless one begins with `--printer-`, baud rate and line time are set so that the
//! life does not wait for the printer.
//!
//! With `--board` the life is lived as slowly as on the board, so that the seconds and
//! the tokens/s on the receipt are such as a board prints: the program is stopped and
//! continued (SIGSTOP, SIGCONT) so that it gets only a part of this machine's
//! processor, and the printer has its own pace. What the program measures and prints
//! is not touched.

#[path = "../tests/it/support/fake_printer.rs"]
#[allow(dead_code)]
mod fake_printer;
#[path = "../tests/it/support/receipt_reader.rs"]
#[allow(dead_code)]
mod receipt_reader;

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fake_printer::{Behaviour, FakePrinter};
use receipt_reader::Paper;

/// Baud rate, line time and input buffer of the default printer, to count the
/// bytes that would have overflowed its buffer.
const BAUD: u32 = 9600;
const LINE: Duration = Duration::from_micros(728_400);
const BUFFER: usize = 40;

/// Tokens/s with `--board`: the default model's on a Zero 2 W. Others measured 9 to 11
/// with llama.cpp (repository ravijo/pi-llm). *This program's speed is not measured on a
/// board.*
const BOARD_RATE: f64 = 10.0;
/// How near the rate must come to that, as a share of it, and in how many lives: the
/// first finds out how fast this machine is.
const NEAR: f64 = 0.02;
const TRIES: usize = 5;
/// Pause between two looks at the processor time that the life has used.
const LOOK: Duration = Duration::from_millis(2);

const USAGE: &str = "\
script/receipt-png [--board] [FILE [ARGS OF TORMENT-NEXUS]]

Runs one life of ember on a simulated printer, prints its receipt as text, and draws it
into FILE (receipt.png), one pixel for each dot of the printer.

ARGS replace --temp 0.8, as --temp 0.8 --seed 1 --context-size 330.
--board   live as slowly as on the board, at 10 tokens/s, so that seconds and tokens/s
          are such as a board prints; the same life is lived up to five times";

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1).peekable();
    if args.peek().is_none_or(|arg| arg == "--help" || arg == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    let board = args.next_if(|arg| arg == "--board").is_some();
    let file = PathBuf::from(args.next().ok_or(USAGE)?);
    if file.to_string_lossy().starts_with('-') {
        return Err(format!("{file:?} is no file name; --help explains").into());
    }
    let args: Vec<_> = args.collect();
    let fast = !board && !args.iter().any(|arg| arg.to_string_lossy().starts_with("--printer-"));

    let folder = tempfile::tempdir()?;
    let device = folder.path().join("printer");
    // Cargo puts the program into the folder above that of the examples.
    let program = env::current_exe()?.ancestors().nth(2).ok_or("no folder")?.join("torment-nexus");
    let live = |number: usize, share: f64| -> Result<_, Box<dyn Error>> {
        let printer = FakePrinter::at(&device, Behaviour::Silent);
        let mut life = Command::new(&program);
        life.args(&args).arg("--printer").arg(&device).stdout(Stdio::null());
        if env::var_os("TORMENT_STATE_DIR").is_none() {
            // Each is the first life of its box.
            life.arg("--state-dir").arg(folder.path().join(number.to_string()));
        }
        if fast {
            life.args(["--printer-baud", "4000000", "--printer-line-ms", "1"]);
        }
        let status = slowed(life.spawn()?, share)?;
        Ok((status, printer.stop()))
    };
    let mut share = 1.0;
    let (mut status, mut received) = live(0, share)?;
    for number in 1..TRIES {
        let rate = if board { rate(&Paper::read(&received.bytes())?)? } else { BOARD_RATE };
        if (rate / BOARD_RATE - 1.0).abs() <= NEAR {
            break;
        }
        share *= BOARD_RATE / rate;
        (status, received) = live(number, share)?;
    }
    let bytes = received.bytes();
    let paper = Paper::read(&bytes)?;
    for line in paper.lines() {
        println!("{line}");
    }
    paper.write_png(&file)?;
    println!("{status}; {} bytes, {} lines, {:.0} mm of paper", bytes.len(), paper.lines().len(), paper.mm());
    if !fast {
        println!("overruns of {BUFFER} bytes at {BAUD} baud: {}", received.overruns(BAUD, LINE, BUFFER));
    }
    Ok(())
}

/// The tokens/s that a receipt says.
fn rate(paper: &Paper) -> Result<f64, Box<dyn Error>> {
    let lines = paper.lines();
    let value = lines.iter().find_map(|line| line.strip_prefix("tokens/s"));
    Ok(value.ok_or("the receipt has no line that begins with tokens/s")?.trim().parse()?)
}

/// Waits for the end of `life`, which gets at most this `share` of a processor.
fn slowed(mut life: Child, share: f64) -> Result<ExitStatus, Box<dyn Error>> {
    if share >= 1.0 {
        return Ok(life.wait()?);
    }
    let id = libc::pid_t::try_from(life.id())?;
    let begun = Instant::now();
    loop {
        if let Some(status) = life.try_wait()? {
            return Ok(status);
        }
        let signal = if used(id) > begun.elapsed().mul_f64(share) { libc::SIGSTOP } else { libc::SIGCONT };
        // SAFETY: the child is not waited for yet, so that the number is still its own.
        unsafe { libc::kill(id, signal) };
        thread::sleep(LOOK);
    }
}

/// The processor time that a process has used.
fn used(id: libc::pid_t) -> Duration {
    // SAFETY: a `timespec` of zeros is valid, and both calls only write what they are
    // given.
    let time = unsafe {
        let (mut clock, mut time) = (0, std::mem::zeroed::<libc::timespec>());
        if libc::clock_getcpuclockid(id, &raw mut clock) != 0 {
            return Duration::ZERO;
        }
        libc::clock_gettime(clock, &raw mut time);
        time
    };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
