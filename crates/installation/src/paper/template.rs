//! What a receipt says before and after the thought. It is a text that the
//! artist may write anew: title, labels, language and order belong to the work.
//!
//! A line of a template is one of these:
//!
//! | line | printed as |
//! |---|---|
//! | `# TEXT` | title: in the middle, twice as large if it fits |
//! | `= TEXT` | in the middle |
//! | `* TEXT` | bold |
//! | `NAME \| VALUE` | a name at the left, its value at the right |
//! | `---` | a rule from edge to edge; two in a row are one |
//! | `{thought}` | the generated text; once, between the header and the foot |
//! | `{death}` | the three lines of the death; once, in the foot |
//! | `{epitaph}` | the epitaph and a rule, if there is one |
//! | `{bar}` | the fill of the context, as a bar |
//! | `{paper}` | that little paper is left, if the printer says so |
//! | an empty line | blank |
//! | `@title TEXT`, `@epitaph TEXT` | these words, where `--title` and `--epitaph` give no others |
//! | `@interrupted TEXT`, `@fault TEXT`, `@paper TEXT` | the words for that case |
//! | any other | text, wrapped at words |
//!
//! A text may hold values: `{title}`, `{life}`, `{date}` or `{date:%d.%m.%Y}`, and
//! in the foot `{tokens}`, `{context}`, `{seconds}`, `{rate}`, `{seed}`, `{voice}`. A line with
//! a value that is not known, such as the date while the clock is not set, is left
//! out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, anyhow};

use super::code_page::unprintable;
use super::receipt::{Line, Summary};
use crate::board::clock;
use crate::life::ending::{self, Ending};
use crate::state::texts::Text;
use crate::text::file;

/// The template that is used unless another one is named.
const DEFAULT: &str = "\
# {title}
= life {life}
= {date}
---
{thought}
---
{death}
---
{epitaph}
tokens | {tokens} of {context}
seconds | {seconds}
tokens/s | {rate}
seed | {seed}

{bar}
{paper}
";

/// The words that a template or an option may say otherwise.
const WORDS: [(&str, &str); 5] = [
    ("title", "TORMENT NEXUS"),
    ("epitaph", ""),
    ("interrupted", "interrupted"),
    ("fault", "ended by a fault"),
    ("paper", "little paper is left"),
];

/// How `{date}` is written, as in strftime(3).
const DATE: &str = "%-d %B %Y, %H:%M";

/// What the artist has chosen, as given on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Design {
    /// The title, which is [`printable`].
    pub title: Option<String>,
    /// A file with the text that is printed after the death.
    pub epitaph: Option<PathBuf>,
    /// A file with a template.
    pub template: Option<PathBuf>,
}

/// What a receipt says besides the thought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its lines before and after the thought, each of them sound.
    header: Vec<String>,
    foot: Vec<String>,
    /// Those of [`WORDS`].
    words: BTreeMap<&'static str, String>,
}

impl Default for Template {
    fn default() -> Self {
        Self::parse(DEFAULT).expect("the default template is sound")
    }
}

/// What is known when a line is filled in.
struct Known<'a> {
    life: Option<u64>,
    date: fn(&str) -> Option<String>,
    /// Only at the end.
    summary: Option<&'a Summary>,
    /// Whether little paper is left.
    low: bool,
}

impl Known<'_> {
    fn summary(&self, name: &str) -> Result<&Summary, String> {
        self.summary.ok_or_else(|| format!("{name} is known only at the end; move it below {{thought}}"))
    }
}

