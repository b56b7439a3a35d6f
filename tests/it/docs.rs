//! README.md and docs/ against the program: what a reader copies from them must work, and what there is must be named in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::process::run;
use crate::support::world::World;

const MANIFEST: &str = include_str!("../../Cargo.toml");

/// A Markdown file for users: its path from the root, its text.
struct Page {
    path: PathBuf,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md, its companions, and every page of docs/.
fn pages() -> Vec<Page> {
    let mut paths = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(PathBuf::from).to_vec();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                paths.push(path);
            }
        }
    }
    assert!(paths.len() > 10, "only {paths:?}");
    paths.into_iter().map(|path| Page { text: fs::read_to_string(root().join(&path)).unwrap(), path }).collect()
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// A fenced block: the words after its backticks, where it begins, its text.
pub(crate) struct Block {
    pub(crate) info: Vec<String>,
    pub(crate) place: String,
    pub(crate) text: String,
}

fn blocks(page: &Page) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in page.text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                let info = info.split_whitespace().map(str::to_owned).collect();
                open = Some(Block { info, place: format!("{}:{}", page.path.display(), at + 1), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of {} is not closed", page.path.display());
    blocks
}

/// The blocks of all pages whose info begins with these words; there is at least one.
pub(crate) fn of(kind: &[&str]) -> Vec<Block> {
    let begins =
        |block: &Block| kind.iter().enumerate().all(|(at, word)| block.info.get(at).is_some_and(|i| i == word));
    let found: Vec<Block> = pages().iter().flat_map(blocks).filter(begins).collect();
    assert!(!found.is_empty(), "no page has a block {kind:?}");
    found
}

fn landfall(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let ran = run(folder, args);
    (ran.code, ran.stdout + &ran.stderr)
}

#[test]
fn configurations_and_policies_are_valid() {
    for (kind, name) in [("config", "landfall.yaml"), ("policy", "policies.yaml")] {
        for block in of(&["yaml", kind]) {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(name), &block.text).unwrap();
            let (code, said) = landfall(folder.path(), &["check", "--strict", name]);
            assert_eq!(code, Some(0), "{}: {said}", block.place);
        }
    }
}

#[test]
fn every_yaml_block_is_checked_by_one_of_these_tests() {
    let known = |block: &Block| {
        matches!(block.info.get(1).map(String::as_str), Some("config" | "policy"))
            || block.info.get(1).is_some_and(|i| i.starts_with("file="))
    };
    for block in of(&["yaml"]) {
        assert!(known(&block), "{}: say what this block is", block.place);
    }
}

#[test]
fn pins_are_found_where_it_says_so() {
    let mut scanned = 0;
    for block in of(&["yaml"]) {
        let option = |key: &str| block.info.iter().find_map(|word| word.strip_prefix(key));
        let Some(name) = option("file=") else { continue };
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), &block.text).unwrap();
        let (code, said) = landfall(folder.path(), &["scan", ".", "-o", "json"]);
        assert_eq!(code, Some(0), "{}: {said}", block.place);
        let found: Value = serde_json::from_str(&said).unwrap();
        let count = found["pins"].as_array().unwrap().len().to_string();
        assert_eq!(Some(count.as_str()), option("pins="), "{}: {said}", block.place);
        assert_eq!(found["skipped"].as_array().unwrap().len(), 0, "{}: {said}", block.place);
        scanned += 1;
    }
    assert!(scanned > 1, "only {scanned} blocks of files found");
}

/// The words of a command line as a shell would see them, up to a comment, pipe or redirection.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '#' | '|' | '>' | '&') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_line_is_one_that_the_program_knows() {
    let folder = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for block in of(&["sh"]) {
        for line in block.text.lines() {
            let words = words(line);
            let program = words.iter().position(|word| word == "landfall" || word == "--").filter(|at| {
                *at == 0
                    || words.first().is_some_and(|first| first == "cargo") && words[*at] == "--" && words[1] == "run"
            });
            let Some(at) = program else { continue };
            let mut args: Vec<&str> = words[at + 1..].iter().map(String::as_str).collect();
            // Help is printed once everything before it was understood.
            args.push("--help");
            let (code, said) = landfall(folder.path(), &args);
            assert_eq!(code, Some(0), "{}: {line}: {said}", block.place);
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} commands found");
}

