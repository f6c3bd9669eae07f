//! The state as a frame: at the left the light, the button, the fill and the keys, at the
//! right the paper as it comes out of its slot. A wide terminal shows the paper before it
//! too, in strips beside each other as on a wall.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::widgets::{Block, BorderType, Widget};

use super::colours::Colours;
use super::roll::PaperRow;
use super::state::{Cabinet, Phase, words_of};
use installation::text::wrap::Wrapper;

/// The least columns of the left side.
const LEAST: u16 = 25;

/// Columns of the paper before the first life says how many there are.
const USUAL: u16 = 32;

/// The least rows of a frame.
const ROWS: u16 = 20;

/// Rows of the printer below the paper: the slot, and its face.
const PRINTER: u16 = 2;

/// Rows of the light and of the button, with their frames: half of those beyond [`ROWS`]
/// more, up to the most. The other half is for what stderr says.
const BOX: u16 = 3;
const MOST_BOX: u16 = 14;

/// The keys, in rows of two: each fits into [`LEAST`] columns.
const KEYS: [(&str, &str); 4] =
    [("space press", "h hold"), ("+ - pace", "p printer"), ("e paper", "s save"), ("↑ ↓ scroll", "q leave")];

/// Draws the installation, and notes where its button is.
pub(super) fn draw(cabinet: &mut Cabinet, colours: Colours, now: Duration, buffer: &mut Buffer) {
    let area = buffer.area;
    // A blank column at each side of the paper, and one between it and the left side.
    let paper = if cabinet.columns == 0 { USUAL } else { cabinet.columns } + 2;
    if area.width < LEAST + 1 + paper || area.height < ROWS {
        cabinet.button = (0, 0, 0, 0);
        return too_small(LEAST + 1 + paper, area, buffer);
    }
    let height = area.height - PRINTER;
    // No more strips than there is paper for.
    let fit = usize::from((area.width - LEAST) / (paper + 1));
    let rows: Vec<_> = cabinet.roll.shown(usize::from(height) * fit).collect();
    let strips = rows.len().div_ceil(height.into()).max(1) as u16;
    let left = Rect { width: area.width - strips * (paper + 1), ..area };
    // The newest is at the right, above the slot.
    for (back, rows) in rows.rchunks(height.into()).enumerate() {
        let x = area.right() - paper - back as u16 * (paper + 1);
        draw_strip(rows, Rect { x, width: paper, height, ..area }, colours, buffer);
    }
    let slot = Rect { x: area.right() - paper, y: area.y + height, width: paper, height: PRINTER };
    draw_printer(cabinet, colours, slot, buffer);
    let side = LeftSide { cabinet, colours, now, area: left, buffer };
    let button = side.button_area();
    side.draw();
    cabinet.height = usize::from(height);
    cabinet.button = (button.x, button.y, button.width, button.height);
}

/// Says how large the terminal has to be.
fn too_small(columns: u16, area: Rect, buffer: &mut Buffer) {
    let words = [
        "The cabinet needs".to_owned(),
        format!("{columns} x {ROWS} characters;"),
        format!("here are {} x {}.", area.width, area.height),
        "q leaves.".to_owned(),
    ];
    for (row, words) in words.iter().enumerate().take(area.height.into()) {
        buffer.set_stringn(area.x, area.y + row as u16, words, area.width.into(), Style::new());
    }
}

/// The left side, while it is drawn.
struct LeftSide<'a> {
    cabinet: &'a Cabinet,
    colours: Colours,
    now: Duration,
    area: Rect,
    buffer: &'a mut Buffer,
}

