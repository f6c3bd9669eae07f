//! The options as `TORMENT_…` variables.

use std::env;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command, Error};

/// What the name of each variable begins with.
const PREFIX: &str = "TORMENT_";

/// How much a variable's name must be like a known one to be taken for it: of the
/// Jaro-Winkler similarity, 1 for equal names, as clap does with options.
const LIKE: f64 = 0.7;

/// The command with its `TORMENT_…` variables. One rule names them for all
/// options, so that a new option gets its variable too.
pub(super) fn with_variables(command: Command) -> Command {
    command.mut_args(|arg| {
        if !has_variable(&arg) {
            return arg;
        }
        let variable = variable_of(&arg);
        match env::var_os(&variable) {
            Some(value) if !value.is_empty() => arg.env(variable).hide_env(true),
            _ => arg,
        }
    })
}

/// Names the variable in an error about an option that was given by its
/// variable and not in `args`, the command line.
pub(super) fn naming_its_variable(mut error: Error, mut command: Command, args: &[String]) -> Error {
    // An argument has its name only after this.
    command.build();
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return error };
    let arg = command.get_arguments().find(|arg| has_variable(arg) && arg.to_string() == *option);
    if let Some(arg) = arg.filter(|arg| arg.get_env().is_some() && !is_given(arg, args)) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable_of(arg)));
    }
    error
}

/// Whether an option stands on the command line.
fn is_given(arg: &Arg, args: &[String]) -> bool {
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    args.iter().any(|word| {
        let is_long = long.as_ref().is_some_and(|long| {
            word.strip_prefix(long.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        });
        is_long || short.as_ref().is_some_and(|short| word.starts_with(short.as_str()))
    })
}

/// A warning for each variable of `names` that looks like one of an option and
/// belongs to none, with the nearest that does.
pub(super) fn unknown_variables(command: &Command, names: impl Iterator<Item = String>) -> Vec<String> {
    let known: Vec<String> =
        command.get_arguments().filter(|arg| has_variable(arg)).map(variable_of).collect();
    let unknown = names.filter(|name| name.starts_with(PREFIX) && !known.contains(name));
    let mut warnings: Vec<String> = unknown
        .map(|name| {
            let likeness = |known: &str| strsim::jaro_winkler(&name[PREFIX.len()..], &known[PREFIX.len()..]);
            let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            let next = match nearest.filter(|nearest| likeness(nearest) >= LIKE) {
                Some(nearest) => format!("did you mean {nearest}?"),
                None => "torment-nexus --help lists the options".to_owned(),
            };
            format!("the variable {name} belongs to no option; {next}")
        })
        .collect();
    warnings.sort();
    warnings
}

fn has_variable(arg: &Arg) -> bool {
    !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version) && !arg.is_hide_set()
}

fn variable_of(arg: &Arg) -> String {
    format!("{PREFIX}{}", arg.get_id().as_str().to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    use crate::cli::Cli;

    #[test]
    fn an_unknown_variable_is_told_with_the_nearest_known_one() {
        let warnings = |name: &str| unknown_variables(&Cli::command(), [name.to_owned()].into_iter());
        for (wrong, right) in [
            ("TORMENT_TEMPERATURE", "TORMENT_TEMP?"),
            ("TORMENT_CONTEXT", "TORMENT_CONTEXT_SIZE?"),
            ("TORMENT_PRINTERBAUD", "TORMENT_PRINTER_BAUD?"),
            ("TORMENT_temp", "--help"),
        ] {
            let warnings = warnings(wrong);
            assert!(warnings.len() == 1 && warnings[0].contains(wrong), "{warnings:?}");
            assert!(warnings[0].contains(right), "{warnings:?}");
        }
        for known in ["TORMENT_TEMP", "TORMENT_PRINTER", "PATH", "TORMENTED"] {
            assert_eq!(warnings(known), [] as [String; 0], "{known}");
        }
    }

    #[test]
    fn an_option_is_given_in_each_way_that_a_command_line_has() {
        let command = Cli::command();
        let arg = |id: &str| {
            command.get_arguments().find(|arg| arg.get_id() == id).unwrap_or_else(|| panic!("{id}"))
        };
        let given =
            |id, words: &[&str]| is_given(arg(id), &words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
        assert!(given("context_size", &["-c", "9"]) && given("context_size", &["-c9"]));
        assert!(given("context_size", &["--context-size=9"]) && given("temp", &["--temp", "9"]));
        assert!(!given("printer", &["--printer-baud", "9"]));
    }
}
