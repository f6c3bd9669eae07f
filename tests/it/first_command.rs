//! What `script/demo` and `script/test` say on a machine where they cannot work.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::nexus::{Ended, Nexus};

/// The flags of an Intel Core of 2011, which has AVX and not AVX2.
const OLD: &str = "flags\t\t: fpu sse sse2 ssse3 cx16 sse4_1 sse4_2 popcnt aes xsave avx\n";
/// Those that x86-64-v3 adds, as Linux names them.
const V3: &str = "flags\t\t: fpu sse4_2 avx f16c fma movbe abm bmi1 avx2 bmi2\n";

/// Sources `script/setup` and runs `command`.
fn after_setup(command: &str, change: impl FnOnce(&mut Command)) -> Ended {
    let mut shell = Command::new("/bin/sh");
    shell.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("RUSTFLAGS");
    shell.args(["-c", &format!(". script/setup; {command}; echo goes on"), "script/demo"]);
    change(&mut shell);
    Ended::of(shell.output())
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_processor_without_avx2_is_told_the_command_that_builds_for_it() {
    let nexus = Nexus::new();
    let old = nexus.file("old", OLD);
    let check = format!("processor_fits {}", old.display());
    let told = after_setup(&check, |_| ());
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""), "{}", told.stderr);
    assert!(told.stderr.contains("this processor has no avx2"), "{}", told.stderr);
    assert!(told.stderr.ends_with("RUSTFLAGS='-C target-cpu=native' script/demo\n"), "{}", told.stderr);
    // With that command, and on a processor that fits, the build begins.
    let chosen = after_setup(&check, |shell| {
        shell.env("RUSTFLAGS", "-C target-cpu=native");
    });
    let fits = after_setup(&format!("processor_fits {}", nexus.file("v3", V3).display()), |_| ());
    assert_eq!((chosen.stdout.as_str(), fits.stdout.as_str()), ("goes on\n", "goes on\n"));
}

#[test]
fn a_system_without_apt_is_told_of_the_dockerfile() {
    let nexus = Nexus::new();
    let grep =
        ["/usr/bin/grep", "/bin/grep"].into_iter().find(|path| std::fs::exists(path).is_ok_and(|is| is));
    symlink(grep.expect("grep"), nexus.path("grep")).expect("a link");
    let told = after_setup("true", |shell| {
        shell.env("PATH", nexus.folder.path());
    });
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""), "{}", told.stderr);
    assert!(told.stderr.contains("the Dockerfile builds and runs it anywhere"), "{}", told.stderr);
    assert!(std::fs::exists(concat!(env!("CARGO_MANIFEST_DIR"), "/Dockerfile")).is_ok_and(|is| is));
}
