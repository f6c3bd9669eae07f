//! The figures of a run, as a table in Markdown.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Numbers whose distribution is told.
#[derive(Debug, Default, Clone)]
pub struct Numbers(Vec<f64>);

impl Numbers {
    pub fn add(&mut self, number: f64) {
        self.0.push(number);
    }

    fn at(sorted: &[f64], share: f64) -> f64 {
        sorted[((sorted.len() - 1) as f64 * share).round() as usize]
    }

    /// The number in the middle.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        Self::at(&sorted, 0.5)
    }

    /// The first and the last tenth.
    pub fn tenths(&self) -> (Self, Self) {
        let tenth = (self.0.len() / 10).max(1);
        (Self(self.0[..tenth].to_vec()), Self(self.0[self.0.len() - tenth..].to_vec()))
    }

    /// A row: median, 95th percentile, maximum, and how many.
    pub fn row(&self, name: &str, decimals: usize) -> String {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(&max) = sorted.last() else { return format!("| {name} | | | | 0 |\n") };
        let (median, most) = (Self::at(&sorted, 0.5), Self::at(&sorted, 0.95));
        let count = sorted.len();
        format!("| {name} | {median:.decimals$} | {most:.decimals$} | {max:.decimals$} | {count} |\n")
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
pub fn table(head: [&str; 2], rows: impl IntoIterator<Item = (String, String)>) -> String {
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
    assert_eq!(numbers.row("x", 0), "| x | 51 | 96 | 101 | 101 |\n");
    let (first, last) = numbers.tenths();
    assert_eq!((first.median(), last.median()), (97.0, 6.0));
}