impl LeftSide<'_> {
    /// Rows of the light and of the button.
    fn box_rows(&self) -> u16 {
        (BOX + (self.area.height - ROWS) / 2).min(MOST_BOX)
    }

    /// The light takes the smaller half.
    fn light_area(&self) -> Rect {
        let Rect { x, y, width, .. } = self.area;
        Rect { x, y: y + 2, width: (width - 1) * 2 / 5, height: self.box_rows() }
    }

    fn button_area(&self) -> Rect {
        let light = self.light_area();
        let width = self.area.width - light.width - 2;
        Rect { x: light.right() + 1, width, ..light }
    }

    fn draw(mut self) {
        let Self { cabinet, colours, now, area, .. } = self;
        let bold = Style::new().add_modifier(Modifier::BOLD);
        self.line(0, "TORMENT NEXUS", bold);
        self.light();
        self.button();
        let below = self.light_area().bottom() - area.y;
        self.line(below + 1, &self.phase(), colours.strong());
        self.gauge(below + 2);
        let tokens = match cabinet.used {
            0 => String::new(),
            used => format!("{used} of {} tokens", cabinet.size),
        };
        self.line(below + 3, &tokens, Style::new());
        let pace = cabinet.pace().map_or("max".to_owned(), |pace| format!("{pace}x"));
        let rate = cabinet.rate().map_or(String::new(), |rate| format!("{rate:.1} tokens/s, "));
        self.line(below + 4, &format!("{rate}pace {pace}"), Style::new());
        if let Some(exit) = cabinet.ended {
            self.line(below + 6, &words_of(exit), colours.strong());
        }
        let keys = area.height - KEYS.len() as u16;
        self.words(below + 7, keys - 1);
        for (row, (one, two)) in KEYS.iter().enumerate() {
            self.line(keys + row as u16, &format!("{one:<14}{two}"), colours.faint());
        }
        if let Some((held, of)) = cabinet.held(now) {
            let words = format!("held {} of {} s: slip", held.as_secs(), of.as_secs());
            self.line(below, &words, colours.strong());
        }
    }

    fn line(&mut self, row: u16, text: &str, style: Style) {
        let Rect { x, y, width, .. } = self.area;
        self.buffer.set_stringn(x, y + row, text, width.into(), style);
    }

    /// What the life does, and its number.
    fn phase(&self) -> String {
        let Cabinet { phase, life, says, .. } = self.cabinet;
        let number = life.map(|life| format!(" {life}")).unwrap_or_default();
        match phase {
            Phase::Loads => format!("loads, {} s", self.cabinet.time(self.now).as_secs()),
            Phase::Armed => format!("armed for life{number}"),
            Phase::Says => says.clone(),
            Phase::Over => "over; space starts it".to_owned(),
        }
    }

    /// A frame with a name; what is within it.
    fn frame(&mut self, area: Rect, name: &str) -> Rect {
        let block = Block::bordered().border_type(BorderType::Rounded).title(name);
        let within = block.inner(area);
        block.render(area, self.buffer);
        within
    }

    fn light(&mut self) {
        let within = self.frame(self.light_area(), "─light");
        let (level, style) = self.colours.light(self.cabinet.light);
        let field = level.to_string().repeat(within.width.into());
        for y in within.top()..within.bottom() {
            self.buffer.set_string(within.x, y, &field, style);
        }
    }

    fn button(&mut self) {
        let within = self.frame(self.button_area(), "─button");
        let words = match (self.cabinet.is_down(), self.cabinet.phase) {
            (true, _) => "down",
            (false, Phase::Armed) => "PRESS",
            _ => "up",
        };
        let style = match (self.cabinet.is_down(), self.cabinet.phase) {
            (true, _) => Style::new().add_modifier(Modifier::REVERSED),
            (false, Phase::Armed) => self.colours.strong(),
            _ => Style::new(),
        };
        let width = usize::from(within.width);
        for y in within.top()..within.bottom() {
            let words = if y == within.top() + within.height / 2 { words } else { "" };
            self.buffer.set_string(within.x, y, format!("{words:^width$}"), style);
        }
    }

    /// The fill as a gauge.
    fn gauge(&mut self, row: u16) {
        let share = self.cabinet.share();
        let words = format!(" {:>3.0} %", share * 100.0);
        let cells = usize::from(self.area.width) - words.len() - 3;
        // Eighths of a cell.
        let eighths = (share.clamp(0.0, 1.0) * (cells * 8) as f64).round() as usize;
        let mut bar = "█".repeat(eighths / 8);
        if !eighths.is_multiple_of(8) {
            bar.extend(['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get(eighths % 8 - 1));
        }
        let free = cells - bar.chars().count();
        self.line(row, &format!("▕{bar}{}▏{words}", " ".repeat(free)), Style::new());
    }

    /// What was saved, or the last lines of stderr, from one row to another.
    fn words(&mut self, from: u16, to: u16) {
        let width = usize::from(self.area.width);
        let (text, style) = match &self.cabinet.saved {
            Some(saved) => (saved.clone(), self.colours.strong()),
            None => (self.cabinet.words.iter().cloned().collect::<Vec<_>>().join("\n"), Style::new()),
        };
        let mut wrapped = String::new();
        let mut wrapper = Wrapper::new(width);
        wrapper.push(&text, &mut wrapped);
        wrapper.finish(&mut wrapped);
        let lines: Vec<&str> = wrapped.lines().collect();
        let room = usize::from(to - from);
        for (row, line) in lines.iter().skip(lines.len().saturating_sub(room)).enumerate() {
            self.line(from + row as u16, line, style);
        }
    }
}

/// A strip of paper, whose last row is at the bottom.
fn draw_strip(rows: &[&PaperRow], area: Rect, colours: Colours, buffer: &mut Buffer) {
    let first = area.bottom() - rows.len() as u16;
    for (y, row) in (first..).zip(rows) {
        draw_row(row, Rect { y, height: 1, ..area }, colours.paper(), buffer);
    }
}

/// The slot, and what the printer says.
fn draw_printer(cabinet: &Cabinet, colours: Colours, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width);
    buffer.set_string(area.x, area.y, "▀".repeat(width), colours.face());
    let words = match (cabinet.roll.back(), cabinet.is_unplugged, cabinet.is_out_of_paper) {
        (back, ..) if back > 0 => format!("▼ {back} rows more"),
        (_, true, _) => "unplugged".to_owned(),
        (_, _, true) => "no paper".to_owned(),
        _ => "printer".to_owned(),
    };
    buffer.set_string(area.x, area.y + 1, format!("{words:^width$}"), colours.face());
}

