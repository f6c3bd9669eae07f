//! What happens to a life from outside: its stdout, its signals, its model's
//! file, its threads.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::pipe;

use super::{ended, signal, sleeps, start, wait_until};
use crate::support::fake_printer::{Behaviour, FAST, FakePrinter, SLOW};
use crate::support::gguf_file::Gguf;
use crate::support::nexus::{DEATH, Nexus, ember_gguf};
use crate::support::receipt_reader::Paper;

/// A pipe of this many bytes, one page, holds less than a life of ember.
const SMALL_PIPE: i32 = 4096;

/// A pipe whose reader reads nothing: the reader, and what to write to.
fn unread_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe().expect("a pipe");
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(SMALL_PIPE)).expect("a pipe can be made smaller");
    (reader, writer)
}

/// Whether the pipe takes no more: there is no room for the longest token.
fn is_full(reader: &OwnedFd) -> bool {
    let mut unread = 0;
    // SAFETY: the call writes an int.
    unsafe { libc::ioctl(reader.as_raw_fd(), libc::FIONREAD, &mut unread) };
    unread > SMALL_PIPE - 64
}

/// Starts a life of ember that has much to say on a stderr that is full: its reader, and
/// the life.
fn start_with_full_stderr(nexus: &Nexus, more: &[&str]) -> (File, Child) {
    let (reader, writer) = unread_pipe();
    let mut writer = File::from(writer);
    writer.write_all(&[b'\n'; SMALL_PIPE as usize]).expect("it takes so many");
    let mut command = nexus.command([&["--model", "ember", "-vv"], more].concat());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer);
    (reader.into(), command.spawn().expect("it starts"))
}

/// The program with these arguments, started by a shell that executes `script`
/// first.
fn by_shell(nexus: &Nexus, script: &str, args: &[&str]) -> Command {
    let program = nexus.command(args);
    let mut shell = Command::new("sh");
    shell.current_dir(nexus.folder.path()).args(["-c", &format!("{script} exec \"$0\" \"$@\"")]);
    shell.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Asserts that a receipt has its last line.
fn assert_whole(printed: &[u8]) {
    let lines = Paper::read(printed).expect("a receipt").lines();
    assert!(lines.last().is_some_and(|line| line.contains('■')), "the receipt is not whole: {lines:#?}");
}

#[test]
fn a_stdout_that_nobody_reads_does_not_keep_a_signal_from_ending_the_life() {
    let nexus = Nexus::new();
    let (reader, writer) = unread_pipe();
    let child = start(nexus.command(["--model", "ember"]), writer);
    wait_until("a full pipe", || is_full(&reader) && sleeps(&child));
    signal(&child, Signal::SIGTERM);
    let (code, stderr) = ended(child);
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.starts_with("interrupted at ") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn with_a_printer_a_stdout_that_nobody_reads_does_not_hold_the_life_back() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let (_reader, writer) = unread_pipe();
    let (code, stderr) = ended(start(nexus.command([&["--model", "ember"], &FAST[..]].concat()), writer));
    assert_eq!(code, Some(101), "{stderr}");
    let warning = stderr.strip_suffix(DEATH).expect("the death comes last");
    assert!(warning.starts_with("warning: nobody reads") && warning.lines().count() == 1, "{warning}");
    assert_whole(&printer.stop().bytes());
}

#[test]
fn a_stderr_that_nobody_reads_does_not_hold_the_life_back() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let (_reader, child) = start_with_full_stderr(&nexus, &FAST);
    assert_eq!(ended(child).0, Some(101));
    assert_whole(&printer.stop().bytes());
    // Nor a fault, nor wrong usage.
    for (args, code) in [(["-c", "1"], 1), (["-c", "none"], 2)] {
        let (_reader, child) = start_with_full_stderr(&nexus, &args);
        assert_eq!(ended(child).0, Some(code), "{args:?}");
    }
}

#[test]
fn a_stderr_that_is_read_again_says_how_much_was_lost_and_then_the_death() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let (mut reader, child) = start_with_full_stderr(&nexus, &SLOW);
    printer.wait_for(500);
    let reading = thread::spawn(move || {
        let mut said = String::new();
        reader.read_to_string(&mut said).map(|_| said)
    });
    assert_eq!(ended(child).0, Some(101));
    let said = reading.join().expect("it ends").expect("UTF-8");
    let lines: Vec<_> = said.trim_start().lines().collect();
    let lost = lines[1].strip_prefix("warning: lines lost here, as nobody read stderr: ").expect(lines[1]);
    assert!(lost.parse::<u32>().expect("a number") > 10, "{said}");
    assert!(said.contains(&format!("\n{DEATH}")), "{said}");
}

#[test]
fn a_life_without_a_stdout_or_a_stdin_is_lived_to_its_death() {
    let nexus = Nexus::new();
    let shell = by_shell(&nexus, "exec <&- >&-;", &["--model", "ember", "-c", "400"]);
    assert_eq!(ended(start(shell, Stdio::null())), (Some(101), DEATH.to_owned()));
}

