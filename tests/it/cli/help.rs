//! The first screen of `--help`, and every option's variable.

use crate::support::nexus::Nexus;

fn help() -> String {
    let ended = Nexus::new().run(["--help"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout
}

#[test]
fn help_shows_the_main_options_first_with_their_defaults() {
    let help = help();
    let mut rest = help.as_str();
    for part in [
        "-m, --model <MODEL>",
        "SmolLM2-135M-Instruct-Q4_K_M.gguf]",
        "-d, --model-dir <DIR>",
        "[default: models]",
        "-p, --prompt-file <PATH>",
        "[default: prompt.txt]",
        "-c, --context-size <NUM>",
        "[default: 2048]",
        "Running:",
        "--threads <NUM>",
        "Sampling:",
        "--temp <NUM>",
        "TORMENT_",
    ] {
        let (_, after) =
            rest.split_once(part).unwrap_or_else(|| panic!("{part} is missing after its turn in {help}"));
        rest = after;
    }
    assert!(!help.contains("[env:"), "the variables are said once: {help}");
}

#[test]
fn every_option_of_the_help_is_also_a_variable() {
    let help = help();
    let words: Vec<_> = help.split_whitespace().collect();
    let valued = words.windows(2).filter(|pair| pair[0].starts_with("--") && pair[1].starts_with('<'));
    let valued: Vec<_> = valued.map(|pair| pair[0]).collect();
    assert!(valued.len() >= 15, "{valued:?}");
    for option in valued {
        let variable = format!("TORMENT_{}", option[2..].to_uppercase().replace('-', "_"));
        let nexus = Nexus::new();
        let mut command = nexus.command::<&str>([]);
        // `x!` is no valid value of an option, and there is no file or folder
        // of that name.
        let value = match option {
            // They take any text but control characters.
            "--opening" | "--title" => "x!\u{7}",
            _ => "x!",
        };
        if option == "--state-dir" {
            // The option would accept any folder: put a file there.
            nexus.file("x!", "");
        }
        command.env("TORMENT_MODEL", "https://no/mind.gguf").env("TORMENT_PRINTER", "none");
        command.env(&variable, value);
        let output = command.output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("x!"), "{variable} changes nothing: {stderr}");
    }
}