impl Template {
    /// The template of a design. Reads its files. Fails when a file cannot be read, or
    /// holds what cannot be printed: one line that names the file and the next step.
    pub(crate) fn read(design: &Design) -> Result<Self> {
        let mut template = match &design.template {
            Some(path) => Self::parse(&file::text_of(path, "--receipt")?)
                .map_err(|why| anyhow!("receipt template {path:?}: {why}"))?,
            None => Self::default(),
        };
        if let Some(title) = &design.title {
            template.words.insert("title", title.trim().to_owned());
        }
        if let Some(path) = &design.epitaph {
            let epitaph = file::text_of(path, "--epitaph")?;
            epitaph
                .lines()
                .try_for_each(|line| printable(line).map(drop))
                .map_err(|why| anyhow!("epitaph {path:?}: {why}"))?;
            template.words.insert("epitaph", epitaph.trim().to_owned());
        }
        Ok(template)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let words = WORDS.map(|(name, words)| (name, words.to_owned())).into();
        let mut template = Self { header: Vec::new(), foot: Vec::new(), words };
        let mut thought = false;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end();
            template.add(line, &mut thought).map_err(|why| format!("line {number}: {why}"))?;
        }
        if !thought {
            return Err("it has no line {thought}; add one where the generated text belongs".to_owned());
        }
        if template.foot.iter().filter(|line| *line == "{death}").count() != 1 {
            return Err("the line {death} must stand once below {thought}".to_owned());
        }
        Ok(template)
    }

    /// Adds a line that is sound. `thought`: whether it is below the thought.
    fn add(&mut self, line: &str, thought: &mut bool) -> Result<(), String> {
        const SOME: Summary =
            Summary { used: 1, context_size: 1, seconds: 1.0, rate: 1.0, seed: None, voice: None };
        printable(line)?;
        if let Some(said) = line.strip_prefix('@') {
            let (name, text) = said.split_once(' ').unwrap_or((said, ""));
            let words = self
                .words
                .get_mut(name)
                .ok_or_else(|| format!("@{name} is none of @{}", WORDS.map(|(name, _)| name).join(", @")))?;
            if !text.trim().is_empty() {
                text.clone_into(words);
            }
        } else if line == "{thought}" {
            if std::mem::replace(thought, true) {
                return Err("a second {thought}; remove it".to_owned());
            }
        } else {
            let summary = thought.then_some(&SOME);
            self.lines(line, &Known { life: None, date: clock::now, summary, low: false })?;
            if *thought { &mut self.foot } else { &mut self.header }.push(line.to_owned());
        }
        Ok(())
    }

    /// The lines before the thought.
    pub(crate) fn header(&self, life: Option<u64>) -> Vec<Line> {
        self.fill(&self.header, &Known { life, date: clock::now, summary: None, low: false })
    }

    /// The lines after the thought of a life that ended in the death. `low`:
    /// little paper is left.
    pub(crate) fn foot(&self, summary: &Summary, life: Option<u64>, low: bool) -> Vec<Line> {
        let known = Known { life, date: clock::now, summary: Some(summary), low };
        let mut lines = self.fill(&self.foot, &known);
        lines.push(Line::Tear);
        lines
    }

    /// The lines before and after the words of an earlier life. Its date stands above them,
    /// where the template's own would be today's.
    pub(crate) fn of_the_past(&self, text: &Text) -> (Vec<Line>, Vec<Line>) {
        let life = Some(text.number);
        let known = |summary| Known { life, date: |_| None, summary, low: false };
        let date = text.date.replace('T', " ");
        let mut head = Vec::from_iter(Some(date).filter(|date| !date.is_empty()).map(Line::Centred));
        head.extend(self.fill(&self.header, &known(None)));
        let Some((used, context_size)) = text.tokens else {
            return (head, self.cut_short(&Ending::Interrupted(String::new())));
        };
        let Text { seconds, rate, seed, voice, .. } = text.clone();
        let summary = Summary { used, context_size, seconds, rate, seed, voice };
        let mut foot = self.fill(&self.foot, &known(Some(&summary)));
        foot.push(Line::Tear);
        (head, foot)
    }

    /// The lines after the thought of a life that ended otherwise.
    pub(crate) fn cut_short(&self, ending: &Ending) -> Vec<Line> {
        let why = match ending {
            Ending::Interrupted(_) => "interrupted",
            _ => "fault",
        };
        vec![Line::Rule, Line::Text(self.words[why].clone()), Line::Tear]
    }

    fn fill(&self, lines: &[String], known: &Known) -> Vec<Line> {
        let filled = lines.iter().map(|line| self.lines(line, known).unwrap_or_default());
        let mut lines: Vec<_> = filled.flatten().collect();
        lines.dedup_by(|second, first| *first == Line::Rule && *second == Line::Rule);
        lines
    }

    /// What is printed of a line: nothing if one of its values is not known.
    fn lines(&self, line: &str, known: &Known) -> Result<Vec<Line>, String> {
        let text = |text: &str| self.text(text, known);
        let line = match line.split_once(' ').unwrap_or((line, "")) {
            ("", "") => Some(Line::Blank),
            ("---", "") => Some(Line::Rule),
            (name @ ("{death}" | "{epitaph}" | "{bar}" | "{paper}"), "") => {
                let summary = known.summary(name)?;
                let words = |name| self.words[name].clone();
                return Ok(match name {
                    "{death}" => ending::last_words().map(|words| Line::Bold(words.to_owned())).collect(),
                    "{bar}" => vec![Line::Bar(summary.share())],
                    "{epitaph}" if !words("epitaph").is_empty() => {
                        vec![Line::Text(words("epitaph")), Line::Rule]
                    }
                    "{paper}" if known.low => vec![Line::Blank, Line::Centred(words("paper"))],
                    _ => Vec::new(),
                });
            }
            ("#", words) => text(words)?.map(Line::Title),
            ("=", words) => text(words)?.map(Line::Centred),
            ("*", words) => text(words)?.map(Line::Bold),
            _ => match line.split_once('|') {
                Some((name, value)) => {
                    text(name)?.zip(text(value)?).map(|(name, value)| Line::Row(name, value))
                }
                None => text(line)?.map(Line::Text),
            },
        };
        Ok(line.into_iter().collect())
    }

    /// `text` with its values; `None` if one of them is not known.
    fn text(&self, text: &str, known: &Known) -> Result<Option<String>, String> {
        let (mut filled, mut rest) = (Some(String::new()), text.trim());
        while let Some((words, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a { without its }; add it")?;
            let value = self.value(name, known)?;
            filled = filled.zip(value).map(|(filled, value)| filled + words + &value);
            rest = after;
        }
        Ok(filled.map(|filled| filled + rest))
    }

    fn value(&self, name: &str, known: &Known) -> Result<Option<String>, String> {
        let summary = || known.summary(&format!("{{{name}}}"));
        Ok(match name.split_once(':').unwrap_or((name, "")) {
            ("title", "") => Some(self.words["title"].clone()),
            ("life", "") => known.life.map(|life| life.to_string()),
            ("date", format) => {
                let format = if format.is_empty() { DATE } else { format };
                clock::check_format(format).map_err(|why| format!("{{{name}}} is no date ({why})"))?;
                (known.date)(format)
            }
            ("tokens", "") => Some(summary()?.used.to_string()),
            ("context", "") => Some(summary()?.context_size.to_string()),
            ("seconds", "") => Some(format!("{:.1}", summary()?.seconds)),
            ("rate", "") => Some(format!("{:.1}", summary()?.rate)),
            ("seed", "") => summary()?.seed.map(|seed| seed.to_string()),
            ("voice", "") => summary()?.voice.clone(),
            _ => {
                return Err(format!(
                    "{{{name}}} is no value; there are title, life, date, tokens, context, seconds, rate, seed and voice, \
                     and on lines of their own thought, death, epitaph, bar and paper"
                ));
            }
        })
    }
}

