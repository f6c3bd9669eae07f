//! The figures of a run, as a table in Markdown.

use std::fmt::{Display, Write as _};
use std::fs;
use std::path::Path;

/// Numbers whose distribution is told.
#[derive(Debug, Default, Clone)]
pub struct Numbers(Vec<f64>);

impl Numbers {
    pub fn add(&mut self, number: f64) {
        self.0.push(number);
    }

    /// The number below which this share of all is.
    fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * share).round() as usize]
    }

    /// The medians of the first and of the last tenth.
    pub fn tenths(&self) -> (f64, f64) {
        let tenth = (self.0.len() / 10).max(1);
        let median = |part: &[f64]| Self(part.to_vec()).at(0.5);
        (median(&self.0[..tenth]), median(&self.0[self.0.len() - tenth..]))
    }

    /// A row: median, 95th percentile, maximum, and how many.
    pub fn row(&self, name: &str) -> String {
        if self.0.is_empty() {
            return format!("| {name} | | | | 0 |\n");
        }
        let [median, most, max] = [0.5, 0.95, 1.0].map(|share| self.at(share));
        format!("| {name} | {median:.0} | {most:.0} | {max:.0} | {} |\n", self.0.len())
    }
}

/// The head of a table of [`Numbers::row`].
pub const DISTRIBUTION: &str = "| | median | 95 % below | greatest | of |\n|---|---|---|---|---|\n";

/// Writes the text to `target/soak/NAME.md` and to stdout.
pub fn publish(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/soak");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name).with_extension("md"), text).expect("a file");
    println!("{text}");
}

/// A table with two columns.
pub fn table(head: [&str; 2], rows: impl IntoIterator<Item = (impl Display, String)>) -> String {
    let mut text = format!("| {} | {} |\n|---|---|\n", head[0], head[1]);
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text
}

#[test]
fn the_distribution_of_a_hundred_numbers_is_told() {
    let mut numbers = Numbers::default();
    (1..=101).rev().for_each(|number| numbers.add(f64::from(number)));
    assert_eq!(numbers.row("x"), "| x | 51 | 96 | 101 | 101 |\n");
    assert_eq!(numbers.tenths(), (97.0, 6.0));
}
