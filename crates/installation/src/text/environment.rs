//! The variables of an EnvironmentFile=, read as systemd reads it.

/// What systemd makes of such a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// The names and their values, in the order of the file: the last of a name counts.
    pub set: Vec<(String, String)>,
    /// What stands before a `=` and is no name of a variable: systemd leaves it out.
    pub left_out: Vec<String>,
}

/// Where in a value the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At its beginning, or behind a quotation: here another one may begin.
    Start,
    /// Among characters without quotation marks, where one is a character like others.
    Plain,
    Single,
    Double,
}

/// Reads a file by the rules of systemd's `parse_env_file_internal` (src/basic/env-file.c,
/// from version 254 on; an earlier one goes on with a comment in the next line after a
/// backslash).
///
/// # Errors
///
/// The reason why systemd leaves out the whole file.
pub fn read(file: &[u8]) -> Result<Variables, &'static str> {
    const NEWLINES: &[u8] = b"\n\r";
    let is_space = |byte: u8| b" \t\n\r".contains(&byte);
    let text = |bytes| String::from_utf8(bytes).map_err(|_| "a value in it is not UTF-8");
    if file.contains(&0) {
        return Err("it holds a NUL");
    }
    let mut found = Variables::default();
    let mut bytes = file.iter().copied();
    while let Some(first) = bytes.by_ref().find(|&byte| !is_space(byte)) {
        let is_comment = b"#;".contains(&first);
        let mut name = vec![first];
        let ends = |&byte: &u8| NEWLINES.contains(&byte) || !is_comment && byte == b'=';
        let end = loop {
            match bytes.next() {
                Some(byte) if !ends(&byte) => name.push(byte),
                end => break end,
            }
        };
        if is_comment || end != Some(b'=') {
            continue;
        }
        let (mut value, mut kept, mut place) = (Vec::new(), 0, Place::Start);
        while let Some(byte) = bytes.next() {
            match (place, byte) {
                (Place::Start | Place::Plain, b'\n' | b'\r') => break,
                (Place::Start, b'\'') => place = Place::Single,
                (Place::Start, b'"') => place = Place::Double,
                (Place::Single, b'\'') | (Place::Double, b'"') => place = Place::Start,
                (Place::Start | Place::Plain, b'\\') => {
                    place = Place::Plain;
                    value.extend(bytes.next().filter(|byte| !NEWLINES.contains(byte)));
                }
                (Place::Double, b'\\') => match bytes.next() {
                    Some(b'\n') | None => {}
                    Some(byte) if b"\"\\`$".contains(&byte) => value.push(byte),
                    Some(byte) => value.extend([b'\\', byte]),
                },
                (Place::Start, byte) if is_space(byte) => {}
                (Place::Plain, byte) if is_space(byte) => {
                    value.push(byte);
                    // Space at the end of the value does not count.
                    continue;
                }
                (_, byte) => {
                    if place == Place::Start {
                        place = Place::Plain;
                    }
                    value.push(byte);
                }
            }
            kept = value.len();
        }
        value.truncate(kept);
        let name = text(name)?.trim_ascii_end().to_owned();
        let value = text(value)?;
        let is_name = !name.starts_with(|first: char| first.is_ascii_digit())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        match is_name {
            true => found.set.push((name, value)),
            false => found.left_out.push(name),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exhibitions_file_has_its_variables_and_none_in_a_comment() {
        let Variables { set, left_out } = read(include_bytes!("../../../../hardware/default")).expect("text");
        let value = |name: &str| set.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(value("TORMENT_BUTTON"), Some("23"));
        assert_eq!(value("TORMENT_NEVER"), Some("/etc/torment-nexus/never.txt"));
        assert!(value("TORMENT_MODEL").is_none() && left_out.is_empty(), "{left_out:?}");
    }

    // What the values are is compared with systemd itself: tests/it/hardware/systemd.rs.
    #[test]
    fn a_file_that_systemd_leaves_out_is_an_error_and_a_comment_may_hold_anything() {
        for bytes in [&b"A=Ged\xe4chtnis"[..], b"A=b\0", b"\xff=b"] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(read(b"# Ged\xe4chtnis\n"), Ok(Variables::default()));
        assert_eq!(read(b"export A=b\n").expect("text").left_out, ["export A"]);
    }
}
