//! The key of the prompt state: any change of the code that computes changes
//! it, and the build fails where one of its sources is missing.

#[path = "../../build/key.rs"]
mod key;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const TARGET: [String; 0] = [];

/// A copy of the sources that the key is made of, and the paths of the copied
/// files.
fn copy() -> (TempDir, Vec<PathBuf>) {
    let folder = TempDir::new().expect("a temporary folder");
    let mut files = Vec::new();
    for source in key::SOURCES {
        copy_into(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(source),
            &folder.path().join(source),
            &mut files,
        );
    }
    (folder, files)
}

fn copy_into(from: &Path, to: &Path, files: &mut Vec<PathBuf>) {
    if from.is_dir() {
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry").path();
            copy_into(&entry, &to.join(entry.file_name().expect("a name")), files);
        }
    } else {
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(from, to).expect("a copy");
        files.push(to.to_owned());
    }
}

fn key_of(folder: &TempDir) -> u64 {
    key::of(folder.path(), &TARGET).expect("all sources are there")
}

#[test]
fn an_edit_of_any_file_changes_the_key_and_taking_it_back_restores_it() {
    let (folder, files) = copy();
    let before = key_of(&folder);
    for file in files {
        let content = fs::read(&file).expect("a file");
        fs::write(&file, [&content[..], b"\n"].concat()).expect("an edit");
        assert_ne!(key_of(&folder), before, "{file:?}");
        fs::write(&file, content).expect("the file as it was");
        assert_eq!(key_of(&folder), before, "{file:?}");
    }
}

#[test]
fn a_source_that_is_missing_fails_the_build_and_is_named() {
    for source in key::SOURCES {
        let (folder, _) = copy();
        let path = folder.path().join(source);
        if path.is_dir() {
            fs::remove_dir_all(path).expect("a folder");
        } else {
            fs::remove_file(path).expect("a file");
        }
        let error = key::of(folder.path(), &TARGET).expect_err(source).to_string();
        assert!(error.contains(source) && error.contains("build/key.rs"), "{error}");
    }
}

#[test]
fn another_target_has_another_key() {
    let (folder, _) = copy();
    assert_ne!(key::of(folder.path(), &["aarch64".to_owned()]).expect("a key"), key_of(&folder));
}
