//! The rules of the house: the compiler keeps the crates apart, and this reads their
//! source for the rooms within one. A new `use` that breaks a rule fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates, by their folders of source.
const CRATES: [&str; 5] =
    ["src", "crates/cabinet/src", "crates/installation/src", "crates/kernels/src", "crates/model-file/src"];

/// Each room and the rooms of its crate that it may import, as the crate's `lib.rs`
/// draws them.
const MAY_IMPORT: [(&str, &[&str]); 9] = [
    ("check", &["cli", "mind"]),
    ("cli", &["mind"]),
    ("mind", &[]),
    ("panel", &["life", "state", "board", "text"]),
    ("paper", &["life", "state", "board", "text"]),
    ("life", &["board", "text"]),
    ("state", &["board", "text"]),
    ("board", &[]),
    ("text", &[]),
];

/// The most lines that a file may have, without its tests.
const MOST_LINES: usize = 450;

struct Source {
    /// Relative to its crate's folder of source.
    path: PathBuf,
    /// The text of the file without comments and tests.
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a crate.
fn sources(of: &str) -> Vec<Source> {
    let folder = root().join(of);
    let mut sources = Vec::new();
    read(&folder, &folder, &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn read(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read(root, &path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            let code = code_of(&fs::read_to_string(&path).expect("a source"));
            sources.push(Source { path: path.strip_prefix(root).expect("in src").to_owned(), code });
        }
    }
}

/// The part of a source that is compiled into the program: no comments, no
/// inline tests.
fn code_of(text: &str) -> String {
    let heads = ["", "pub(crate) ", "pub(super) "].map(|seen| format!("\n#[cfg(test)]\n{seen}mod tests {{"));
    let before_tests = heads.iter().fold(text, |text, head| text.split(&**head).next().unwrap_or(text));
    let lines = before_tests.lines().map(|line| match line.trim_start().starts_with("//") {
        true => "",
        false => line.split(" // ").next().unwrap_or_default(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The room of a file: `paper` for `paper/press.rs`, `cli` for `cli.rs`.
fn room_of(path: &Path) -> String {
    let first = path.components().next().expect("a file").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that `code` names after `crate::`, alone or in braces.
fn rooms_in(code: &str) -> BTreeSet<String> {
    let name = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let mut rooms = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(several) => {
                let several = several.split('}').next().unwrap_or_default();
                rooms.extend(several.split(',').map(|one| name(one.trim())));
            }
            None => {
                rooms.insert(name(rest));
            }
        }
    }
    rooms
}

/// The rooms that `code` imports and `room` may not. A file that is no room, such as
/// `lib.rs`, may import any.
fn forbidden(room: &str, code: &str) -> Vec<String> {
    let Some((_, may)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else { return Vec::new() };
    let is_room = |name: &String| MAY_IMPORT.iter().any(|(room, _)| room == name);
    let imported = rooms_in(code).into_iter().filter(|name| name != room).filter(is_room);
    imported.filter(|name| !may.contains(&name.as_str())).collect()
}

#[test]
fn a_room_imports_only_the_rooms_below_it() {
    for of in ["src", "crates/installation/src"] {
        for Source { path, code } in sources(of) {
            let room = room_of(&path);
            let is_folder = path.components().count() > 1;
            assert!(
                !is_folder || MAY_IMPORT.iter().any(|(name, _)| *name == room),
                "{of}/{room} is a room without a rule: give it one here and in {of}/lib.rs"
            );
            let forbidden = forbidden(&room, &code);
            assert!(
                forbidden.is_empty(),
                "{of}/{} imports {forbidden:?}: see the rule in {of}/lib.rs",
                path.display()
            );
        }
    }
}

#[test]
fn an_import_that_the_rule_forbids_is_found_however_it_is_written() {
    for (room, code) in [
        ("paper", "use crate::panel::Panel;"),
        ("life", "fn f(_: crate::paper::printer::Printer) {}"),
        ("text", "use crate::{life::ending::Ending, state};"),
        ("mind", "    use crate::cli::Cli;"),
    ] {
        assert!(!forbidden(room, &code_of(code)).is_empty(), "{room}: {code}");
    }
    assert!(forbidden("check", "use crate::mind::model::Model;").is_empty());
    assert!(forbidden("text", &code_of("// crate::life is above")).is_empty());
}

/// The files that each file imports, in its room and beyond. A `mod.rs` imports
/// none here: it only declares its files.
fn imports(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let module = |path: &Path| path.with_extension("").display().to_string().replace('/', "::");
    let modules: BTreeSet<String> = sources.iter().map(|source| module(&source.path)).collect();
    let known = |path: &str| -> Option<String> {
        // `paper::printer::Printer` is in the file `paper::printer`.
        let parts: Vec<_> = path.split("::").collect();
        (1..=parts.len()).rev().map(|length| parts[..length].join("::")).find(|path| modules.contains(path))
    };
    let mut all = BTreeMap::new();
    for Source { path, code } in sources {
        let own = module(path);
        let folder = own.rsplit_once("::").map_or("", |(folder, _)| folder);
        let above = folder.rsplit_once("::").map_or("", |(above, _)| above);
        let mut found = BTreeSet::new();
        if !path.ends_with("mod.rs") {
            let flat = code.replace('\n', " ");
            for (prefix, base) in [("crate::", ""), ("super::super::", above), ("super::", folder)] {
                for (at, _) in flat.match_indices(prefix) {
                    if prefix == "super::" && flat[..at].ends_with("super::") {
                        continue;
                    }
                    let path: String = flat[at + prefix.len()..]
                        .chars()
                        .take_while(|c| c.is_ascii_alphanumeric() || "_:".contains(*c))
                        .collect();
                    let whole = if base.is_empty() { path } else { format!("{base}::{path}") };
                    found.extend(known(whole.trim_end_matches(':')).filter(|other| *other != own));
                }
            }
        }
        all.insert(own, found);
    }
    all
}

#[test]
fn no_file_imports_one_that_imports_it() {
    let mut edges = 0;
    for of in CRATES {
        let imports = imports(&sources(of));
        let reached = |from: &str| {
            let mut reached = BTreeSet::new();
            let mut next: Vec<_> = imports[from].iter().collect();
            while let Some(file) = next.pop() {
                if reached.insert(file.clone()) {
                    next.extend(&imports[file]);
                }
            }
            reached
        };
        for file in imports.keys() {
            assert!(
                !reached(file).contains(file),
                "{of}/{file} imports itself by way of {:?}",
                reached(file)
            );
        }
        edges += imports.values().map(BTreeSet::len).sum::<usize>();
    }
    assert!(edges > 100, "{edges} imports were found: the test reads them no more");
}

#[test]
fn no_file_is_longer_than_it_can_be_read() {
    for of in CRATES {
        for Source { path, .. } in sources(of) {
            let text = fs::read_to_string(root().join(of).join(&path)).expect("a source");
            let lines = text.split("\n#[cfg(test)]\n").next().unwrap_or_default().lines().count();
            assert!(lines <= MOST_LINES, "{of}/{} has {lines} lines without its tests", path.display());
        }
    }
}

#[test]
fn every_folder_opens_with_a_map_that_names_each_of_its_files() {
    for of in CRATES {
        for Source { path, .. } in sources(of) {
            let folder = root().join(of).join(path.parent().expect("a folder"));
            let maps = ["mod.rs", "lib.rs"].map(|name| folder.join(name));
            let Some(map) = maps.iter().find(|map| map.exists()) else { continue };
            if path.ends_with("mod.rs") || path.ends_with("lib.rs") {
                continue;
            }
            let text = fs::read_to_string(map).expect("a map");
            let name = path.file_stem().expect("a name").to_string_lossy();
            let row =
                [format!("//! | [`{name}`] |"), format!("//! | `{name}` |"), format!("//! | `{name}.rs` |")];
            assert!(
                row.iter().any(|row| text.contains(row.as_str())),
                "{} does not name {name}",
                map.display()
            );
        }
    }
}

/// The text of all Rust files below `folder`.
fn text_below(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .map(|path| match path.extension() {
            _ if path.is_dir() => text_below(&path),
            Some(ending) if ending == "rs" => fs::read_to_string(&path).expect("a source"),
            _ => String::new(),
        })
        .collect()
}

#[test]
fn every_test_that_the_page_on_reliability_names_is_there() {
    let page = fs::read_to_string(root().join("docs/reliability.md")).expect("a page");
    let code = ["src", "crates", "tests"].map(|folder| text_below(&root().join(folder))).concat();
    let named = page.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 3);
    let named: Vec<_> = named.collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(code.contains(&format!("fn {name}(")), "{name} is no test");
    }
}
