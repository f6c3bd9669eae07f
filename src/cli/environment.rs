//! The options as `TORMENT_…` variables.

use std::env;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, Error};

use super::settings::{Setting, nearest};

/// What the name of each variable begins with.
const PREFIX: &str = "TORMENT_";

/// The command with its `TORMENT_…` variables, and the `settings` that win over them. One
/// rule names the variables for all options, so that a new option gets its own too.
pub(super) fn with_variables(command: Command, settings: &[Setting]) -> Command {
    command.mut_args(|arg| {
        if !has_variable(&arg) {
            return arg;
        }
        if let Some((_, value)) = settings.iter().find(|(id, _)| arg.get_id() == id.as_str()) {
            return arg.default_value(value.clone());
        }
        let variable = variable_of(&arg);
        match env::var_os(&variable) {
            Some(value) if !value.is_empty() => arg.env(variable).hide_env(true),
            _ => arg,
        }
    })
}

/// Names the variable in an error about an option that was given by its variable.
pub(super) fn naming_its_variable(mut error: Error, mut command: Command) -> Error {
    // An argument has its name only after this.
    command.build();
    if error.kind() == ErrorKind::InvalidUtf8 {
        // clap names none here. A path may be any bytes: each is asked alone.
        let is_wrong = |arg: &&Arg| {
            let alone = Command::new("alone").arg((*arg).clone()).try_get_matches_from(["alone"]);
            has_variable(arg) && alone.is_err_and(|error| error.kind() == ErrorKind::InvalidUtf8)
        };
        let Some(variable) = command.get_arguments().find(is_wrong).map(variable_of) else { return error };
        return command
            .error(error.kind(), format!("the value of {variable} is not UTF-8; write it in UTF-8"));
    }
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return error };
    if let Some(arg) = command.get_arguments().find(|arg| has_variable(arg) && arg.to_string() == *option) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable_of(arg)));
    }
    error
}

/// A warning for each variable of `names` that looks like one of an option and
/// belongs to none, with the nearest that does.
pub(super) fn unknown_variables(command: &Command, names: impl Iterator<Item = String>) -> Vec<String> {
    let known: Vec<String> =
        command.get_arguments().filter(|arg| has_variable(arg)).map(variable_of).collect();
    let unknown = names.filter(|name| name.starts_with(PREFIX) && !known.contains(name));
    let mut warnings: Vec<String> = unknown
        .map(|name| {
            let option = name[PREFIX.len()..].to_lowercase().replace('_', "-");
            let next = match nearest(command, &option) {
                Some(option) => {
                    format!("did you mean {PREFIX}{}?", option.to_uppercase().replace('-', "_"))
                }
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
}
