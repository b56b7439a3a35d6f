//! The architecture of `src/lib.rs` as a test: which module may name which.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Module → modules it may name by `crate::`. The shell's modules may name more; nobody may name `cli` but `main`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("select", &["model"]),
    ("policy", &["model", "select"]),
    ("overlay", &["model"]),
    ("init", &["model", "overlay"]),
    ("verify", &["model"]),
    ("election", &["model"]),
    ("plan", &["model", "select", "policy", "overlay"]),
    ("landing", &["model", "policy", "overlay", "plan"]),
    ("message", &["model", "select", "policy", "overlay", "plan", "landing"]),
    ("page", &["model", "policy", "plan", "message"]),
    ("document", &["model", "policy"]),
    // Of the edges, config names what each kind of forge, receiver and login is written like.
    ("config", &["model", "policy", "select", "document", "forge", "notify", "registry", "webhooks"]),
    ("http", &["model", "meter"]),
    ("process", &[]),
    ("meter", &["model"]),
    ("registry", &["model", "http", "process", "document"]),
    ("git", &["model", "overlay", "process", "meter"]),
    // The local forge keeps pull requests in the Git repository itself.
    ("forge", &["model", "http", "document", "git"]),
    ("cluster", &["model", "process"]),
    ("notify", &["model", "http", "document"]),
    ("store", &["model"]),
    ("webhooks", &["http", "document"]),
    (
        "daemon",
        &[
            "model", "select", "policy", "overlay", "plan", "landing", "message", "config", "registry", "git", "forge",
            "cluster", "notify", "store", "document", "webhooks", "verify", "election",
        ],
    ),
    ("server", &["model", "config", "daemon", "page", "webhooks", "meter"]),
    (
        "demo",
        &[
            "model", "select", "policy", "overlay", "plan", "landing", "message", "config", "registry", "git", "forge",
            "cluster", "notify", "store", "document", "daemon", "cli",
        ],
    ),
    (
        "cli",
        &[
            "model", "select", "policy", "overlay", "plan", "landing", "message", "config", "registry", "git", "forge",
            "cluster", "notify", "store", "document", "daemon", "demo", "server", "webhooks", "init", "meter",
            "election",
        ],
    ),
];

/// Words that a pure module may not contain: each is a way to the outside.
const IMPURE: &[&str] = &[
    "std::fs",
    "TcpStream",
    "std::env",
    "std::process",
    "tokio::",
    "reqwest::",
    "gix::",
    "SystemTime",
    "Timestamp::now",
    "Instant::now",
];
const PURE: &[&str] =
    &["model", "select", "policy", "overlay", "plan", "landing", "message", "init", "page", "verify", "election"];

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn module_of(path: &Path) -> String {
    let relative = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Whether a file holds tests alone: `tests.rs`, or anything in a folder `tests`.
fn is_test(path: &Path) -> bool {
    let relative = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
    path.ends_with("tests.rs") || relative.components().any(|part| part.as_os_str() == "tests")
}

/// The lines of a file, numbered, without the items under `#[cfg(test)]`, wherever they stand. The code is formatted, so that
/// an item ends with its brace at its own indent, or with the line that has its semicolon.
fn production(text: &str) -> Vec<(usize, &str)> {
    let mut kept = Vec::new();
    let mut lines = text.lines().zip(1..).map(|(line, number)| (number, line));
    while let Some((number, line)) = lines.next() {
        if line.trim_start() != "#[cfg(test)]" {
            kept.push((number, line));
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let mut inside = false;
        for (_, line) in lines.by_ref() {
            inside |= line.ends_with('{');
            let ended = match inside {
                true => line.strip_prefix(indent).is_some_and(|rest| rest.starts_with('}')),
                false => line.ends_with(';'),
            };
            if ended {
                break;
            }
        }
    }
    kept
}

#[test]
fn only_items_of_tests_are_left_out() {
    let text = "use a;\n#[cfg(test)]\nuse b;\nfn c() {\n    #[cfg(test)]\n    #[x]\n    fn d() {\n        e\n    }\n    f\n}\n\
                #[cfg(test)]\nmod tests {\n    g\n}\nfn h() {}\n";
    let kept: Vec<&str> = production(text).into_iter().map(|(_, line)| line.trim()).collect();
    assert_eq!(kept, ["use a;", "fn c() {", "f", "}", "fn h() {}"]);
}

#[test]
fn modules_name_only_what_they_may() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for path in files.iter().filter(|path| !is_test(path)) {
        let module = module_of(path);
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(allowed) = allowed.get(module.as_str()) else {
            wrong.push(format!("{}: module `{module}` is not in the table", path.display()));
            continue;
        };
        let text = fs::read_to_string(path).unwrap();
        for (number, line) in production(&text) {
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if used != module && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{}:{}: `{module}` names `{used}`", path.display(), number));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_have_no_way_out() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut wrong = Vec::new();
    for path in files.iter().filter(|path| PURE.contains(&module_of(path).as_str()) && !is_test(path)) {
        let text = fs::read_to_string(path).unwrap();
        for (number, line) in production(&text) {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!("{}:{}: pure module contains `{word}`", path.display(), number));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let silent: Vec<_> = files
        .iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!"))
        .map(|p| p.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no module documentation in {silent:?}");
}

/// The names of the types that a file shows to other modules.
fn public_types(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let rest = line.trim_start().strip_prefix("pub")?;
        let rest = match rest.strip_prefix('(') {
            Some(within) => within.split_once(')')?.1,
            None => rest,
        };
        let mut words = rest.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        let is_type = matches!(words.next()?, "struct" | "enum" | "union" | "trait" | "type");
        words.next().filter(|_| is_type && rest.starts_with(' '))
    })
}

#[test]
fn no_type_name_stands_for_more_than_two_types() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in &files {
        let text = fs::read_to_string(path).unwrap();
        for name in public_types(&text) {
            named.entry(name.to_owned()).or_default().push(path.display().to_string());
        }
    }
    assert!(named.len() > 300, "only {} types found", named.len());
    named.retain(|_, files| files.len() > 2);
    assert!(named.is_empty(), "give each a name that says which one it is: {named:#?}");
}

#[test]
fn a_folder_begins_in_its_mod_rs() {
    let mut files = Vec::new();
    for folder in ["src", "tests/it", "benches"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    let beside: Vec<_> = files.iter().filter(|path| path.with_extension("").is_dir()).collect();
    assert!(beside.is_empty(), "a file stands beside the folder of its name: {beside:#?}");
}
