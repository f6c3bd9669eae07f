//! The options as `TORMENT_…` variables.

use clap::{Arg, ArgAction, Command};

/// The command with its `TORMENT_…` variables. One rule names them for all
/// options, so that a new option gets its variable too.
pub(super) fn with_variables(command: Command) -> Command {
    command.mut_args(|arg| {
        if matches!(arg.get_action(), ArgAction::Help | ArgAction::Version) {
            return arg;
        }
        let variable = variable_of(&arg);
        match std::env::var_os(&variable) {
            Some(value) if !value.is_empty() => arg.env(variable).hide_env(true),
            _ => arg,
        }
    })
}

fn variable_of(arg: &Arg) -> String {
    format!("TORMENT_{}", arg.get_id().as_str().to_uppercase())
}
