//! Writes the table by which the printer's text is transliterated to ASCII: a
//! part of deunicode's, which is half a megabyte whole. The board's program has
//! only the scripts that a receipt can be read in.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use deunicode::deunicode_char;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return Err(
            "torment-nexus runs on Linux only: it needs /proc, memfd, GPIO and termios as Linux has them; \
                    build with --target x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu, or in the \
                    container of the Dockerfile"
                .into(),
        );
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("transliterations.rs"), source())?;
    Ok(())
}

/// Characters in a page of the table.
const PAGE: u32 = 256;

/// The scripts that are left out: ideographs, Yi and Hangul, whose readings in
/// ASCII nobody reads, and what lies beyond the first plane, but for its letters
/// of mathematics and its pictographs.
fn is_left_out(code: u32) -> bool {
    matches!(
        code,
        0..0x80 | 0x3400..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0x1_0000..0x1_D400 | 0x1_D800..0x1_F000 | 0x2_0000..
    )
}

/// The Rust source of the table. `PAGES` are the numbers of the pages that it
/// has, in order; `WORD_OF` holds for each character of each page the number of
/// its word from 1 on, or 0; `WORD_ENDS` where each word ends in `WORDS`.
fn source() -> String {
    let known = |code: u32| {
        let character = char::from_u32(code).filter(|_| !is_left_out(code))?;
        // Nothing else reaches the printer.
        deunicode_char(character).filter(|ascii| ascii.is_ascii())
    };
    let mut numbers: BTreeMap<&str, usize> =
        (0..=u32::from(char::MAX)).filter_map(known).map(|word| (word, 0)).collect();
    for (number, slot) in (1..).zip(numbers.values_mut()) {
        *slot = number;
    }
    let (mut pages, mut word_of) = (Vec::new(), Vec::new());
    for page in 0..=u32::from(char::MAX) / PAGE {
        let words: Vec<_> = (page * PAGE..(page + 1) * PAGE).map(known).collect();
        if words.iter().any(Option::is_some) {
            pages.push(page);
            word_of.extend(words.into_iter().map(|word| word.map_or(0, |word| numbers[word])));
        }
    }
    let words: String = numbers.keys().copied().collect();
    let ends: Vec<_> = numbers
        .keys()
        .scan(0, |end, word| {
            *end += word.len();
            Some(*end)
        })
        .collect();
    let mut source = String::new();
    for (name, numbers) in [
        ("PAGES", pages.iter().map(ToString::to_string).collect::<Vec<_>>()),
        ("WORD_OF", word_of.iter().map(ToString::to_string).collect()),
        ("WORD_ENDS", ends.iter().map(ToString::to_string).collect()),
    ] {
        // Writing to a string does not fail.
        let _ = writeln!(source, "static {name}: [u16; {}] = [{}];", numbers.len(), numbers.join(","));
    }
    let _ = writeln!(source, "static WORDS: &str = {words:?};");
    source
}
