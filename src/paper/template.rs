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
//! | `{epitaph}` | the text of `--epitaph` and a rule |
//! | `{bar}` | the fill of the context, as a bar |
//! | `{paper}` | that little paper is left, if the printer says so |
//! | an empty line | blank |
//! | `@interrupted TEXT`, `@fault TEXT`, `@paper TEXT` | the words for that case |
//! | any other | text, wrapped at words |
//!
//! A text may hold values: `{title}`, `{life}`, `{date}` or `{date:%d.%m.%Y}`, and
//! in the foot `{tokens}`, `{context}`, `{seconds}`, `{rate}`, `{seed}`. A line with
//! a value that is not known, such as the date while the clock is not set, is left
//! out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::code_page::unprintable;
use super::receipt::{Line, Summary};
use crate::board::clock;
use crate::life::ending::{self, Ending};

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
@interrupted interrupted
@fault ended by a fault
@paper little paper is left
";

/// The title unless `--title` gives another.
const TITLE: &str = "TORMENT NEXUS";

/// The longest title, in characters: a line of the widest paper.
const MAX_TITLE: usize = 64;

/// The longest epitaph, in characters: some 25 cm of 58 mm paper.
const MAX_EPITAPH: usize = 2_000;

/// The longest template, in bytes: far more than a receipt can use.
const MAX_TEMPLATE: u64 = 16_384;

/// How `{date}` is written, as in strftime(3).
const DATE: &str = "%-d %B %Y, %H:%M";

/// What the artist has chosen, as given on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Design {
    /// A title, checked by [`title`].
    pub title: Option<String>,
    /// A file with the text that is printed after the death.
    pub epitaph: Option<PathBuf>,
    /// A file with a template.
    pub template: Option<PathBuf>,
}

/// Checks a title.
///
/// # Errors
///
/// When it is empty, too long, or holds what the printer cannot print.
pub(crate) fn title(text: &str) -> Result<String, String> {
    let text = text.trim();
    let length = text.chars().count();
    if text.is_empty() {
        return Err("it is empty; leave the option out for the standing title".to_owned());
    }
    if length > MAX_TITLE {
        return Err(format!("{length} characters are too many; shorten it to {MAX_TITLE}"));
    }
    match unprintable(text) {
        Some(character) => Err(cannot_print(character)),
        None => Ok(text.to_owned()),
    }
}

fn cannot_print(character: char) -> String {
    format!("the printer cannot print {character:?}; replace it")
}

/// What a receipt says besides the thought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    title: String,
    epitaph: Option<String>,
    header: Vec<Element>,
    foot: Vec<Element>,
    interrupted: String,
    fault: String,
    paper: String,
}

impl Default for Template {
    fn default() -> Self {
        Self::parse(DEFAULT).expect("the default template is sound")
    }
}

/// A line of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Element {
    Title(Vec<Piece>),
    Centred(Vec<Piece>),
    Text(Vec<Piece>),
    Bold(Vec<Piece>),
    Row(Vec<Piece>, Vec<Piece>),
    Rule,
    Blank,
    Death,
    Epitaph,
    Bar,
    Paper,
}

/// A part of a line's text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Words(String),
    Value(Value),
}

/// A value that is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Title,
    Life,
    /// With its format.
    Date(String),
    Tokens,
    Context,
    Seconds,
    Rate,
    Seed,
}

/// What is known when a line is filled in.
struct Known<'a> {
    life: Option<u64>,
    date: &'a dyn Fn(&str) -> Option<String>,
    summary: Option<&'a Summary>,
}

