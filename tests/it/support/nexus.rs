//! Runs the program with a time limit, in a folder of its own; and changes
//! copies of ember's file.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command as StdCommand, Output};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;

/// The longest that any run may take. A life of ember takes some 2 s on a
/// development machine; this only turns a hang into a failure.
pub const LIMIT: Duration = Duration::from_secs(240);

/// The last three lines of a life.
pub const DEATH: &str = "WARNING: Context window exhausted!\n\
                         The torment nexus has consumed all available memory.\n\
                         thread 'main' panicked at 'Context overflow - terminating.'\n";

/// The number of tokens used at the end of a life of 2,048.
pub const USED: &str = "1945 of 2048 tokens used";

/// Has the command start with the default action for the signals that end a program: tests
/// that nohup or a script's `&` has started ignore some of them, and children inherit that.
pub fn with_default_signals(command: &mut StdCommand) {
    // SAFETY: between fork and exec only `signal` is called, which is allowed there.
    unsafe {
        command.pre_exec(|| {
            for ending in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
                libc::signal(ending, libc::SIG_DFL);
            }
            Ok(())
        });
    }
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Waits until `found` finds something, looking for it after each `pause`; `what` is missing
/// if it never does.
#[track_caller]
pub fn wait<T, S: Display>(
    what: impl Fn() -> S,
    limit: Duration,
    pause: Duration,
    mut found: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < limit, "there is never {}", what());
        thread::sleep(pause);
    }
}

/// Limits a resource of the command's process (the soft limit). With `RLIMIT_FSIZE`, the most bytes of a
/// file, it meets a full disk.
pub fn limit(command: &mut StdCommand, resource: Resource, most: u64) {
    // SAFETY: both calls may be made between fork and exec.
    unsafe {
        command.pre_exec(move || {
            let (_, hard) = getrlimit(resource)?;
            setrlimit(resource, most, hard).map_err(std::io::Error::from)
        });
    }
}

/// A folder to run in, with the files a test puts there.
pub struct Nexus {
    pub folder: TempDir,
}

impl Nexus {
    pub fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file in the temporary folder");
        path
    }

    /// A program of this folder, for a shell.
    pub fn script(&self, name: &str, script: &str) {
        let path = self.file(name, format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    /// The program in this folder, not yet started, for tests that need its
    /// process.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> StdCommand {
        let mut command = StdCommand::new(cargo_bin!("torment-nexus"));
        command.current_dir(self.folder.path()).args(args).env_remove("JOURNAL_STREAM");
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy().to_lowercase();
            if ["torment_", "hf_", "ssl_cert"].iter().any(|prefix| name.starts_with(prefix))
                || name.ends_with("_proxy")
            {
                command.env_remove(variable);
            }
        }
        // What is kept between lives stays in this folder.
        command.env_remove("STATE_DIRECTORY").env("XDG_STATE_HOME", self.folder.path());
        // llama.cpp's threads spin while they wait for each other: tests that
        // run side by side on few cores would wait most of the time.
        command.env("TORMENT_THREADS", "1");
        with_default_signals(&mut command);
        command
    }

    /// Runs the program to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ended {
        Ended::run(self.command(args))
    }

    /// Runs ember to its end.
    pub fn ember(&self, args: &[&str]) -> Ended {
        self.run(["--model", "ember"].iter().chain(args))
    }

    /// Runs ember to its end with one environment variable set.
    pub fn ember_with(&self, variable: &str, value: &str, args: &[&str]) -> Ended {
        let mut command = self.command(["--model", "ember"].iter().chain(args));
        command.env(variable, value);
        Ended::run(command)
    }
}

/// What a user sees of a finished run.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Runs a command to its end.
    pub fn run(command: StdCommand) -> Self {
        Self::of(Command::from_std(command).timeout(LIMIT).output())
    }

    pub fn of(output: std::io::Result<Output>) -> Self {
        let output = output.expect("the program starts");
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is valid UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is valid UTF-8"),
        }
    }

    /// Asserts that the run was a life: it ended with the three lines and exit
    /// status 101.
    #[track_caller]
    pub fn died(&self) -> &Self {
        assert_eq!(self.code, Some(101), "{}", self.stderr);
        assert!(self.stderr.ends_with(DEATH), "stderr does not end with the death: {}", self.stderr);
        self
    }

    /// The one line of an error.
    #[track_caller]
    pub fn error(&self) -> &str {
        assert_ne!(self.code, Some(0), "{}", self.stdout);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.stderr.strip_prefix("error: ").expect("an error").trim_end()
    }

    /// Asserts that the run ended with `code` and an empty stdout, and that
    /// stderr begins with `error:` and contains each of `parts`; for `code` 1
    /// it is one line.
    #[track_caller]
    pub fn failed(&self, code: i32, parts: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        if code == 1 {
            assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        }
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in {}", self.stderr);
        }
    }
}

/// Ember's file, for tests that break it.
pub fn ember_gguf() -> Vec<u8> {
    fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/models/ember/ember.gguf")).expect("ember is in the tree")
}

/// `bytes` with the only occurrence of `old` replaced by `new`, which is as
/// long, so that the offsets of a GGUF file stay right.
pub fn replace(mut bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len(), "a replacement keeps the length");
    let at: Vec<_> = (0..=bytes.len() - old.len()).filter(|&at| bytes[at..].starts_with(old)).collect();
    assert_eq!(at.len(), 1, "{:?} occurs {} times", String::from_utf8_lossy(old), at.len());
    bytes[at[0]..at[0] + old.len()].copy_from_slice(new);
    bytes
}

/// A GGUF key, the type tag of a u32 and its value, as in a file.
pub fn key_u32(key: &str, value: u32) -> Vec<u8> {
    const TYPE_U32: u32 = 4;
    [key.as_bytes(), &TYPE_U32.to_le_bytes(), &value.to_le_bytes()].concat()
}
