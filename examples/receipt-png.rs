//! Runs one life on a simulated printer and draws its receipt into a PNG file.
//! `script/receipt-png` runs it.
//!
//! `receipt-png FILE ARGS…`: the arguments are passed to torment-nexus. Unless one
//! begins with `--printer-`, baud rate and line time are set so that the life does not
//! wait for the printer.

#[path = "../tests/it/support/fake_printer.rs"]
#[allow(dead_code)]
mod fake_printer;
#[path = "../tests/it/support/receipt_reader.rs"]
#[allow(dead_code)]
mod receipt_reader;

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use fake_printer::{Behaviour, FakePrinter};
use receipt_reader::Paper;

/// Baud rate, line time and input buffer of the default printer, to count the
/// bytes that would have overflowed its buffer.
const BAUD: u32 = 9600;
const LINE: Duration = Duration::from_micros(728_400);
const BUFFER: usize = 40;

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

    let folder = tempfile::tempdir()?;
    let device = folder.path().join("printer");
    // Cargo puts the program into the folder above that of the examples.
    let program = env::current_exe()?.ancestors().nth(2).ok_or("no folder")?.join("torment-nexus");
    let printer = FakePrinter::at(&device, Behaviour::Silent);
    let mut life = Command::new(&program);
    life.args(&args).arg("--printer").arg(&device).stdout(Stdio::null());
    if env::var_os("TORMENT_STATE_DIR").is_none() {
        life.arg("--state-dir").arg(folder.path());
    }
    if fast {
        life.args(["--printer-baud", "4000000", "--printer-line-ms", "1"]);
    }
    let status = life.status()?;
    let received = printer.stop();
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