impl Template {
    /// The template of a design. Reads its files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or holds what cannot be printed: one line that
    /// names the file and the next step.
    pub(crate) fn read(design: &Design) -> Result<Self> {
        let mut template = match &design.template {
            Some(path) => Self::parse(&text_of(path, MAX_TEMPLATE, "--receipt")?)
                .map_err(|why| anyhow::anyhow!("receipt template {path:?}: {why}"))?,
            None => Self::default(),
        };
        if let Some(title) = &design.title {
            template.title.clone_from(title);
        }
        if let Some(path) = &design.epitaph {
            template.epitaph = Some(epitaph(path)?);
        }
        Ok(template)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut template = Self {
            title: TITLE.to_owned(),
            epitaph: None,
            header: Vec::new(),
            foot: Vec::new(),
            interrupted: String::new(),
            fault: String::new(),
            paper: String::new(),
        };
        let mut thought = false;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end();
            let failed = |why: String| format!("line {number}: {why}");
            if let Some(character) = unprintable(line) {
                return Err(failed(cannot_print(character)));
            }
            match line.split_once(' ').unwrap_or((line, "")) {
                ("@interrupted", words) => template.interrupted = words.to_owned(),
                ("@fault", words) => template.fault = words.to_owned(),
                ("@paper", words) => template.paper = words.to_owned(),
                (unknown, _) if unknown.starts_with('@') => {
                    return Err(failed(format!("{unknown:?} is none of @interrupted, @fault and @paper")));
                }
                ("{thought}", "") if thought => {
                    return Err(failed("a second {thought}; remove it".to_owned()));
                }
                ("{thought}", "") => thought = true,
                _ => {
                    let element = element(line, thought).map_err(failed)?;
                    if thought { &mut template.foot } else { &mut template.header }.push(element);
                }
            }
        }
        if !thought {
            return Err("it has no line {thought}; add one where the generated text belongs".to_owned());
        }
        if template.foot.iter().filter(|element| **element == Element::Death).count() != 1 {
            return Err("the line {death} must stand once below {thought}".to_owned());
        }
        let standing = [
            (&mut template.interrupted, "interrupted"),
            (&mut template.fault, "ended by a fault"),
            (&mut template.paper, "little paper is left"),
        ];
        for (words, default) in standing {
            if words.trim().is_empty() {
                default.clone_into(words);
            }
        }
        Ok(template)
    }

    /// The lines before the thought.
    #[must_use]
    pub(crate) fn header(&self, life: Option<u64>) -> Vec<Line> {
        self.fill(&self.header, &Known { life, date: &clock::now, summary: None }, false)
    }

    /// The lines after the thought of a life that ended in the death. `low`:
    /// little paper is left.
    #[must_use]
    pub(crate) fn foot(&self, summary: &Summary, life: Option<u64>, low: bool) -> Vec<Line> {
        let known = Known { life, date: &clock::now, summary: Some(summary) };
        let mut lines = self.fill(&self.foot, &known, low);
        lines.push(Line::Tear);
        lines
    }

    /// The lines after the thought of a life that ended otherwise.
    #[must_use]
    pub(crate) fn cut_short(&self, ending: &Ending) -> Vec<Line> {
        let why = match ending {
            Ending::Interrupted(_) => &self.interrupted,
            Ending::Unheard | Ending::Usage(_) | Ending::Fault(_) => &self.fault,
        };
        vec![Line::Rule, Line::Text(why.clone()), Line::Tear]
    }

    fn fill(&self, elements: &[Element], known: &Known, low: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        let text = |pieces: &[Piece]| self.text(pieces, known);
        for element in elements {
            match element {
                Element::Title(pieces) => lines.extend(text(pieces).map(Line::Title)),
                Element::Centred(pieces) => lines.extend(text(pieces).map(Line::Centred)),
                Element::Text(pieces) => lines.extend(text(pieces).map(Line::Text)),
                Element::Bold(pieces) => lines.extend(text(pieces).map(Line::Bold)),
                Element::Row(name, value) => {
                    lines.extend(text(name).zip(text(value)).map(|(name, value)| Line::Row(name, value)));
                }
                Element::Rule => lines.push(Line::Rule),
                Element::Blank => lines.push(Line::Blank),
                Element::Death => {
                    lines.extend(ending::last_words().map(|words| Line::Bold(words.to_owned())));
                }
                Element::Epitaph => {
                    if let Some(epitaph) = &self.epitaph {
                        lines.extend([Line::Text(epitaph.clone()), Line::Rule]);
                    }
                }
                Element::Bar => lines.extend(known.summary.map(|summary| Line::Bar(summary.share()))),
                Element::Paper if low => lines.extend([Line::Blank, Line::Centred(self.paper.clone())]),
                Element::Paper => {}
            }
        }
        lines.dedup_by(|second, first| *first == Line::Rule && *second == Line::Rule);
        lines
    }

    /// The text of `pieces`; `None` if one of its values is not known.
    fn text(&self, pieces: &[Piece], known: &Known) -> Option<String> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Words(words) => text.push_str(words),
                Piece::Value(value) => text.push_str(&self.value(value, known)?),
            }
        }
        Some(text)
    }

    fn value(&self, value: &Value, known: &Known) -> Option<String> {
        let summary = known.summary;
        match value {
            Value::Title => Some(self.title.clone()),
            Value::Life => known.life.map(|life| life.to_string()),
            Value::Date(format) => (known.date)(format),
            Value::Tokens => summary.map(|summary| summary.used.to_string()),
            Value::Context => summary.map(|summary| summary.context_size.to_string()),
            Value::Seconds => summary.map(|summary| format!("{:.1}", summary.seconds)),
            Value::Rate => summary.map(|summary| format!("{:.1}", summary.rate)),
            Value::Seed => summary?.seed.map(|seed| seed.to_string()),
        }
    }
}

