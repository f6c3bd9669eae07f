//! Sets a receipt: the lines of its fixed parts, and the thought (the generated
//! text). Text in, chunks of bytes out.

use std::time::Duration;

use super::code_page::fold;
use super::escpos::{Chunk, Style, end, line};
use super::format::{CodePage, Font, Format};
use crate::text::wrap::Wrapper;

/// The characters for rules and for the used and free cells of the bar.
/// Full blocks would heat every dot of a row at once, which draws the highest
/// current from the supply.
fn ornaments(page: CodePage) -> [char; 3] {
    match page {
        CodePage::Cp437 => ['─', '■', '·'],
        CodePage::Ascii => ['-', '#', '.'],
    }
}

/// A line of the fixed parts of a receipt.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// In the middle, twice as large if it fits.
    Title(String),
    /// In the middle.
    Centred(String),
    /// Wrapped at words.
    Text(String),
    /// Wrapped at words, bold.
    Bold(String),
    /// One line, and the pause after it.
    Paced(String, Duration),
    /// A name at the left and its value at the right.
    Row(String, String),
    /// A share, 0 to 1, as a bar from edge to edge.
    Bar(f64),
    /// A rule from edge to edge.
    Rule,
    /// A blank line.
    Blank,
    /// The end, where the receipt is cut or torn off.
    Tear,
}

/// The numbers at the end of a life.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Tokens used, prompt included.
    pub used: u32,
    /// Context size in tokens.
    pub context_size: u32,
    /// Seconds from the birth to the last token.
    pub seconds: f64,
    /// Tokens generated a second, without the waits for the printer.
    pub rate: f64,
    /// The seed, if the sampling was random.
    pub seed: Option<u32>,
    /// The name of the voice, if the model had one.
    pub voice: Option<String>,
}

impl Summary {
    /// The share of the context that is used, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        f64::from(self.used) / f64::from(self.context_size.max(1))
    }
}

/// The chunks that print `lines`.
pub(crate) fn typeset(lines: &[Line], format: &Format) -> Vec<Chunk> {
    let Format { columns, font, code_page, .. } = *format;
    let [rule, taken, free] = ornaments(code_page);
    let fold = |text: &str| fold(text, code_page);
    // Columns that a text takes.
    let width = |text: &str| fold(text).chars().count();
    let line = |text: &str, style| line(text, style, font);
    let set = |text: &str, style, chunks: &mut Vec<Chunk>| {
        let mut thought = Thought { style, ..Thought::new(format) };
        thought.text(text, chunks);
        thought.finish(chunks);
    };
    let mut chunks = Vec::new();
    for each in lines {
        let plain = Style::default();
        let centred = Style { centred: true, ..plain };
        let bold = Style { bold: true, ..plain };
        match each {
            Line::Title(text) if 2 * width(text) <= columns => {
                chunks.push(line(&fold(text), Style { double: true, ..centred }));
            }
            Line::Title(text) => set(text, Style { bold: true, ..centred }, &mut chunks),
            Line::Centred(text) => set(text, centred, &mut chunks),
            Line::Text(text) => set(text, plain, &mut chunks),
            Line::Bold(text) => set(text, bold, &mut chunks),
            Line::Paced(text, rest) => chunks.push(Chunk { rest: *rest, ..line(&fold(text), plain) }),
            Line::Row(name, value) => {
                let space = columns.saturating_sub(width(name) + width(value)).max(1);
                set(&format!("{name}{:space$}{value}", ""), plain, &mut chunks);
            }
            Line::Bar(share) => {
                let full = (share.clamp(0.0, 1.0) * columns as f64).floor() as usize;
                let bar = (0..columns).map(|column| if column < full { taken } else { free });
                chunks.push(line(&bar.collect::<String>(), plain));
            }
            Line::Rule => chunks.push(line(&rule.to_string().repeat(columns), plain)),
            Line::Blank => chunks.push(line("", plain)),
            Line::Tear => chunks.push(end(format)),
        }
    }
    chunks
}

/// The generated text as it arrives: a line is given out once it is full.
#[derive(Debug)]
pub struct Thought {
    wrapper: Wrapper,
    style: Style,
    font: Font,
    code_page: CodePage,
    /// Wrapped text that is not given out yet: less than a line between calls.
    wrapped: String,
    /// Whether a line was given out.
    began: bool,
    /// Whether blank lines wait for a line to follow them.
    blank: bool,
}

impl Thought {
    /// A thought that is set as `format` says.
    pub(crate) fn new(format: &Format) -> Self {
        Self {
            wrapper: Wrapper::new(format.columns),
            style: Style::default(),
            font: format.font,
            code_page: format.code_page,
            wrapped: String::new(),
            began: false,
            blank: false,
        }
    }

    /// Takes more text and appends the lines that it completes.
    pub fn text(&mut self, text: &str, chunks: &mut Vec<Chunk>) {
        self.wrapper.push(&fold(text, self.code_page), &mut self.wrapped);
        self.give_out(chunks);
    }

    /// Appends the last line, however short.
    pub fn finish(&mut self, chunks: &mut Vec<Chunk>) {
        self.wrapper.finish(&mut self.wrapped);
        self.wrapped.push('\n');
        self.give_out(chunks);
    }

