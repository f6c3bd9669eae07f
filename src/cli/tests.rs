//! The manual page and the shells' completions, made from the options. They are
//! files in `packaging/`, so that neither the program nor a build of the package
//! contains what makes them.
//!
//! After a change of an option:
//! `BLESS=1 cargo test --release --locked --lib -- cli::tests`

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::options::definition;
use super::{Cli, settings};

/// What the options alone do not say. `docs/` has more of each.
const SECTIONS: &str = r#".SH COMMANDS
.TP
.B check \fR[\fB\-\-json\fR] [\fB\-\-quick\fR]
Looks at every part of the box with the options of
.IR /etc/default/torment\-nexus ,
and says what is not well and what to do. Then it lights the light, asks for a press, and
prints a strip; \fB\-\-quick\fR leaves these out. \fB\-\-json\fR writes one JSON object. Stop
the service first. The exit status is 0 only when all is well, else 1.
.TP
.B simulate
Draws the installation in a terminal: the button, the light and the paper, with the
options given. Space presses the button, \fIq\fR leaves. The board's package does not have
it.
.TP
.B lives \fR[\fINUMBER\fR [\fB\-\-print\fR]]
Lists the last lives, or writes the text of this one to stdout, if it is kept;
\fB\-\-print\fR prints its receipt again.
.TP
.B relive \fINUMBER
Lives the life of this number in
.I lives.csv
again, with the model, prompt, seed and options of that time.
.PP
Options stand before or after the command.
.SH "EXIT STATUS"
.TP
.B 101
The death, the intended ending: 95 % of the context window is used.
.TP
.B 1
A fault. One line on stderr, which begins with \fIerror:\fR, says what to do next.
.TP
.B 2
Wrong usage.
.TP
.B 70
A bug in the program; the message says so.
.TP
.B 130
SIGINT, SIGTERM or SIGHUP; a second signal ends the program at once.
.TP
.B 0
The reader of stdout has closed it, and there is no printer. Also after \fB\-\-help\fR and
\fB\-\-version\fR.
.SH ENVIRONMENT
.TP
.B TORMENT_\fIOPTION\fR
Each option: its name in capitals, with underscores for hyphens
(TORMENT_CONTEXT_SIZE=1024). An empty variable counts as unset; the command line wins.
.TP
.B HF_TOKEN
Sent to Hugging Face, for models behind a licence.
.TP
.B HF_ENDPOINT
A mirror of Hugging Face.
.TP
.B HF_HUB_OFFLINE
With 1 the program does not use the network.
.TP
.B SSL_CERT_FILE
The certificates to trust instead of those built in.
.TP
.B HTTPS_PROXY
A proxy for downloads.
.TP
.B NO_COLOR
No colour on a terminal, if it is set to anything. TERM=dumb has none either.
.TP
.B STATE_DIRECTORY\fR, \fBXDG_STATE_HOME
Where \fB\-\-state\-dir\fR is by default.
.SH FILES
.TP
.I prompt.txt
The system prompt, in the working directory.
.TP
.I /etc/torment\-nexus/prompt.txt
The system prompt if there is no such file. Without either it is a copy built into the
program. \fB\-\-prompt\-file\fR wins over all of them. Ember follows only its own.
.TP
.I /etc/default/torment\-nexus
The options of the service, as variables.
.TP
.I /boot/firmware/torment\-nexus
The card's folder: settings.txt, prompt.txt, receipt.txt, epitaph.txt, voice.gguf and model.gguf.
They win over the variables; the command line wins over them.
.TP
.I /var/lib/torment\-nexus
The state folder of the service. It has the downloaded models in
.IR models ,
and a
.I prompt.txt
there is the service's.
.TP
.IR lives.csv ,\  lives.1.csv
In the state folder: the history, with a line when a life begins and one when it ends.
.TP
.I texts
In the state folder: what the last \fB\-\-keep\-texts\fR lives said.
.TP
.I card
In the state folder: the settings and texts of the card that were lived with last.
.TP
.I prompt\-state
In the state folder: what the model made of the prompt, so that the next start is quick.
.SH "SEE ALSO"
.BR torment\-nexus\-setup (8),
.BR systemd.service (5)
.PP
The guides in
.IR /usr/share/doc/torment\-nexus .
"#;

/// The manual page, in roff.
fn manual() -> String {
    let man = Man::new(Cli::command().after_help(None::<&str>)).manual("Torment Nexus");
    let mut page = Vec::new();
    man.render_title(&mut page).expect("the title");
    man.render_name_section(&mut page).expect("the name");
    // clap's synopsis names every option, which fills half a screen.
    page.extend_from_slice(b".SH SYNOPSIS\n.B torment\\-nexus\n.RI [ options ]\n");
    man.render_description_section(&mut page).expect("the description");
    man.render_options_section(&mut page).expect("the options");
    String::from_utf8(page).expect("text") + SECTIONS
}

fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "torment-nexus", &mut script);
    String::from_utf8(script).expect("text")
}

const ON_THE_CARD: &str = "\
# The settings of the piece. Take the # away at the beginning of a line, write your value,
# and put the card back: it counts from the next life on, and wins over
# /etc/default/torment-nexus. What is wrong here is printed on paper, and what
# was set before goes on. Text after # is a comment.
#
# This folder may also have prompt.txt (what the model is told before it wakes),
# receipt.txt (the template of the receipt), epitaph.txt (printed after the death),
# voice.gguf (an adapter that the model speaks with) and model.gguf (another model).
";

/// An example for each option of the card that has no default.
const EXAMPLES: [(&str, &str); 11] = [
    ("title", "TORMENT NEXUS"),
    ("opening", "I remember"),
    ("lives_per_day", "40"),
    ("open", "10:00-18:00"),
    ("stick_key", "a word of your own"),
    ("printer_columns", "32"),
    ("printer_line_ms", "350"),
    ("printer_cut", "yes"),
    ("printer_heat", "11,120,40"),
    ("repeat_penalty", "1.06"),
    ("seed", "1"),
];

/// The options of an exhibition.
const OF_THE_BOX: &str = include_str!("../../hardware/default");

/// The file of settings that a new card gets: each with its help and the value that the box
/// has without it, and switched off.
fn settings() -> String {
    let definition = definition();
    let each = definition.get_arguments().filter(|arg| settings::is_allowed(arg)).map(|arg| {
        let example = EXAMPLES.iter().find(|(id, _)| arg.get_id() == *id).map(|(_, value)| (*value).into());
        let variable = format!("TORMENT_{}=", arg.get_id().as_str().to_uppercase());
        let of_the_box = OF_THE_BOX.lines().find_map(|line| line.strip_prefix(&variable)).map(Into::into);
        let default = || arg.get_default_values().first().cloned();
        let value = of_the_box.or_else(default).or(example).expect("a value");
        let help = arg.get_help().expect("a help").to_string();
        format!("\n# {help}\n#{} = {}\n", arg.get_long().expect("a name"), value.to_string_lossy())
    });
    ON_THE_CARD.to_owned() + &each.collect::<String>()
}

#[test]
fn every_setting_of_a_new_card_is_understood_once_it_is_switched_on() {
    let on = settings()
        .replace("\n#", "\n")
        .lines()
        .filter(|line| line.contains(" = "))
        .fold(String::new(), |text, line| text + line + "\n");
    let (found, faults) = settings::read(&on, &definition());
    assert_eq!(faults, [] as [String; 0], "{on}");
    assert!(found.len() > 20, "{found:?}");
    let (found, faults) = settings::read(&settings(), &definition());
    assert!(found.is_empty() && faults.is_empty(), "a new card sets {found:?}, {faults:?}");
}

/// Each file and its text.
fn files() -> [(&'static str, String); 5] {
    [
        ("../hardware/system/usr/share/torment-nexus/settings.txt", settings()),
        ("torment-nexus.1", manual()),
        ("completions/torment-nexus.bash", completions(Shell::Bash)),
        ("completions/_torment-nexus", completions(Shell::Zsh)),
        ("completions/torment-nexus.fish", completions(Shell::Fish)),
    ]
}

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging")
}

#[test]
fn the_manual_page_and_the_completions_are_those_of_the_options() {
    for (name, text) in files() {
        let path = packaging().join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
            fs::write(&path, text).expect("the file is written");
        } else {
            let written = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                written == text,
                "packaging/{name} is not of the present options: \
                 BLESS=1 cargo test --release --locked --lib -- cli::tests"
            );
        }
    }
}

#[test]
fn the_manual_page_names_every_option() {
    let page = manual().replace('\\', "");
    for arg in Cli::command().get_arguments().filter(|arg| !arg.is_hide_set()) {
        let long = arg.get_long().expect("a long name");
        assert!(page.contains(&format!("--{long}")), "--{long} is missing");
    }
}

/// `hardware/setup` is Python, so its page is written by hand.
#[test]
fn the_manual_page_of_setup_names_every_option_of_it() {
    let page = fs::read_to_string(packaging().join("torment-nexus-setup.8")).expect("the page");
    let setup = fs::read_to_string(packaging().join("../hardware/setup")).expect("setup");
    let quoted = setup.split("(\"--").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name);
    let is_option = |name: &&str| name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
    let options: Vec<_> = quoted.filter(is_option).collect();
    assert!(options.len() >= 8, "{options:?}");
    for option in options {
        assert!(page.replace('\\', "").contains(&format!("--{option}")), "--{option} is missing");
    }
}