fn element(line: &str, in_foot: bool) -> Result<Element, String> {
    let only_in_foot = |element: Element| match in_foot {
        true => Ok(element),
        false => Err(format!("{line} is known only at the end; move it below {{thought}}")),
    };
    let text = |text: &str| pieces(text.trim(), in_foot);
    Ok(match line.split_once(' ').unwrap_or((line, "")) {
        ("", "") => Element::Blank,
        ("---", "") => Element::Rule,
        ("{death}", "") => only_in_foot(Element::Death)?,
        ("{epitaph}", "") => only_in_foot(Element::Epitaph)?,
        ("{bar}", "") => only_in_foot(Element::Bar)?,
        ("{paper}", "") => only_in_foot(Element::Paper)?,
        ("#", words) => Element::Title(text(words)?),
        ("=", words) => Element::Centred(text(words)?),
        ("*", words) => Element::Bold(text(words)?),
        _ => match line.split_once('|') {
            Some((name, value)) => Element::Row(text(name)?, text(value)?),
            None => Element::Text(text(line)?),
        },
    })
}

fn pieces(mut text: &str, in_foot: bool) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    while let Some((words, rest)) = text.split_once('{') {
        let (name, rest) = rest.split_once('}').ok_or("a { without its }; add it")?;
        if !words.is_empty() {
            pieces.push(Piece::Words(words.to_owned()));
        }
        pieces.push(Piece::Value(value(name, in_foot)?));
        text = rest;
    }
    if !text.is_empty() {
        pieces.push(Piece::Words(text.to_owned()));
    }
    Ok(pieces)
}

fn value(name: &str, in_foot: bool) -> Result<Value, String> {
    let value = match name.split_once(':').unwrap_or((name, "")) {
        ("title", "") => return Ok(Value::Title),
        ("life", "") => return Ok(Value::Life),
        ("date", "") => return Ok(Value::Date(DATE.to_owned())),
        ("date", format) => {
            clock::check_format(format).map_err(|why| format!("{{{name}}} is no date ({why})"))?;
            return Ok(Value::Date(format.to_owned()));
        }
        ("tokens", "") => Value::Tokens,
        ("context", "") => Value::Context,
        ("seconds", "") => Value::Seconds,
        ("rate", "") => Value::Rate,
        ("seed", "") => Value::Seed,
        _ => {
            return Err(format!(
                "{{{name}}} is no value; there are title, life, date, tokens, context, seconds, rate and seed, \
                 and on lines of their own thought, death, epitaph, bar and paper"
            ));
        }
    };
    match in_foot {
        true => Ok(value),
        false => Err(format!("{{{name}}} is known only at the end; move it below {{thought}}")),
    }
}

fn epitaph(path: &Path) -> Result<String> {
    // A character has at most four bytes.
    let text = text_of(path, 4 * MAX_EPITAPH as u64 + 4, "--epitaph")?;
    let text = text.trim();
    let length = text.chars().count();
    if text.is_empty() {
        bail!("epitaph {path:?} is empty; write it, or leave out --epitaph");
    }
    if length > MAX_EPITAPH {
        bail!("epitaph {path:?} has more than {MAX_EPITAPH} characters; shorten it");
    }
    let lines = text.lines().find_map(unprintable);
    if let Some(character) = lines {
        bail!("epitaph {path:?}: {}", cannot_print(character));
    }
    Ok(text.to_owned())
}

