//! Which options a life that is lived again takes from the earlier one.

use std::ffi::OsStr;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use installation::state::entry::Entry;
use installation::text::shell;

/// The heading of the sampling options in the help.
pub(super) const SAMPLING: &str = "Sampling";

/// Whether the text of a life depends on this option. The other ones are of the
/// box that it is lived in, and have a heading in the help.
fn is_of_the_text(arg: &Arg) -> bool {
    arg.get_help_heading().is_none_or(|heading| heading == SAMPLING)
        && !["model_dir", "help", "version"].contains(&arg.get_id().as_str())
}

/// An option as a shell takes it, and whether it is at its default.
pub(super) type Given = (String, bool);

/// The options that the text depends on and that have a value, however they got it.
pub(super) fn options_of_the_text(command: &Command, matches: &ArgMatches) -> Vec<Given> {
    let option = |arg: &Arg| {
        let given: Vec<_> = matches.get_raw(arg.get_id().as_str())?.collect();
        let value = given.join(OsStr::new(","));
        let option = shell::option(arg.get_long()?, &value.to_string_lossy());
        Some((option, given == arg.get_default_values()))
    };
    command.get_arguments().filter(|arg| is_of_the_text(arg)).filter_map(option).collect()
}

/// The options that are given on the command line, and would be ignored where an earlier
/// life is lived again. Those of the environment give way without a word.
pub(super) fn conflict(command: &Command, matches: &ArgMatches) -> Option<String> {
    let given = |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let names: Vec<_> = (command.get_arguments().filter(|arg| is_of_the_text(arg)).filter(given))
        .filter_map(Arg::get_long)
        .map(|name| format!("--{name}"))
        .collect();
    (!names.is_empty())
        .then(|| format!("relive takes {} from the earlier life; leave one of them out", names.join(", ")))
}

/// What stands before the version, in a comment after the options of a life.
const VERSION: &str = " # version ";

/// These options as the history has them: to a shell, and to earlier versions, the version is
/// a comment.
pub(super) fn line(options: &str) -> String {
    format!("torment-nexus {options}{VERSION}{}", env!("CARGO_PKG_VERSION"))
}

/// A warning if another version lived this life.
pub(crate) fn of_another_version(life: &Entry) -> Option<String> {
    let version = life.options.rsplit_once(VERSION).map(|(_, version)| version);
    (version != Some(env!("CARGO_PKG_VERSION"))).then(|| {
        let lived = version.map_or_else(
            || "an earlier version, whose defaults are not known".to_owned(),
            |version| format!("version {version:?}"),
        );
        format!("life {} was lived by {lived}: its text may have been another", life.number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::cli::options::definition;
    use model_file::voice::Lora;

    fn parse(args: &[&str]) -> Cli {
        Cli::of(definition(), [&["torment-nexus"], args].concat()).expect("valid options")
    }

    fn options(cli: &Cli) -> String {
        cli.kept(&cli.sampling.with_seed().expect("a seed"))
    }

    #[test]
    fn each_option_that_the_text_depends_on_is_kept_and_comes_back() {
        let command = definition();
        let of_the_text = command.get_arguments().filter(|arg| is_of_the_text(arg));
        for name in of_the_text.filter_map(Arg::get_long) {
            let value = match name {
                "model" => "it's another.gguf",
                "prompt-file" => "-a prompt.txt",
                "opening" => "-- \"I\" am $HOME.",
                "repeat-last-n" | "dry-penalty-last-n" => "12",
                "context-size" | "top-k" | "dry-allowed-length" | "seed" => "77",
                _ => "0.75",
            };
            // Options of random sampling count only with a temperature.
            let args = match name {
                "temp" => vec![format!("--{name}={value}")],
                "dry-base" | "repeat-penalty" => vec![format!("--{name}=3"), "--temp=0.5".to_owned()],
                _ => vec![format!("--{name}={value}"), "--temp=0.5".to_owned()],
            };
            let cli = parse(&args.iter().map(String::as_str).collect::<Vec<_>>());
            let line = options(&cli);
            assert!(line.contains(&format!("--{name}")), "{name} is not kept: {line}");
            let life = Entry { options: line.clone(), ..Entry::default() };
            let again = parse(&["--temp=1.5", "--top-k=3", "--opening=None."]).relived(&life).expect("known");
            assert_eq!(options(&again), line, "{name}");
        }
    }

    #[test]
    fn the_box_stays_the_present_one() {
        let life =
            Entry { options: "torment-nexus --context-size 300 --threads 3".to_owned(), ..Entry::default() };
        let cli =
            parse(&["--threads=2", "--model-dir=elsewhere", "--printer=p"]).relived(&life).expect("known");
        assert_eq!((cli.context_size.get(), cli.threads()), (300, 2));
        assert_eq!(cli.model_dir.to_str(), Some("elsewhere"));
        assert!(cli.printer.settings().is_some());
    }

    #[test]
    fn a_life_from_before_there_were_voices_is_lived_again_without_one() {
        for (fingerprint, options, lora) in [
            ("0123456789abcdef", "", Some(Lora::None)),
            ("0123456789abcdef+0123456789abcdef", "", None),
            ("0123456789abcdef+0123456789abcdef", "--lora v.gguf", Some(Lora::Path("v.gguf".into()))),
        ] {
            let options = format!("torment-nexus {options}");
            let life = Entry { options, fingerprint: fingerprint.to_owned(), ..Entry::default() };
            assert_eq!(parse(&[]).relived(&life).expect("known").lora, lora, "{life:?}");
        }
    }

    #[test]
    fn options_of_another_version_are_an_error_that_shows_them() {
        for options in ["torment-nexus --mood 3", "torment-nexus 'open", "torment-nexus --temp warm"] {
            let life = Entry { number: 7, options: options.to_owned(), ..Entry::default() };
            let error = parse(&[]).relived(&life).expect_err("not known").to_string();
            assert!(error.contains("life 7") && error.contains(&format!("{options:?}")), "{error}");
        }
    }

    #[test]
    fn an_option_of_the_text_beside_it_is_told_by_its_name() {
        let refused = |args: &[&str]| {
            let words = [&["torment-nexus"], args].concat();
            Cli::of(definition(), words).err().map(|error| error.to_string())
        };
        assert_eq!(refused(&["relive", "3", "--threads", "2", "--printer", "p"]), None);
        assert_eq!(refused(&["--temp", "1"]), None);
        for words in [
            ["relive", "3", "--temp", "1", "-m", "ember"],
            ["--temp", "1", "-m", "ember", "relive", "3"],
            ["--relive", "3", "--temp", "1", "-m", "ember"],
        ] {
            let told = refused(&words).expect("a conflict");
            assert!(told.contains("relive takes --model, --temp from"), "{told}");
        }
    }
}
