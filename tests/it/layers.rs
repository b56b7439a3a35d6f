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
    ("plan", &["model", "select", "policy", "overlay"]),
    ("landing", &["model", "policy", "overlay"]),
    ("message", &["model", "select", "policy", "overlay", "plan", "landing"]),
    ("document", &["model", "policy"]),
    // Of the edges, config names what each kind of receiver is written like.
    ("config", &["model", "policy", "select", "document", "notify"]),
    ("http", &["model"]),
    ("registry", &["model", "http"]),
    ("git", &["model", "overlay"]),
    ("forge", &["model", "http"]),
    ("cluster", &["model"]),
    ("notify", &["model", "http", "document"]),
    ("store", &["model"]),
    (
        "daemon",
        &[
            "model", "select", "policy", "overlay", "plan", "landing", "message", "config", "registry", "git", "forge",
            "cluster", "notify", "store", "document",
        ],
    ),
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
            "cluster", "notify", "store", "document", "daemon", "demo",
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
const PURE: &[&str] = &["model", "select", "policy", "overlay", "plan", "landing", "message"];

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

/// The code of a file without its tests: everything before `#[cfg(test)]` that stands in the first column.
fn production(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap_or(text)
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
        for (number, line) in production(&text).lines().enumerate() {
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if used != module && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{}:{}: `{module}` names `{used}`", path.display(), number + 1));
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
        for (number, line) in production(&text).lines().enumerate() {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!("{}:{}: pure module contains `{word}`", path.display(), number + 1));
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
