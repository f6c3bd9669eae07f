//! The options by which the next token is chosen.

use clap::builder::TypedValueParser;
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};

use crate::mind::sampler::Sampling;

/// Makes an option of each field of [`Sampling`], of its help, the name of its value,
/// its default and its parser.
macro_rules! options {
    ($($(#[doc = $help:literal])+ $field:ident: $value:literal $(= $default:literal)?, $parser:expr;)+) => {
        impl Args for Sampling {
            fn augment_args(command: Command) -> Command {
                $(
                    let option = Arg::new(stringify!($field)).long(stringify!($field).replace('_', "-"));
                    let option = option.help([$($help.trim()),+].join(" ")).value_name($value);
                    let option = option.value_parser($parser).allow_negative_numbers(true);
                    let command = command.arg(option$(.default_value($default))?);
                )+
                command
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }

        impl FromArgMatches for Sampling {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
                Ok(Self {
                    $($field: matches.get_one(stringify!($field)).cloned().unwrap_or_default(),)+
                })
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

// Names and defaults are those of llama.cpp's own tools.
options! {
    /// Temperature; 0 always takes the most probable token
    temp: "NUM" = "0", number(0.0, 1e6);
    /// Keep the NUM most probable tokens (0: all)
    top_k: "NUM" = "40", value_parser!(i32).range(0..);
    /// Keep the most probable tokens that add up to NUM (1: all)
    top_p: "NUM" = "0.95", number(0.0, 1.0);
    /// Drop tokens less probable than NUM times the best (0: none)
    min_p: "NUM" = "0.05", number(0.0, 1.0);
    /// Make tokens seen lately less probable (1: off) [default: 1.1; with a voice 1.06]
    repeat_penalty: "NUM", number(0.01, 100.0).map(Some);
    /// How many tokens count as lately (0: off, -1: the context)
    repeat_last_n: "NUM" = "256", value_parser!(i32).range(-1..);
    /// Strength of DRY, which breaks repeated sequences (0: off)
    dry_multiplier: "NUM" = "0.8", number(0.0, 100.0);
    /// How fast DRY grows with the length of a repetition
    dry_base: "NUM" = "1.75", number(1.0, 100.0);
    /// Length of repetition that DRY lets pass, in tokens
    dry_allowed_length: "NUM" = "2", value_parser!(i32).range(0..);
    /// How far back DRY looks (0: off, -1: the whole context)
    dry_penalty_last_n: "NUM" = "-1", value_parser!(i32).range(-1..);
    /// Seed of the dice when --temp is above 0 [default: random]
    // 4294967295 is excluded: llama.cpp reads it as "random".
    seed: "NUM", value_parser!(u32).range(0..i64::from(u32::MAX)).map(Some);
}

/// A parser for finite numbers from `min` to `max`: llama.cpp aborts on, or
/// silently ignores, some of the others.
pub(super) fn number(
    min: f32,
    max: f32,
) -> impl Fn(&str) -> Result<f32, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<f32>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("not a number from {min} to {max}")),
    }
}
