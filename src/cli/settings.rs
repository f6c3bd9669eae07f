//! Settings as a person writes them into a text file: `NAME = VALUE`, one a line, with the
//! names of the options. A line that begins with `#` is a comment, and so is what follows
//! `#` after a space, except in quotes. Quotes and dashes may be those that an editor puts
//! in their place.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};

use super::relive::SAMPLING;

/// The options that a file may set besides those of sampling: words, hours, and the
/// printer's kind and pace. No device, folder, address or file: the card is for whoever
/// has it in the hand, and the box stays the same.
const ALLOWED: [&str; 17] = [
    "title",
    "opening",
    "lora_scale",
    "rest",
    "lives_per_day",
    "open",
    "keep_texts",
    "stick_key",
    "printer_kind",
    "printer_font",
    "printer_code_page",
    "printer_baud",
    "printer_columns",
    "printer_line_ms",
    "printer_cut",
    "printer_heat",
    "paper_wait",
];

const QUOTES: &[char] = &['"', '\'', '“', '”', '„', '‟', '‘', '’', '‚', '«', '»'];
const DASHES: &[char] = &['–', '—', '−', '‐', '‑'];

/// An option's id and its value.
pub(super) type Setting = (String, String);

/// Whether a file may set this option.
pub(super) fn is_allowed(arg: &Arg) -> bool {
    arg.get_help_heading() == Some(SAMPLING) || ALLOWED.contains(&arg.get_id().as_str())
}

/// The settings of a text, and what is wrong with it: one line each, which begins with
/// the number of the text's line.
pub(super) fn read(text: &str, command: &Command) -> (Vec<Setting>, Vec<String>) {
    let (mut settings, mut faults) = (Vec::<Setting>::new(), Vec::new());
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        match setting(line, command) {
            Ok(None) => {}
            Ok(Some((id, _))) if settings.iter().any(|(other, _)| *other == id) => {
                faults
                    .push(format!("line {number}: {} is set above too; leave one out", id.replace('_', "-")));
            }
            Ok(Some(setting)) => settings.push(setting),
            Err(why) => faults.push(format!("line {number}: {why}")),
        }
    }
    (settings, faults)
}

/// The setting of a line; `None` if there is none.
fn setting(line: &str, command: &Command) -> Result<Option<Setting>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.trim_start_matches('-');
    let ends =
        |letter: char| !letter.is_alphanumeric() && !"-_".contains(letter) && !DASHES.contains(&letter);
    let (name, rest) = line.split_at(line.find(ends).unwrap_or(line.len()));
    let name = name.to_lowercase().replace(DASHES, "-").replace('_', "-");
    if name.is_empty() {
        return Err(format!("{line:?} is no setting; write NAME = VALUE, or # before it"));
    }
    let Some(arg) = command.get_arguments().find(|arg| arg.get_long() == Some(&name)) else {
        return Err(match nearest(command, &name) {
            Some(known) => format!("{name} is no setting; did you mean {known}?"),
            None => format!("{name} is no setting; put # before it"),
        });
    };
    if !is_allowed(arg) {
        return Err(format!("{name} cannot be set here; it belongs into /etc/default/torment-nexus"));
    }
    let rest = rest.trim_start();
    let value = unquoted(rest.strip_prefix(['=', ':']).unwrap_or(rest).trim());
    if value.is_empty() {
        return Err(format!("{name} has no value; write {name} = VALUE, or # before it"));
    }
    let is_text = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == "TEXT"));
    let value = if is_text { value.to_owned() } else { value.replace(DASHES, "-") };
    check(command, &name, &value)?;
    Ok(Some((arg.get_id().to_string(), value)))
}

/// The name of the option that is nearest to this name, which is none's.
pub(super) fn nearest(command: &Command, name: &str) -> Option<String> {
    let error = command.clone().try_get_matches_from(["torment-nexus", &format!("--{name}")]).err()?;
    let Some(ContextValue::String(option)) = error.get(ContextKind::SuggestedArg) else { return None };
    Some(option.trim_start_matches('-').to_owned())
}

/// A value without its quotes and the comment after it.
fn unquoted(value: &str) -> &str {
    if let Some(inner) = value.strip_prefix(QUOTES)
        && let Some((inner, after)) = inner.rfind(QUOTES).map(|at| inner.split_at(at))
    {
        let after = after.trim_start_matches(QUOTES).trim_start();
        if after.is_empty() || after.starts_with('#') {
            return inner;
        }
    }
    let comment = value.match_indices('#').find(|(at, _)| value[..*at].ends_with(char::is_whitespace));
    value[..comment.map_or(value.len(), |(at, _)| at)].trim_end()
}

/// Has the option's own parser look at the value.
fn check(command: &Command, name: &str, value: &str) -> Result<(), String> {
    let option = format!("--{name}={value}");
    let Err(error) = command.clone().try_get_matches_from(["torment-nexus", &option]) else { return Ok(()) };
    let why = match (error.source(), error.get(ContextKind::ValidValue)) {
        (_, Some(ContextValue::Strings(values))) => format!("one of {}", values.join(", ")),
        (Some(why), _) => why.to_string(),
        _ => "not a value of it".to_owned(),
    };
    Err(format!("{name} cannot be {value:?}: {why}; write another value"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::definition;

    #[test]
    fn what_a_person_and_an_editor_write_is_understood() {
        let text = "\u{feff}# The receipt\r\n\r\ntitle = “Bob’s box”\r\n\ttemp\t=\t0.8   # warm\r\n\
                    Printer_Baud: 19200\r\n--printer–font small\r\nopen = 10:00–18:00\r\nopening = \"We # I\" # first\r\n\
                    printer-cut = yes\r\nrest=60\r\n";
        let (settings, faults) = read(text, &definition());
        assert_eq!(faults, [] as [String; 0]);
        let expected = [
            ("title", "Bob’s box"),
            ("temp", "0.8"),
            ("printer_baud", "19200"),
            ("printer_font", "small"),
            ("open", "10:00-18:00"),
            ("opening", "We # I"),
            ("printer_cut", "yes"),
            ("rest", "60"),
        ];
        let settings: Vec<_> = settings.iter().map(|(id, value)| (id.as_str(), value.as_str())).collect();
        assert_eq!(settings, expected);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_with_the_next_step() {
        for (text, told) in [
            ("\nprinter-baud = fast", "line 2: printer-baud cannot be \"fast\": not one of [1200"),
            ("temp = 0,8", "line 1: temp cannot be \"0,8\": not a number from 0"),
            ("printer-kind = canon", "line 1: printer-kind cannot be \"canon\": one of mini, epson; write"),
            ("printer-bauds = 9600", "line 1: printer-bauds is no setting; did you mean printer-baud?"),
            ("title =", "line 1: title has no value; write title = VALUE"),
            ("title", "line 1: title has no value"),
            ("= 3", "line 1: \"= 3\" is no setting"),
            ("rest = 1\nrest = 2", "line 2: rest is set above too; leave one out"),
            ("model = http://elsewhere/m.gguf", "line 1: model cannot be set here"),
            ("printer = /dev/sda", "line 1: printer cannot be set here"),
            ("state-dir = /", "line 1: state-dir cannot be set here"),
            ("report-to = https://a", "line 1: report-to cannot be set here"),
            ("help = x", "line 1: help"),
        ] {
            let (_, faults) = read(text, &definition());
            assert!(faults.len() == 1 && faults[0].starts_with(told), "{text:?}: {faults:?}");
            assert!(faults[0].contains(';') || faults[0].ends_with('?'), "no next step: {faults:?}");
        }
    }
}
