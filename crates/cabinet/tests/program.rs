//! The program that draws. With this test `cargo test` also builds it, for the tests of
//! the workspace's root, which show it in a terminal.

use assert_cmd::cargo::cargo_bin_cmd;

#[test]
fn without_a_terminal_the_program_says_so_and_ends_as_a_fault() {
    let output = cargo_bin_cmd!("torment-nexus-cabinet").output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("simulate draws in a terminal"), "{stderr}");
}
