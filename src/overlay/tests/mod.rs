//! Tests of the module as a whole: tables of files with their pins, tables of edits with their exact bytes, and
//! properties over generated files.

mod bounds;
mod chart_values;
mod compose;
mod edits;
mod index;
mod key_paths;
mod locks;
mod properties;
mod reach;
mod scans;
mod terraform;
mod unclear;

use super::{FileScan, OldDigest, PinEdit, edit_with, scan_file, scan_with};
use crate::model::{Digest, ImageName, KeyPaths, Pin, RepoPath, Skipped, Tag, Version};

/// A digest of one repeated hexadecimal digit.
fn digest(c: char) -> Digest {
    Digest::parse(&format!("sha256:{}", c.to_string().repeat(64))).unwrap()
}

fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap()
}

/// `tag`, `@c`, `tag@c`, where `c` stands for the digest of that digit.
fn version(text: &str) -> Version {
    let (tag, c) = text.split_once('@').map_or((text, None), |(tag, c)| (tag, c.chars().next()));
    Version { tag: (!tag.is_empty()).then(|| Tag::parse(tag).unwrap()), digest: c.map(digest) }
}

/// The text with `@c@` replaced by the digest of that digit.
fn with_digests(text: &str) -> String {
    ['a', 'b', 'c'].into_iter().fold(text.to_owned(), |text, c| text.replace(&format!("@{c}@"), digest(c).as_str()))
}

fn show_version(version: &Version) -> String {
    let tag = version.tag.as_ref().map(Tag::as_str).unwrap_or_default();
    let digest = version.digest.as_ref().map(|d| format!("@{}", &d.as_str()[7..8])).unwrap_or_default();
    format!("{tag}{digest}")
}

/// A pin in one line: place, kind, key, image and version.
fn show(pin: &Pin) -> String {
    let version = show_version(&pin.version);
    format!("{}:{} {} {} {} {version}", pin.line, pin.column, pin.kind.as_str(), pin.key, pin.image)
}

fn show_skip(skipped: &Skipped) -> String {
    match skipped.line {
        Some(line) => format!("{line}: {}", skipped.reason),
        None => format!("file: {}", skipped.reason),
    }
}

/// Everything in a scan, values included, each in one line; reasons only by their beginning.
fn all(scan: &FileScan) -> (Vec<String>, Vec<String>) {
    let mut pins: Vec<&Pin> = scan.pins.iter().chain(&scan.values).collect();
    pins.sort_by_key(|pin| (pin.line, pin.column));
    let skips = scan.skipped.iter().chain(&scan.values_skipped).map(show_skip).collect();
    (pins.into_iter().map(show).collect(), skips)
}

/// What stands at a line and a column, counted as an editor does: without the byte order mark, in characters.
fn text_at(text: &str, line: usize, column: usize) -> String {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    text.split('\n').nth(line - 1).unwrap().chars().skip(column - 1).collect()
}

/// Checks a file's pins, and that for each expected reason there is one skip that begins so, and no other.
#[track_caller]
fn check(name: &str, text: &str, pins: &[&str], skips: &[&str]) {
    check_with(&KeyPaths::default(), name, text, pins, skips);
}

/// The same where policies declare more.
#[track_caller]
fn check_with(declared: &KeyPaths, name: &str, text: &str, pins: &[&str], skips: &[&str]) {
    let text = with_digests(text);
    let scan = scan_with(declared, &path(name), text.as_bytes());
    for pin in scan.pins.iter().chain(&scan.values) {
        let version =
            pin.version.tag.as_ref().map_or_else(|| pin.version.digest.as_ref().unwrap().as_str(), Tag::as_str);
        assert!(text_at(&text, pin.line, pin.column).starts_with(version), "place of {} in\n{text}", show(pin));
    }
    let (found, left) = all(&scan);
    assert_eq!(found, pins, "pins of {name}:\n{text}\nleft alone: {left:#?}");
    let matches = left.len() == skips.len() && skips.iter().all(|skip| left.iter().any(|left| left.starts_with(skip)));
    assert!(matches, "left alone in {name}:\n{text}\n{left:#?}\nexpected {skips:#?}");
}

/// The file with every pin of `image` set to a version.
fn set_with(
    name: &str,
    text: &str,
    image: &str,
    to: &str,
    rename: Option<&str>,
    old: OldDigest,
) -> Result<String, String> {
    let text = with_digests(text);
    let scan = scan_file(&path(name), text.as_bytes());
    let image = ImageName::parse(image).unwrap();
    let pins = scan.pins.iter().chain(&scan.values).filter(|pin| pin.name == image);
    let edits: Vec<_> = pins.map(|pin| PinEdit { pin, to: version(to), rename }).collect();
    assert!(!edits.is_empty(), "no pin of {image} in\n{text}\n{scan:#?}");
    edit_with(&path(name), text.as_bytes(), &edits, old)
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .map_err(|error| error.to_string())
}

/// The same, for the common case.
fn set(name: &str, text: &str, image: &str, to: &str) -> Result<String, String> {
    set_with(name, text, image, to, None, OldDigest::Refuse)
}
