//! The strip that `torment-nexus check` prints: what a technician reads off it is
//! set in the options. Pure.

use std::time::Duration;

use super::code_page::characters;
use super::format::Format;
use super::receipt::Line;

/// Times of a line, in milliseconds, from the slowest printer that is known down to
/// what the mechanisms' manuals promise.
const INTERVALS: [u64; 8] = [729, 500, 350, 250, 180, 130, 90, 60];

/// Lines for each of them: more than the smallest input buffer holds, so that a
/// printer that is too slow loses some.
const LINES: usize = 4;

/// What fills a line: an ordinary text's share of black.
const FILLER: &str = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk";

/// The lines before the falling intervals: the result, every character that can be
/// printed, and a ruler.
pub fn head(date: Option<String>, result: &[String], format: &Format) -> Vec<Line> {
    let columns = format.columns;
    let text = |text: &str| Line::Text(text.to_owned());
    let mut lines = vec![Line::Title("CHECK".to_owned())];
    lines.extend(date.map(Line::Centred));
    lines.push(Line::Rule);
    lines.extend(result.iter().map(|line| text(line)));
    lines.extend([
        Line::Rule,
        text("every character:"),
        Line::Text(characters(format.code_page)),
        Line::Bold("bold".to_owned()),
        Line::Text(format!("the ruler must have {columns} columns on one line:")),
        Line::Text(ruler(columns)),
    ]);
    lines
}

/// A ruler of so many columns: each tenth has its number.
fn ruler(columns: usize) -> String {
    let mark = |column: usize| match column {
        _ if column.is_multiple_of(10) => char::from(b'0' + (column / 10 % 10) as u8),
        _ if column.is_multiple_of(5) => '+',
        _ => '.',
    };
    (1..=columns).map(mark).collect()
}

/// Numbered lines at falling intervals; `wire` is the time that a byte needs.
pub fn falling(columns: usize, wire: Duration) -> Vec<Line> {
    let mut lines = vec![
        Line::Text(
            "Numbered lines follow, ever faster. Find the first number that is missing or broken; set \
             TORMENT_PRINTER_LINE_MS to the time two steps above it."
                .to_owned(),
        ),
        Line::Blank,
    ];
    for (number, interval) in INTERVALS.iter().flat_map(|&interval| [interval; LINES]).enumerate() {
        let mut text = format!("{:>2} {interval} ms {FILLER}", number + 1);
        text.truncate(columns);
        let sent = wire * (text.len() + 4) as u32;
        lines.push(Line::Paced(text, Duration::from_millis(interval).saturating_sub(sent)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printer_of_ascii_gets_a_strip_of_ascii() {
        let format = Format { code_page: super::super::format::CodePage::Ascii, ..Format::default() };
        let result = ["temperature 54.8 °C".to_owned()];
        let chunks = super::super::receipt::typeset(&head(None, &result, &format), &format);
        assert!(chunks.iter().all(|chunk| chunk.bytes.is_ascii()), "{chunks:?}");
    }

    #[test]
    fn the_ruler_is_as_wide_as_the_paper() {
        assert_eq!(ruler(32), "....+....1....+....2....+....3..");
        assert_eq!(ruler(64).len(), 64);
    }

    #[test]
    fn the_numbered_lines_come_ever_faster_and_fit_the_paper() {
        let lines = falling(32, Duration::from_micros(1042));
        let paced = |line| if let Line::Paced(text, rest) = line { Some((text, rest)) } else { None };
        let paced: Vec<_> = lines.into_iter().filter_map(paced).collect();
        assert_eq!(paced.len(), INTERVALS.len() * LINES);
        assert!(paced.iter().all(|(text, _)| text.len() == 32));
        assert!(paced.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        assert!(paced[31].0.starts_with("32 60 ms abc"));
        // With the 37.5 ms of the wire, a line every 60 ms.
        assert_eq!(paced[31].1.as_millis(), 22);
    }
}
