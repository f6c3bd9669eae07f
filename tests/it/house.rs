//! The rule of `src/lib.rs`: a room imports only rooms below it. The test reads
//! the source, so that a new `use` that breaks the rule fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may import, as `src/lib.rs` draws them.
const MAY_IMPORT: [(&str, &[&str]); 15] = [
    ("main", &["cli", "life"]),
    (
        "lib",
        &[
            "cabinet",
            "check",
            "cli",
            "panel",
            "paper",
            "mind",
            "model_file",
            "life",
            "state",
            "board",
            "text",
        ],
    ),
    ("check", &["cli", "panel", "paper", "mind", "model_file", "life", "state", "board", "text"]),
    ("cabinet", &["cli", "panel", "paper", "life", "state", "board", "text"]),
    ("cli", &["panel", "paper", "mind", "model_file", "life", "state", "board", "text"]),
    ("mind", &["model_file", "life", "state", "board", "kernels", "text"]),
    ("panel", &["life", "state", "board", "text"]),
    ("paper", &["life", "state", "board", "text"]),
    ("model_file", &["life", "state", "board", "text"]),
    ("life", &["board", "text"]),
    ("state", &["board", "text"]),
    ("board", &[]),
    ("text", &[]),
    ("kernels", &[]),
    ("build", &[]),
];

/// The most floors that there may be, from a room that imports nothing up to
/// main.
const MOST_FLOORS: usize = 8;

/// The most lines that a file may have, without its tests.
const MOST_LINES: usize = 450;

struct Source {
    path: PathBuf,
    /// The text of the file without comments and tests.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read(&root, &root, &mut sources);
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
    let before_tests = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let before_tests =
        before_tests.split("\n#[cfg(test)]\npub(crate) mod tests {").next().unwrap_or_default();
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

/// The rooms that `code` names after `crate::` or, in main, after the library's
/// name, alone or in braces.
fn rooms_in(code: &str) -> BTreeSet<String> {
    let name = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let mut rooms = BTreeSet::new();
    for prefix in ["crate::", "torment_nexus::"] {
        for (at, _) in code.match_indices(prefix) {
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
    }
    rooms
}

/// The rooms that `code` imports and `room` may not.
fn forbidden(room: &str, code: &str) -> Vec<String> {
    let (_, may) = MAY_IMPORT.iter().find(|(name, _)| *name == room).expect("every room is in the rule");
    let is_room = |name: &String| MAY_IMPORT.iter().any(|(room, _)| room == name);
    let imported = rooms_in(code).into_iter().filter(|name| name != room).filter(is_room);
    imported.filter(|name| !may.contains(&name.as_str())).collect()
}

#[test]
fn a_room_imports_only_the_rooms_below_it() {
    for Source { path, code } in sources() {
        let forbidden = forbidden(&room_of(&path), &code);
        assert!(
            forbidden.is_empty(),
            "src/{} imports {forbidden:?}: see the rule in src/lib.rs",
            path.display()
        );
    }
}

#[test]
fn an_import_that_the_rule_forbids_is_found_however_it_is_written() {
    for (room, code) in [
        ("paper", "use crate::panel::Panel;"),
        ("life", "fn f(_: crate::paper::printer::Printer) {}"),
        ("text", "use crate::{life::ending::Ending, state};"),
        ("life", "use crate::kernels::hooks;"),
        ("panel", "    use crate::cli::Cli;"),
    ] {
        assert!(!forbidden(room, &code_of(code)).is_empty(), "{room}: {code}");
    }
    assert!(forbidden("mind", "use crate::model_file::name::ModelFile;").is_empty());
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
    let imports = imports(&sources());
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
        assert!(!reached(file).contains(file), "src/{file} imports itself by way of {:?}", reached(file));
    }
    let edges: usize = imports.values().map(BTreeSet::len).sum();
    assert!(edges > 100, "{edges} imports were found: the test reads them no more");
}

#[test]
fn there_are_at_most_eight_floors_and_this_is_the_picture() {
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Source { path, code } in sources() {
        let room = room_of(&path);
        let imported = rooms_in(&code).into_iter().filter(|name| *name != room);
        let imported = imported.filter(|name| MAY_IMPORT.iter().any(|(room, _)| room == name));
        rooms.entry(room.clone()).or_default().extend(imported);
    }
    // Main names its rooms through the library, which is below it therefore.
    rooms.entry("main".to_owned()).or_default().insert("lib".to_owned());
    fn floor(room: &str, rooms: &BTreeMap<String, BTreeSet<String>>) -> usize {
        1 + rooms[room].iter().map(|below| floor(below, rooms)).max().unwrap_or(0)
    }
    let mut floors: Vec<_> = rooms.keys().map(|room| (floor(room, &rooms), room)).collect();
    floors.sort_by(|a, b| b.cmp(a));
    for (floor, room) in &floors {
        println!("floor {floor}  {room} -> {}", rooms[*room].iter().cloned().collect::<Vec<_>>().join(" "));
    }
    assert!(floors[0].0 <= MOST_FLOORS, "{floors:?}");
}

#[test]
fn no_file_is_longer_than_it_can_be_read() {
    for Source { path, .. } in sources() {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&path));
        let text = text.expect("a source");
        let lines = text.split("\n#[cfg(test)]\n").next().unwrap_or_default().lines().count();
        assert!(lines <= MOST_LINES, "src/{} has {lines} lines without its tests", path.display());
    }
}

#[test]
fn every_folder_opens_with_a_map_that_names_each_of_its_files() {
    for Source { path, .. } in sources() {
        let map = path.parent().expect("a folder").join("mod.rs");
        let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&map);
        if path.ends_with("mod.rs") || !map.exists() {
            continue;
        }
        let text = fs::read_to_string(&map).expect("a map");
        let name = path.file_stem().expect("a name").to_string_lossy();
        let row = [format!("//! | [`{name}`] |"), format!("//! | `{name}` |")];
        assert!(row.iter().any(|row| text.contains(row.as_str())), "{} does not name {name}", map.display());
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/reliability.md")).expect("a page");
    let code = text_below(&root.join("src")) + &text_below(&root.join("tests"));
    let named = page.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 3);
    let named: Vec<_> = named.collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(code.contains(&format!("fn {name}(")), "{name} is no test");
    }
}
