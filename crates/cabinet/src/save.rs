//! A receipt as files: its text, and its picture with one pixel for each dot.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::drawing;
use super::roll::PrintedReceipt;

/// The most receipts of one life that are saved in one folder.
const MOST: u32 = 1_000;

/// Saves it in `folder`, under the first name with the life's number of which there is
/// neither file. Returns the path of the picture; the text is beside it. After an error there
/// is neither.
pub(super) fn save(receipt: &PrintedReceipt, life: Option<u64>, folder: &Path) -> io::Result<PathBuf> {
    let life = life.map_or_else(|| "receipt".to_owned(), |life| format!("life-{life}"));
    for copy in 1..=MOST {
        let name = if copy == 1 { life.clone() } else { format!("{life}-{copy}") };
        let picture = folder.join(format!("nexus-{name}.png"));
        let text = picture.with_extension("txt");
        // Neither follows a link that is there.
        let drawn = match File::create_new(&picture) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            created => created?,
        };
        let written = File::create_new(&text);
        let is_taken = written.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists);
        let saved = written.and_then(|written| write(receipt, drawn, written).inspect_err(|_| remove(&text)));
        match saved.inspect_err(|_| remove(&picture)) {
            Err(_) if is_taken => {}
            saved => return saved.map(|()| picture),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

fn write(receipt: &PrintedReceipt, picture: File, mut text: File) -> io::Result<()> {
    let lines: Vec<_> = receipt.lines.iter().map(|(top, line)| (*top, line)).collect();
    drawing::write_png(&lines, receipt.length, picture)?;
    text.write_all(receipt.text().as_bytes())
}

/// Removes a file of ours that has not all of a receipt.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_receipt_is_written_over_nor_another_file_of_its_name_nor_where_a_link_leads() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("nexus-life-7-2.txt"), "mine").expect("a file");
        fs::write(at("letter"), "mine").expect("a file");
        symlink(at("letter"), at("nexus-life-7-3.txt")).expect("a link");
        symlink(at("absent"), at("nexus-life-7-4.png")).expect("a link");
        let names = [1, 2].map(|_| save(&PrintedReceipt::default(), Some(7), folder.path()).expect("saved"));
        assert_eq!(names, [at("nexus-life-7.png"), at("nexus-life-7-5.png")]);
        for theirs in ["nexus-life-7-2.txt", "letter"] {
            assert_eq!(fs::read_to_string(at(theirs)).expect("a file"), "mine", "{theirs}");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 4 + 2 * 2);
        assert!(save(&PrintedReceipt::default(), None, &at("absent")).is_err());
    }
}
