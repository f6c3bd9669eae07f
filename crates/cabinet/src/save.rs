//! A receipt as files: its text, and its picture with one pixel for each dot.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::drawing;
use super::roll::PrintedReceipt;

/// The most receipts of one life that are saved in one folder.
const MOST: u32 = 1_000;

/// Saves it in `folder`, under a name with the life's number that is not taken. Returns
/// the path of the picture; the text is beside it.
pub(super) fn save(receipt: &PrintedReceipt, life: Option<u64>, folder: &Path) -> io::Result<PathBuf> {
    let life = life.map_or_else(|| "receipt".to_owned(), |life| format!("life-{life}"));
    for copy in 1..=MOST {
        let name = if copy == 1 { life.clone() } else { format!("{life}-{copy}") };
        let picture = folder.join(format!("nexus-{name}.png"));
        match File::create_new(&picture) {
            Ok(file) => {
                let lines: Vec<_> = receipt.lines.iter().map(|(top, line)| (*top, line)).collect();
                drawing::write_png(&lines, receipt.length, file)?;
                let text = picture.with_extension("txt");
                File::create(&text)?.write_all(receipt.text().as_bytes())?;
                return Ok(picture);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn no_receipt_is_written_over() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let names = [1, 2].map(|_| save(&PrintedReceipt::default(), Some(7), folder.path()).expect("saved"));
        let names = names.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned());
        assert_eq!(names, ["nexus-life-7.png", "nexus-life-7-2.png"]);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 4);
        let absent = folder.path().join("absent");
        assert!(save(&PrintedReceipt::default(), None, &absent).is_err());
    }
}
