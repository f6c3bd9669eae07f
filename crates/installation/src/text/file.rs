//! A file of text that an option names: the only place where one is read.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// The longest file that is read, in bytes. A prompt of 8 bytes a token has 131,072 tokens
/// then, far more than the board has memory for.
const MAX_BYTES: u64 = 1 << 20;

/// The text of a file, without a byte order mark, its lines ended by a newline. A pipe or a
/// device could be waited for or read without end, and a pipe is empty in the next life:
/// only a regular file is opened.
///
/// # Errors
///
/// When it is none, is too long, or is not UTF-8; the message names it and `option`.
pub fn text_of(path: &Path, option: &str) -> Result<String> {
    read(path).with_context(|| format!("cannot read {path:?}; name a text file in UTF-8 with {option}"))
}

fn read(path: &Path) -> Result<String> {
    match fs::metadata(path)?.file_type() {
        kind if kind.is_dir() => bail!("it is a folder"),
        kind if kind.is_fifo() => bail!("it is a pipe, and no regular file"),
        kind => ensure!(kind.is_file(), "it is a device, and no regular file"),
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= MAX_BYTES, "it is longer than {MAX_BYTES} bytes");
    ensure!(
        !bytes.starts_with(&[0xFF, 0xFE]) && !bytes.starts_with(&[0xFE, 0xFF]),
        "it is UTF-16, as Windows saves text"
    );
    let text = String::from_utf8(bytes).ok().context("it is not UTF-8")?;
    Ok(text.trim_start_matches('\u{feff}').replace("\r\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_whichever_system_has_saved_it_and_what_is_none_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        let of = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            text_of(&path, "--option").map_err(|error| format!("{error:#}"))
        };
        for bytes in ["one\ntwo\n", "\u{feff}one\r\ntwo\r\n"] {
            assert_eq!(of(bytes.as_bytes()).expect("text"), "one\ntwo\n");
        }
        let long = vec![b' '; MAX_BYTES as usize + 1];
        for (bytes, why) in [
            (&b"\xff\xfeo\0n\0e\0"[..], "UTF-16"),
            (b"\xfe\xff\0o\0n\0e", "UTF-16"),
            (b"caf\xe9", "not UTF-8"),
            (&long, "longer than"),
        ] {
            let error = of(bytes).expect_err(why);
            assert!(error.contains(why) && error.contains("in UTF-8 with --option"), "{error}");
        }
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a named pipe");
        for (path, kind) in [(&*pipe, "pipe"), (folder.path(), "folder"), (Path::new("/dev/zero"), "device")]
        {
            let error = format!("{:#}", text_of(path, "--option").expect_err(kind));
            assert!(error.contains(&format!("it is a {kind}")), "{error}");
        }
    }
}