/// The text of a file; an error that names it and `option`.
fn text_of(path: &Path, most: u64, option: &str) -> Result<String> {
    let read = || -> Result<String> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            bail!("it is no regular file");
        }
        if metadata.len() > most {
            bail!("it has more than {most} bytes");
        }
        String::from_utf8(fs::read(path)?).context("it is not UTF-8")
    };
    read().with_context(|| format!("cannot read {path:?}; name another file with {option}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn summary() -> Summary {
        Summary { used: 1945, context_size: 2048, seconds: 200.04, rate: 9.26, seed: Some(3) }
    }

    fn read(text: &str) -> Result<Template, String> {
        Template::parse(text)
    }

    fn text(words: &str) -> Line {
        Line::Text(words.to_owned())
    }

    #[test]
    fn the_standing_receipt_has_header_death_and_numbers() {
        let template = Template::default();
        let known = Known { life: Some(7), date: &|_| Some("today".to_owned()), summary: None };
        let header = template.fill(&template.header, &known, false);
        let centred = |words: &str| Line::Centred(words.to_owned());
        assert_eq!(
            header,
            [Line::Title("TORMENT NEXUS".to_owned()), centred("life 7"), centred("today"), Line::Rule]
        );
        let foot = template.foot(&summary(), Some(7), false);
        let row = |name: &str, value: &str| Line::Row(name.to_owned(), value.to_owned());
        let rows = [
            row("tokens", "1945 of 2048"),
            row("seconds", "200.0"),
            row("tokens/s", "9.3"),
            row("seed", "3"),
        ];
        assert_eq!(foot[5..9], rows);
        assert_eq!(foot[9..], [Line::Blank, Line::Bar(summary().share()), Line::Tear]);
    }

    #[test]
    fn a_line_whose_value_is_not_known_is_left_out() {
        let template = Template::default();
        let known = Known { life: None, date: &|_| None, summary: None };
        let header = template.fill(&template.header, &known, false);
        assert_eq!(header, [Line::Title("TORMENT NEXUS".to_owned()), Line::Rule]);
        let greedy = Summary { seed: None, ..summary() };
        let has_seed =
            |lines: &[Line]| lines.iter().any(|line| matches!(line, Line::Row(name, _) if name == "seed"));
        assert!(has_seed(&template.foot(&summary(), Some(7), false)));
        assert!(!has_seed(&template.foot(&greedy, Some(7), false)));
    }

    #[test]
    fn the_artists_words_replace_the_standing_ones() {
        let template = read(
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
        let template = Template { epitaph: Some("Rest.".to_owned()), ..Template::default() };
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
            let error = read(wrong).expect_err("wrong");
            assert!(error.contains(words), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn a_title_is_short_and_can_be_printed() {
        assert_eq!(title(" Ein Gerät "), Ok("Ein Gerät".to_owned()));
        for wrong in ["", "  ", &"x".repeat(65), "a\nb", "\u{1b}@", "\u{e000}"] {
            assert!(title(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_epitaph_that_cannot_be_printed_names_the_file_and_the_next_step() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("epitaph");
        let design = Design { epitaph: Some(path.clone()), ..Design::default() };
        let error = || format!("{:#}", Template::read(&design).expect_err("wrong"));
        assert!(error().contains("--epitaph"), "absent: {}", error());
        for (content, words) in [
            (&b" \n"[..], "is empty"),
            (&"é".repeat(2001).into_bytes(), "more than 2000 characters"),
            (&[b'x'; 9000], "more than 8004 bytes"),
            (b"a\x1b@", "cannot print"),
            (b"\xff\xfe", "not UTF-8"),
        ] {
            fs::write(&path, content).expect("a file");
            assert!(error().contains(words) && error().contains("epitaph"), "{words}: {}", error());
        }
        fs::write(&path, "  Here it lay.\n\nUntil now.\n").expect("a file");
        let template = Template::read(&design).expect("an epitaph");
        assert_eq!(template.epitaph.as_deref(), Some("Here it lay.\n\nUntil now."));
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