/// A line that can be printed. Fails when the printer cannot print one of its
/// characters.
pub fn printable(line: &str) -> Result<String, String> {
    match unprintable(line) {
        Some(character) => Err(format!("the printer cannot print {character:?}; replace it")),
        None => Ok(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn summary() -> Summary {
        Summary { used: 1945, context_size: 2048, seconds: 200.04, rate: 9.26, seed: Some(3), voice: None }
    }

    fn text(words: &str) -> Line {
        Line::Text(words.to_owned())
    }

    #[test]
    fn the_standing_receipt_has_header_death_and_numbers() {
        let template = Template::default();
        let known = Known { life: Some(7), date: |_| Some("today".to_owned()), summary: None, low: false };
        let header = template.fill(&template.header, &known);
        let centred = |words: &str| Line::Centred(words.to_owned());
        assert_eq!(
            header,
            [Line::Title("TORMENT NEXUS".to_owned()), centred("life 7"), centred("today"), Line::Rule]
        );
        let foot = template.foot(&summary(), Some(7), false);
        let rows = [("tokens", "1945 of 2048"), ("seconds", "200.0"), ("tokens/s", "9.3"), ("seed", "3")];
        assert_eq!(foot[5..9], rows.map(|(name, value)| Line::Row(name.to_owned(), value.to_owned())));
        assert_eq!(foot[9..], [Line::Blank, Line::Bar(summary().share()), Line::Tear]);
    }

    #[test]
    fn a_line_whose_value_is_not_known_is_left_out() {
        let template = Template::default();
        let known = Known { life: None, date: |_| None, summary: None, low: false };
        let header = template.fill(&template.header, &known);
        assert_eq!(header, [Line::Title("TORMENT NEXUS".to_owned()), Line::Rule]);
        let greedy = Summary { seed: None, ..summary() };
        let has_seed =
            |lines: &[Line]| lines.iter().any(|line| matches!(line, Line::Row(name, _) if name == "seed"));
        assert!(has_seed(&template.foot(&summary(), Some(7), false)));
        assert!(!has_seed(&template.foot(&greedy, Some(7), false)));
    }

    #[test]
    fn the_artists_words_replace_the_standing_ones() {
        let template = Template::parse(
            "# {title}\n= Leben {life}\n{thought}\n---\n* Ende\n{death}\n---\n---\nWörter: {tokens}\n\
             @interrupted abgebrochen\n@paper wenig Papier\n{paper}\n",
        )
        .expect("a template");
        let foot = template.foot(&summary(), Some(7), true);
        assert_eq!((&foot[0], &foot[1]), (&Line::Rule, &Line::Bold("Ende".to_owned())));
        assert_eq!(foot[5..7], [Line::Rule, text("Wörter: 1945")], "two rules are one");
        assert_eq!(foot[7..9], [Line::Blank, Line::Centred("wenig Papier".to_owned())]);
        let words = |ending| template.cut_short(&ending)[1].clone();
        assert_eq!(words(Ending::Interrupted(String::new())), text("abgebrochen"));
        assert_eq!(words(Ending::Unheard), text("ended by a fault"), "what is not said anew stays");
    }

    #[test]
    fn the_epitaph_stands_after_the_death_and_its_three_lines_stay() {
        let mut template = Template::default();
        template.words.insert("epitaph", "Rest.".to_owned());
        let foot = template.foot(&summary(), Some(7), false);
        let bold = foot.iter().filter(|line| matches!(line, Line::Bold(_))).count();
        assert_eq!(bold, 3);
        assert_eq!(foot[4..7], [Line::Rule, text("Rest."), Line::Rule]);
    }

    #[test]
    fn what_is_wrong_in_a_template_is_named_with_its_line() {
        let end = "{thought}\n{death}\n";
        for (wrong, words) in [
            ("{death}\n", "below {thought}"),
            ("", "no line {thought}"),
            ("{thought}\n", "{death}"),
            ("{thought}\n{death}\n{death}\n", "once"),
            ("{thought}\n{thought}\n{death}\n", "line 2: a second {thought}"),
            (&format!("a\n{{nobody}}\n{end}"), "line 2: {nobody} is no value"),
            (&format!("{{tokens}}\n{end}"), "line 1: {tokens} is known only at the end"),
            (&format!("{{bar}}\n{end}"), "known only at the end"),
            (&format!("{{life\n{end}"), "without its }"),
            (&format!("{{date:%Ö}}\n{end}"), "is no date"),
            (&format!("@else x\n{end}"), "@interrupted"),
            (&format!("a\u{1b}b\n{end}"), "line 1: the printer cannot print '\\u{1b}'"),
        ] {
            let error = Template::parse(wrong).expect_err("wrong");
            assert!(error.contains(words), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn an_option_says_a_templates_words_anew() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str, content: &str| {
            fs::write(folder.path().join(name), content).expect("a file");
            Some(folder.path().join(name))
        };
        let template =
            file("template", "@title Old\n# {title}\n{thought}\n{death}\n{epitaph}\n@epitaph old\n");
        let words = |design: &Design| {
            let template = Template::read(design).expect("a template");
            let mut lines = template.header(None);
            lines.extend(template.foot(&summary(), None, false).split_off(3));
            lines
        };
        let title = |words: &str| Line::Title(words.to_owned());
        let old = Design { template, ..Design::default() };
        assert_eq!(words(&old), [title("Old"), text("old"), Line::Rule, Line::Tear]);
        let epitaph = file("epitaph", "  Here it lay. {life}\n\n# Until | now.\n");
        let new = Design { title: Some(" Ein Gerät ".to_owned()), epitaph, ..old };
        let epitaph = text("Here it lay. {life}\n\n# Until | now.");
        assert_eq!(words(&new), [title("Ein Gerät"), epitaph, Line::Rule, Line::Tear]);
    }

    #[test]
    fn words_that_cannot_be_printed_name_the_file_and_the_next_step() {
        let error = |design: &Design| format!("{:#}", Template::read(design).expect_err("wrong"));
        for wrong in ["a\nb", "\u{1b}@", "\u{e000}"] {
            assert!(printable(wrong).expect_err("wrong").contains("cannot print"), "{wrong:?}");
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("epitaph");
        let design = Design { epitaph: Some(path.clone()), ..Design::default() };
        assert!(error(&design).contains("--epitaph"), "absent: {}", error(&design));
        fs::write(&path, b"a\x1b@").expect("a file");
        let error = error(&design);
        assert!(error.contains("cannot print") && error.contains("epitaph"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_a_template_or_an_error(text in "([#=*@{}|a-z: %-]|\\PC){0,60}", values in "(\\{[a-z:%A-Z]{0,9}\\}|\n|x){0,9}") {
            if let Ok(template) = Template::parse(&format!("{text}\n{{thought}}\n{values}\n{{death}}\n")) {
                let _ = template.header(Some(1));
                let _ = template.foot(&summary(), Some(7), true);
            }
        }
    }
}