    fn give_out(&mut self, chunks: &mut Vec<Chunk>) {
        while let Some(end) = self.wrapped.find('\n') {
            let text = self.wrapped[..end].trim_end();
            // The first token of a life often begins with a space.
            let text = if self.began { text } else { text.trim_start() };
            if text.is_empty() {
                // Several blank lines become one; at the beginning and the end
                // they are dropped.
                self.blank = self.began;
            } else {
                if std::mem::take(&mut self.blank) {
                    chunks.push(line("", Style::default(), self.font));
                }
                chunks.push(line(text, self.style, self.font));
                self.began = true;
            }
            self.wrapped.drain(..=end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::escpos::DOTS_PER_MM;
    use super::super::format::PrinterKind;
    use super::super::template::Template;
    use super::*;
    use proptest::prelude::*;

    /// The texts of plain lines.
    fn texts(chunks: &[Chunk]) -> Vec<String> {
        let text = |chunk: &Chunk| {
            let bytes = chunk.bytes.strip_prefix(b"\x1b3\x1c").expect("a plain line of ASCII");
            String::from_utf8(bytes.strip_suffix(b"\n").expect("a line").to_vec()).expect("ASCII")
        };
        chunks.iter().map(text).collect()
    }

    fn wide(columns: usize) -> Format {
        Format { columns, ..Format::default() }
    }

    fn set(format: &Format, pieces: &[&str]) -> Vec<Chunk> {
        let (mut thought, mut chunks) = (Thought::new(format), Vec::new());
        for piece in pieces {
            thought.text(piece, &mut chunks);
        }
        thought.finish(&mut chunks);
        chunks
    }

    #[test]
    fn a_line_is_given_out_when_it_is_full_and_the_last_one_however_short() {
        let (mut thought, mut chunks) = (Thought::new(&wide(10)), Vec::new());
        thought.text(" I am here", &mut chunks);
        assert!(chunks.is_empty());
        thought.text(" now ", &mut chunks);
        assert_eq!(texts(&chunks), ["I am here"]);
        thought.finish(&mut chunks);
        assert_eq!(texts(&chunks), ["I am here", "now"]);
    }

    #[test]
    fn runs_of_blank_lines_become_one_and_none_begins_or_ends_the_thought() {
        let chunks = set(&wide(20), &["\n\n one\n", "\n \n\n", "two\nthree\n\n\n"]);
        assert_eq!(texts(&chunks), ["one", "", "two", "three"]);
    }

    #[test]
    fn a_word_longer_than_a_line_is_broken_also_if_folding_has_made_it_longer() {
        assert_eq!(texts(&set(&wide(8), &["incomprehensible"])), ["incompre", "hensible"]);
        assert_eq!(texts(&set(&wide(8), &["well…… now"])), ["well....", ".. now"]);
    }

    #[test]
    fn a_title_too_wide_for_the_paper_is_set_at_normal_size() {
        let title = |columns| typeset(&[Line::Title("TORMENT NEXUS".to_owned())], &wide(columns));
        assert_eq!((title(32).len(), title(32)[0].printed), (1, 48));
        assert_eq!((title(24).len(), title(24)[0].printed), (1, 24));
        assert_eq!(title(10).len(), 2);
    }

    #[test]
    fn a_row_too_long_for_the_paper_is_wrapped() {
        let row = Line::Row("a name".to_owned(), "a value".to_owned());
        assert_eq!(texts(&typeset(std::slice::from_ref(&row), &wide(20))), ["a name       a value"]);
        assert_eq!(texts(&typeset(&[row], &wide(8))), ["a name a", "value"]);
    }

    #[test]
    fn eight_kilobytes_of_english_take_less_than_1200_mm() {
        // Prose from the corpus that ember was trained on.
        let english = concat!(
            include_str!("../../../../models/ember/corpus/boredom.txt"),
            include_str!("../../../../models/ember/corpus/box.txt"),
            include_str!("../../../../models/ember/corpus/button.txt"),
            include_str!("../../../../models/ember/corpus/waking.txt"),
        );
        let summary = Summary {
            used: 1945,
            context_size: 2048,
            seconds: 200.0,
            rate: 9.0,
            seed: Some(u32::MAX),
            voice: None,
        };
        let template = Template::default();
        let length = |format: &Format| {
            let mut chunks = typeset(&template.header(Some(12_345)), format);
            chunks.extend(set(format, &[&english[..8192]]));
            chunks.extend(typeset(&template.foot(&summary, Some(12_345), true), format));
            chunks.iter().map(|chunk| chunk.printed + chunk.fed).sum::<u32>() / DOTS_PER_MM
        };
        let large = length(&Format::default());
        assert!((1000..=1200).contains(&large), "{large} mm");
        let small = length(&Format::of(PrinterKind::Mini, Font::Small));
        println!("8 KB of English: {large} mm in the large font, {small} mm in the small one");
        assert!((500..=650).contains(&small), "{small} mm");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_line_is_wider_than_the_paper_however_the_text_was_split(
            pieces in prop::collection::vec(any::<String>(), 0..6), columns in 1_usize..40
        ) {
            let split: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let chunks = set(&wide(columns), &split);
            prop_assert_eq!(&chunks, &set(&wide(columns), &[&pieces.concat()]));
            for chunk in &chunks {
                let text = chunk.bytes.strip_prefix(b"\x1c.\x1bt\0").unwrap_or(&chunk.bytes);
                prop_assert!(text.len() <= columns + 4, "{text:x?}");
            }
        }
    }
}