#[test]
fn a_signal_that_nohup_has_ignored_stays_ignored() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let args = [&["--model", "ember", "-c", "600"], &SLOW[..]].concat();
    let child = start(by_shell(&nexus, "trap '' HUP;", &args), Stdio::null());
    printer.wait_for(500);
    signal(&child, Signal::SIGHUP);
    assert_eq!(ended(child), (Some(101), DEATH.to_owned()));
}

#[test]
fn a_model_that_is_cut_short_during_a_life_is_a_fault() {
    let nexus = Nexus::new();
    let file = nexus.file("mind.gguf", ember_gguf());
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let child = start(nexus.command([&["--model", "mind.gguf"], &SLOW[..]].concat()), Stdio::null());
    printer.wait_for(500);
    File::options().write(true).open(file).and_then(|file| file.set_len(4096)).expect("it is cut short");
    let (code, stderr) = ended(child);
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in ["error: model \"mind.gguf\"", "cut short", "SD card"] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
}

#[test]
fn damaged_weights_of_the_attention_are_a_fault_and_not_a_life() {
    for tensor in ["blk.0.attn_k.weight", "blk.0.attn_q.weight", "blk.0.attn_norm.weight"] {
        let nexus = Nexus::new();
        let mut gguf = Gguf::ember();
        let at = gguf.tensors.iter().position(|other| other.name == tensor.as_bytes()).expect("a tensor");
        let end = gguf.tensors.get(at + 1).map_or(gguf.data.len(), |next| next.offset as usize);
        // All bits set are NaN in each format of numbers and of scales.
        let start = gguf.tensors[at].offset as usize;
        gguf.data[start..end].fill(0xFF);
        nexus.file("damaged.gguf", gguf.bytes());
        let ended = nexus.run(["--model", "damaged.gguf", "-c", "400"]);
        assert_eq!((ended.code, ended.stdout.trim()), (Some(1), ""), "{tensor}: {}", ended.stderr);
        let line = ended.stderr.as_str();
        assert!(
            line.starts_with("error: model \"damaged.gguf\"") && line.contains("weights are damaged"),
            "{line}"
        );
    }
}

#[test]
fn a_number_of_threads_that_cannot_be_started_is_a_fault() {
    let nexus = Nexus::new();
    // Stacks of 1 GB, in an address space of 3 GB.
    let limits = "ulimit -s 1000000; ulimit -v 3000000;";
    let shell = by_shell(&nexus, limits, &["--model", "ember", "-c", "400", "--threads", "8"]);
    let (code, stderr) = ended(start(shell, Stdio::null()));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.starts_with("error: cannot start 8 threads") && stderr.contains("--threads"), "{stderr}");
}

#[test]
fn a_signal_while_the_death_is_printed_leaves_the_receipt_whole() {
    // A short life, since every line of the second one takes 0.6 s.
    let nexus = Nexus::new();
    nexus.file("mind.gguf", ember_gguf());
    nexus.file("prompt.txt", "You are here.");
    let print = |line_millis: &str, interrupted: Option<usize>| {
        let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
        let options = ["--model", "mind.gguf", "-c", "80", "--printer", "printer"];
        let pace = ["--printer-baud", "115200", "--printer-line-ms", line_millis];
        let child = start(nexus.command([&options[..], &pace].concat()), Stdio::null());
        if let Some(bytes) = interrupted {
            printer.wait_for(bytes);
            signal(&child, Signal::SIGTERM);
        }
        (ended(child), printer.stop().bytes())
    };
    let (whole, bytes) = print("1", None);
    assert_eq!(whole, (Some(101), DEATH.to_owned()));
    // In the middle of the three lines of the death, after which the numbers of
    // the life are printed: more lines than the 6 s of a signal before the death
    // would allow.
    let death = b"WARNING";
    let at = bytes.windows(death.len()).position(|window| window == death).expect("the death is printed");
    let (interrupted, printed) = print("600", Some(at));
    assert_eq!(interrupted, (Some(101), DEATH.to_owned()));
    assert_whole(&printed);
}

#[test]
fn a_second_program_is_refused_while_the_first_one_prints() {
    let nexus = Nexus::new();
    let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
    let first = start(nexus.command([&["--model", "ember", "-c", "600"], &SLOW[..]].concat()), Stdio::null());
    printer.wait_for(200);
    let second = nexus.ember(&SLOW);
    second.failed(1, &["printer \"printer\"", "another program prints on it", "end that first"]);
    assert_eq!(ended(first), (Some(101), DEATH.to_owned()));
    let titles = Paper::read(&printer.stop().bytes()).expect("a receipt").titles();
    assert_eq!(titles.len(), 1, "two receipts are printed: {titles:?}");
}
