//! Runs one life on a simulated printer and draws its receipt into a PNG file.
//! `script/receipt-png` runs it.
//!
//! `receipt-png FILE ARGS…`: the arguments are passed to torment-nexus. Unless one
//! begins with `--printer-`, baud rate and line time are set so that the life does not
//! wait for the printer, and it is lived twice: the second time on a virtual clock
//! (libfaketime), by which it is as slow as on the board.

#[path = "../tests/it/support/fake_printer.rs"]
#[allow(dead_code)]
mod fake_printer;
#[path = "../tests/it/support/receipt_reader.rs"]
#[allow(dead_code)]
mod receipt_reader;

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use fake_printer::{Behaviour, FakePrinter};
use receipt_reader::Paper;

/// Baud rate, line time and input buffer of the default printer, to count the
/// bytes that would have overflowed its buffer.
const BAUD: u32 = 9600;
const LINE: Duration = Duration::from_micros(728_400);
const BUFFER: usize = 40;

/// Tokens a second of the default model on the board, as estimated: nobody has measured
/// it there yet.
const BOARD_RATE: f64 = 10.0;

/// Where Debian's faketime has its library, by the triple of the machine.
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";

const USAGE: &str = "\
script/receipt-png [FILE [ARGS OF TORMENT-NEXUS]]

Runs one life of ember on a simulated printer, prints its receipt as text, and draws it
into FILE (receipt.png), one pixel for each dot of the printer.

ARGS replace --temp 0.8, as --temp 0.8 --seed 1 --context-size 330.";

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1).peekable();
    if args.peek().is_none_or(|arg| arg == "--help" || arg == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    let file = PathBuf::from(args.next().ok_or(USAGE)?);
    if file.to_string_lossy().starts_with('-') {
        return Err(format!("{file:?} is no file name; --help explains").into());
    }
    let args: Vec<_> = args.collect();
    let fast = !args.iter().any(|arg| arg.to_string_lossy().starts_with("--printer-"));

    let mut life = live(&args, fast, None)?;
    if fast && let (Some(rate), Some(library)) = (rate_of(&life.paper), faketime()) {
        let clock = format!("+0 x{:.3}", rate / BOARD_RATE);
        life = live(&args, fast, Some((&library, &clock)))?;
    }
    let Lived { paper, status, bytes, overruns } = life;
    for line in paper.lines() {
        println!("{line}");
    }
    paper.write_png(&file)?;
    println!("{status}; {bytes} bytes, {} lines, {:.0} mm of paper", paper.lines().len(), paper.mm());
    if !fast {
        println!("overruns of {BUFFER} bytes at {BAUD} baud: {overruns}");
    }
    Ok(())
}

/// A life that was printed.
struct Lived {
    paper: Paper,
    status: ExitStatus,
    bytes: usize,
    overruns: usize,
}

/// Lives a life, on a `clock` if one is given: a library, and how it runs.
fn live(args: &[OsString], fast: bool, clock: Option<(&Path, &str)>) -> Result<Lived, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let device = folder.path().join("printer");
    // Cargo puts the program into the folder above that of the examples.
    let program = env::current_exe()?.ancestors().nth(2).ok_or("no folder")?.join("torment-nexus");
    let printer = FakePrinter::at(&device, Behaviour::Silent);
    let mut life = Command::new(&program);
    life.args(args).arg("--printer").arg(&device).stdout(Stdio::null());
    if env::var_os("TORMENT_STATE_DIR").is_none() {
        life.arg("--state-dir").arg(folder.path());
    }
    if fast {
        life.args(["--printer-baud", "4000000", "--printer-line-ms", "1"]);
    }
    if let Some((library, runs)) = clock {
        life.env("LD_PRELOAD", library).env("FAKETIME", runs);
    }
    let status = life.status()?;
    let received = printer.stop();
    let bytes = received.bytes();
    let overruns = received.overruns(BAUD, LINE, BUFFER);
    Ok(Lived { paper: Paper::read(&bytes)?, status, bytes: bytes.len(), overruns })
}

/// The tokens a second that a receipt tells of.
fn rate_of(paper: &Paper) -> Option<f64> {
    let lines = paper.lines();
    let row = lines.iter().rev().find(|line| line.trim_start().starts_with("tokens/s"))?;
    row.split_whitespace().last()?.parse().ok()
}

/// The library that gives a program another clock, if it is installed.
fn faketime() -> Option<PathBuf> {
    let triple = format!("{}-linux-gnu", env::consts::ARCH);
    let library = Path::new("/usr/lib").join(triple).join(FAKETIME);
    library.exists().then_some(library)
}