/// A row of paper, with a blank column at each side.
fn draw_row(row: &PaperRow, area: Rect, style: Style, buffer: &mut Buffer) {
    let width = usize::from(area.width);
    if *row == PaperRow::Cut {
        buffer.set_string(area.x, area.y, "╌".repeat(width), style);
        return;
    }
    buffer.set_string(area.x, area.y, " ".repeat(width), style);
    let PaperRow::Text(cells, centred) = row else { return };
    let taken: usize = cells.iter().map(|cell| cell.size.0).sum();
    let mut x = area.x + 1;
    if *centred {
        x += ((width - 2).saturating_sub(taken) / 2) as u16;
    }
    for cell in cells {
        if x >= area.right() {
            break;
        }
        // A terminal has one size: what is twice as large is bold and set apart.
        let is_bold = cell.bold || cell.size.0 > 1;
        let style = if is_bold { style.add_modifier(Modifier::BOLD) } else { style };
        buffer.set_string(x, area.y, cell.character.to_string(), style);
        x += cell.size.0 as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::state::{Event, KeyPress};
    use super::*;
    use installation::life::status::{Printing, Status};
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn frame(cabinet: &mut Cabinet, columns: u16, rows: u16) -> Vec<String> {
        let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
        draw(cabinet, Colours::None, Duration::ZERO, &mut buffer);
        let row = |y| (0..columns).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..rows).map(|y| row(y).trim_end().to_owned()).collect()
    }

    fn has(frame: &[String], words: &str) -> bool {
        frame.iter().any(|row| row.contains(words))
    }

    fn told(events: Vec<Event>) -> Cabinet {
        let mut cabinet = Cabinet::default();
        for event in events {
            cabinet.take(event, Duration::ZERO);
        }
        cabinet
    }

    /// What a printer makes of these bytes.
    fn printed(bytes: &[u8]) -> Event {
        let mut machine = Machine::new(9600, Duration::ZERO);
        machine.receive(bytes);
        Event::Printed(machine.print(None))
    }

    #[test]
    fn a_life_is_drawn_with_its_fill_its_light_and_its_number() {
        let mut cabinet = told(vec![
            Event::Status(Status::Living { number: Some(7), percent: 45, printer: Printing::Prints }),
            Event::Fill(921, 2048),
            Event::Light(1.0),
            Event::KeyPress(KeyPress::Faster),
        ]);
        for (columns, rows) in [(60, 20), (80, 24), (200, 60)] {
            let frame = frame(&mut cabinet, columns, rows);
            for words in ["life 7", "921 of 2048 tokens", "45 %", "│███████", "pace 2x", "q leave", "printer"]
            {
                assert!(has(&frame, words), "{words} is not in {frame:#?}");
            }
        }
    }

    #[test]
    fn the_paper_comes_out_above_the_slot_as_it_is_set() {
        let title = b"\x1b3\x34\x1ba\x01\x1d!\x11NEXUS\n\x1ba\0\x1d!\0\x1b3\x1ctext\n";
        let mut cabinet = told(vec![printed(title)]);
        let frame = frame(&mut cabinet, 60, 20);
        let paper: Vec<_> = frame.iter().map(|row| row.chars().skip(26).collect::<String>()).collect();
        assert_eq!(paper[15].trim_end(), " ".repeat(12) + "N E X U S", "{frame:#?}");
        assert_eq!(paper[17], " text");
        assert_eq!(paper[18], "▀".repeat(34));
    }

    #[test]
    fn a_wide_terminal_shows_the_paper_before_it_in_a_strip_beside() {
        let lines: String = (1..=20).map(|line| format!("\x1b3\x1cline {line}.\n")).collect();
        let mut cabinet = told(vec![printed(lines.as_bytes())]);
        let narrow = frame(&mut cabinet, 94, 20);
        assert!(has(&narrow, "line 20.") && !has(&narrow, "line 2."), "{narrow:#?}");
        let wide = frame(&mut cabinet, 95, 20);
        assert!(wide[17].contains("line 2.") && wide[17].ends_with("line 20."), "{wide:#?}");
        let mut short = told(vec![printed(b"one\n")]);
        frame(&mut short, 95, 20);
        assert_eq!(
            short.button.0 + short.button.2 + 35,
            94,
            "what is not needed for paper is the left side's"
        );
    }

    #[test]
    fn each_state_of_the_printer_and_the_end_of_a_life_are_named() {
        let fault = Event::Words("error: there is no model; download it".to_owned());
        let end = Event::Ended(ExitStatus::from_raw(1 << 8));
        for (events, words) in [
            (vec![Event::KeyPress(KeyPress::Paper)], &["no paper"][..]),
            (vec![Event::KeyPress(KeyPress::Plug)], &["unplugged"]),
            (vec![fault, end], &["exit 1: a fault", "error: there is no model;", "download it"]),
        ] {
            let frame = frame(&mut told(events), 60, 20);
            assert!(words.iter().all(|words| has(&frame, words)), "{frame:#?}");
        }
    }

    #[test]
    fn a_terminal_that_is_too_small_says_how_large_it_has_to_be() {
        for (columns, rows) in [(59, 20), (60, 19), (20, 3)] {
            let frame = frame(&mut Cabinet::default(), columns, rows);
            assert!(has(&frame, "The cabinet needs"), "{frame:?}");
        }
        assert!(has(&frame(&mut Cabinet::default(), 59, 19), "60 x 20 characters;"));
        frame(&mut Cabinet::default(), 1, 1);
    }
}