#[test]
fn commands_named_in_the_text_exist() {
    let (_, help) = landfall(Path::new("."), &["--help"]);
    let known: BTreeSet<&str> =
        help.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    let mut checked = 0;
    for page in pages() {
        for after in page.text.split("`landfall ").skip(1) {
            let name = after.split([' ', '`', '\n']).next().unwrap();
            assert!(known.contains(name), "{}: `landfall {name}`", page.path.display());
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} commands found");
}

/// Whether two JSON values have the same keys all the way down; `null` stands for anything, lists for their first item.
fn same_shape(shown: &Value, real: &Value, at: &str) {
    match (shown, real) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(keys(a), keys(b), "keys of {at}");
            for (key, value) in a {
                same_shape(value, &b[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if let (Some(a), Some(b)) = (a.first(), b.first()) {
                same_shape(a, b, &format!("{at}[0]"));
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (a, b) => assert_eq!(std::mem::discriminant(a), std::mem::discriminant(b), "{at}: {a} is really {b}"),
    }
}

#[test]
fn the_report_is_the_one_that_apply_prints() {
    let world = World::web().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let real = world.landfall(&["apply", "-o", "json"]).ends(0).json();
    for block in of(&["json", "apply"]) {
        same_shape(&serde_json::from_str(&block.text).unwrap(), &real, "report");
    }
    let message = of(&["text"]).into_iter().find(|block| block.text.contains("Landfall-Update")).unwrap().text;
    let commit = world.git(&["log", "-1", "--format=%B", "main"]);
    for line in message.lines().filter_map(|line| line.split_once(": ").filter(|(key, _)| key.starts_with("Landfall-")))
    {
        assert!(commit.contains(&format!("\n{}: ", line.0)), "{} is not in {commit}", line.0);
    }
}

/// Every key of an object anywhere in a JSON Schema.
fn keys(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                into.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| keys(value, into));
        }
        Value::Array(list) => list.iter().for_each(|value| keys(value, into)),
        _ => {}
    }
}

#[test]
fn every_key_is_in_the_reference() {
    // Caps are written with the keys of policies.
    let policies = "docs/reference/policies.md";
    for (kind, pages) in [
        ("config", &["docs/reference/configuration.md", "docs/how-to/alerts.md", policies][..]),
        ("policy", &[policies]),
    ] {
        let reference: String = pages.iter().map(|path| page(path)).collect();
        let (_, schema) = landfall(Path::new("."), &["schema", kind]);
        let mut names = BTreeSet::new();
        keys(&serde_json::from_str(&schema).unwrap(), &mut names);
        assert!(names.len() > 10, "{names:?}");
        for name in &names {
            let word = |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| word == name);
            let named = reference.split('`').skip(1).step_by(2).any(word);
            assert!(named, "`{name}` of the schema `{kind}` is not in {pages:?}");
        }
    }
}

#[test]
fn every_direct_dependency_has_its_reason() {
    let section = MANIFEST.split("[dependencies]\n").nth(1).unwrap().split("\n\n[").next().unwrap();
    let manifest: BTreeSet<&str> =
        section.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).collect();
    let table = page("docs/explanation/dependencies.md");
    let mut explained = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with('|') && line.contains('`')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        // In the first table another name stands before them.
        let [.., crates, reason] = cells[..] else { panic!("crates and their reason: {row}") };
        assert!(!reason.is_empty() && !crates.is_empty(), "no reason: {row}");
        explained.extend(crates.split('`').skip(1).step_by(2));
    }
    assert_eq!(explained, manifest, "the table of dependencies and Cargo.toml");
}

/// The anchors of a page's headings, as forges and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let heading = |line: &str| line.trim_start_matches(['#', ' ']).to_lowercase();
    let letters = |text: String| text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
    text.lines().filter(|line| line.starts_with('#')).map(|line| letters(heading(line)).replace(' ', "-")).collect()
}

#[test]
fn links_lead_somewhere() {
    for Page { path, text } in pages() {
        for after in text.split("](").skip(1) {
            let target = after.split(')').next().unwrap();
            if target.starts_with("https://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(root().join(&to).exists(), "{}: {target}", path.display());
            let known = anchor.is_empty() || anchors(&fs::read_to_string(root().join(&to)).unwrap()).contains(anchor);
            assert!(known, "{}: {target}: no such heading", path.display());
        }
    }
}

#[test]
fn the_readme_stays_short_and_its_pictures_small() {
    let readme = page("README.md");
    assert!(readme.len() <= 10_000, "README.md has {} bytes; move something to docs/", readme.len());
    let mut pictures = 0;
    for after in readme.split("](docs/").skip(1) {
        let target = after.split(')').next().unwrap();
        if target.ends_with(".png") || target.ends_with(".svg") {
            let size = fs::metadata(root().join("docs").join(target)).unwrap().len();
            assert!(size < 300_000, "{target} has {size} bytes");
            pictures += 1;
        }
    }
    assert!(pictures >= 2, "a picture of the page, and a recording of the demo");
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let summary = page("docs/SUMMARY.md");
    for Page { path, .. } in pages() {
        let Ok(path) = path.strip_prefix("docs") else { continue };
        let listed = path.ends_with("SUMMARY.md") || summary.contains(&format!("]({})", path.display()));
        assert!(listed, "docs/SUMMARY.md does not list {}", path.display());
    }
}
