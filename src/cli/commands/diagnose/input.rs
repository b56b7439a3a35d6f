//! From files, folders and standard input to objects; anything unreadable is reported with its place.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use serde_saphyr::Options;
use serde_saphyr::options::NonFiniteFloatPolicy;

use crate::cli::CliError;
use crate::cluster::object;
use crate::landing::clean;
use crate::model::observation::Object;

/// Maximum size of the input; a cluster of 20,000 objects is below 200 MB.
const MAX_BYTES: u64 = 512 * 1024 * 1024;
/// Maximum number of nodes in one YAML document.
const MAX_NODES: usize = 50_000_000;
/// Maximum nesting of lists and of folders.
const MAX_DEPTH: usize = 32;
/// Maximum number of problems reported; a file that is not a dump at all has one per line.
const MAX_PROBLEMS: usize = 100;

/// The input.
#[derive(Debug, Default)]
pub(super) struct Dump {
    /// Every object with a kind and a name.
    pub(super) objects: Vec<Object>,
    /// What could not be read.
    pub(super) problems: Vec<InputProblem>,
    /// The newest time in metadata, a status or an event.
    pub(super) newest: Option<Timestamp>,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct InputProblem {
    /// The file; `-` for standard input.
    path: String,
    /// The line, 1-based, if known.
    line: Option<usize>,
    /// What is wrong.
    message: String,
}

impl fmt::Display for InputProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

/// Reads everything below the paths.
///
/// # Errors
/// If a given path cannot be read at all.
pub(super) fn read(paths: &[PathBuf]) -> Result<Dump, CliError> {
    let mut dump = Dump::default();
    for path in paths {
        let failed = |error: &io::Error| {
            CliError::caused(format!("cannot read {}", path.display()), error)
                .hint("give a file, a folder, or - for standard input")
        };
        if path.as_os_str() == "-" {
            let bytes = limited(io::stdin().lock()).map_err(|error| failed(&error))?;
            dump.text("-", &bytes);
        } else if path.is_dir() {
            let mut files = Vec::new();
            folder(path, &mut files, 0).map_err(|error| failed(&error))?;
            files.sort();
            for file in files {
                dump.file(&file);
            }
        } else {
            let bytes = fs::File::open(path).and_then(limited).map_err(|error| failed(&error))?;
            dump.text(&path.display().to_string(), &bytes);
        }
    }
    Ok(dump)
}

fn limited(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(io::Error::other(format!("it is larger than {} MB", MAX_BYTES / 1024 / 1024)));
    }
    Ok(bytes)
}

/// Files that may hold objects. Symbolic links are not followed.
fn folder(path: &Path, files: &mut Vec<PathBuf>, depth: usize) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = entry.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if kind.is_dir() && depth < MAX_DEPTH {
            folder(&path, files, depth + 1)?;
        } else if kind.is_file() && matches!(extension.to_ascii_lowercase().as_str(), "yaml" | "yml" | "json") {
            files.push(path);
        }
    }
    Ok(())
}

impl Dump {
    fn file(&mut self, path: &Path) {
        let shown = path.display().to_string();
        match fs::File::open(path).and_then(limited) {
            Ok(bytes) => self.text(&shown, &bytes),
            Err(error) => self.problem(&shown, None, format!("cannot be read: {error}")),
        }
    }

    fn problem(&mut self, path: &str, line: Option<usize>, message: impl AsRef<str>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(InputProblem { path: path.to_owned(), line, message: clean(message.as_ref()) });
        }
    }

    fn text(&mut self, path: &str, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return self.problem(path, None, "it is not UTF-8 text");
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_start().starts_with(['{', '[']) && self.json(path, text) {
            return;
        }
        for (line, document) in documents(text) {
            match yaml(document) {
                Ok(value) => self.value(path, line, &value, None, 0),
                Err((at, message)) => self.problem(path, Some(line + at.saturating_sub(1)), message),
            }
        }
    }

    /// Reads JSON values, one after the other; false if the text is not JSON from the start, since flow YAML starts the
    /// same way.
    fn json(&mut self, path: &str, text: &str) -> bool {
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let mut any = false;
        for value in values {
            match value {
                Ok(value) => {
                    any = true;
                    self.value(path, 1, &value, None, 0);
                }
                Err(_) if !any && !text.trim_start().starts_with("{\"") && text.contains('\n') => return false,
                Err(error) => {
                    self.problem(path, Some(error.line()), format!("it is not valid JSON: {error}"));
                    return true;
                }
            }
        }
        true
    }

    /// An object, a list of objects, or a list of lists.
    fn value(&mut self, path: &str, line: usize, value: &Value, of_list: Option<(&str, &str)>, depth: usize) {
        if value.is_null() {
            return;
        }
        if depth > MAX_DEPTH {
            return self.problem(path, Some(line), "lists are nested too deeply");
        }
        if let Value::Array(items) = value {
            return items.iter().for_each(|item| self.value(path, line, item, None, depth + 1));
        }
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let kind = text("kind").unwrap_or_default();
        if let (Some(of), Some(items)) = (kind.strip_suffix("List"), value.get("items")) {
            let of = (!of.is_empty()).then(|| (text("apiVersion").unwrap_or_default(), of));
            let Value::Array(items) = items else {
                return self.problem(path, Some(line), format!("the items of {kind} are not a list"));
            };
            return items.iter().for_each(|item| self.value(path, line, item, of, depth + 1));
        }
        // Items of a typed list do not have a kind.
        let read = match of_list.filter(|_| kind.is_empty()) {
            Some((api_version, kind)) => object::read_as(api_version, kind, value),
            None => object::read(value),
        };
        match read {
            Ok(object) => {
                self.newest = self.newest.max(newest(value));
                self.objects.push(object);
            }
            Err(error) => {
                let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("without a name");
                self.problem(path, Some(line), format!("{kind} {name} is not a Kubernetes object: {error}"));
            }
        }
    }
}

/// The documents of a YAML stream, with their first lines. The stream is split before parsing, so that a broken
/// document costs only itself; in a block scalar `---` is indented, so in the first column it is always a marker.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut start, mut first, mut at) = (0, 1, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        let marker = bare == "---" || bare.starts_with("--- ") || bare == "...";
        if marker {
            found.push((first, &text[start..at]));
            // Text after the marker, on the same line, belongs to the document.
            start = if bare.starts_with("--- ") { at + 4 } else { at + line.len() };
            first = if bare.starts_with("--- ") { number + 1 } else { number + 2 };
        }
        at += line.len();
    }
    found.push((first, &text[start..]));
    let is_empty =
        |text: &str| text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with(['#', '%']));
    found.retain(|(_, text)| !is_empty(text));
    found
}

fn yaml(document: &str) -> Result<Value, (usize, String)> {
    serde_saphyr::from_str_with_options(document, options()).map_err(|error| {
        let line = error.location().map_or(1, |location| usize::try_from(location.line()).unwrap_or(1));
        let text = error.to_string();
        (line, format!("it is not valid YAML: {}", text.lines().next().unwrap_or_default()))
    })
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 100,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_total_scalar_bytes: 512 * 1024 * 1024,
            max_aliases: 10_000,
            max_anchors: 10_000,
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 1_000_000,
            max_replay_stack_depth: 16,
        },
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
    }
}

/// The newest time of something that has happened: in metadata, a status or an event. Future times do not count:
/// deletion is announced for the end of the grace period, and specifications and data may contain any time.
fn newest(value: &Value) -> Option<Timestamp> {
    let parts =
        ["metadata", "status", "lastTimestamp", "firstTimestamp", "eventTime", "series", "deprecatedLastTimestamp"];
    parts.iter().filter_map(|part| newest_below(value.get(part)?, 0)).max()
}

fn newest_below(value: &Value, depth: usize) -> Option<Timestamp> {
    match value {
        Value::String(text) if is_time(text) => text.parse().ok(),
        Value::Array(list) if depth < MAX_DEPTH => list.iter().filter_map(|item| newest_below(item, depth + 1)).max(),
        Value::Object(map) if depth < MAX_DEPTH => {
            let past = map.iter().filter(|(key, _)| !is_to_come(key));
            past.filter_map(|(_, value)| newest_below(value, depth + 1)).max()
        }
        _ => None,
    }
}

fn is_to_come(key: &str) -> bool {
    matches!(
        key,
        "deletionTimestamp"
            | "notAfter"
            | "renewalTime"
            | "expirationTimestamp"
            | "nextScheduleTime"
            | "annotations"
            | "labels"
    )
}

/// A cheap test before parsing: `2026-05-01T…`.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    (20..=40).contains(&bytes.len()) && bytes[4] == b'-' && bytes[7] == b'-' && bytes[10] == b'T'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(text: &str) -> Dump {
        let mut dump = Dump::default();
        dump.text("x.yaml", text.as_bytes());
        dump
    }

    #[test]
    fn documents_keep_their_lines() {
        for (text, expected) in [
            ("a: 1\n", vec![(1, "a: 1\n")]),
            ("---\na: 1\n---\nb: 2\n", vec![(2, "a: 1\n"), (4, "b: 2\n")]),
            ("# only\n---\n--- {a: 1}\n...\n", vec![(3, "{a: 1}\n")]),
            ("a: |\n  ---\n  x\n", vec![(1, "a: |\n  ---\n  x\n")]),
            ("", vec![]),
        ] {
            assert_eq!(documents(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_broken_document_costs_only_itself() {
        let good = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";
        let it = dump(&format!("{good}---\nkind: [\n---\nkind: Pod\n---\n{}", good.replace("a}", "b}")));
        assert_eq!(it.objects.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(it.problems.len(), 2, "{:?}", it.problems);
        assert!(it.problems.iter().all(|problem| problem.line.is_some_and(|line| (5..=8).contains(&line))));
    }

    #[test]
    fn lists_of_every_form_are_read() {
        for text in [
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n",
            "apiVersion: v1\nkind: PodList\nitems:\n- {metadata: {name: a}}\n",
            "[{apiVersion: v1, kind: Pod, metadata: {name: a}}]\n",
            "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"}}",
            "{\"kind\":\"List\",\"items\":[{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"items\":[{\"metadata\":{\"name\":\"a\"}}]}]}",
        ] {
            let it = dump(text);
            assert!(it.problems.is_empty(), "{:?}", it.problems);
            assert_eq!((it.objects.len(), it.objects[0].kind.as_str()), (1, "Pod"), "{text}");
        }
    }

    #[test]
    fn what_is_no_dump_is_a_problem() {
        for text in [
            "{\"kind\": \"Pod\"",
            "just text",
            "kind: Pod\nkind: Pod\n",
            "\u{1}",
            "[1, 2]",
            "kind: PodList\nitems: {}\n",
        ] {
            let it = dump(text);
            assert!(it.objects.is_empty() && !it.problems.is_empty(), "{text:?}");
        }
        let mut it = Dump::default();
        it.text("x", &[0xff, 0xfe, 0x00]);
        assert_eq!(it.problems.len(), 1);
    }

    #[test]
    fn now_is_the_newest_time_that_has_been() {
        let it = dump(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a, creationTimestamp: '2026-05-01T10:00:00Z', deletionTimestamp: '2030-01-01T00:00:00Z'}\n\
             spec: {when: '2031-01-01T00:00:00Z'}\nstatus: {startTime: '2026-05-01T10:00:09Z'}\n",
        );
        assert_eq!(it.newest.unwrap().to_string(), "2026-05-01T10:00:09Z");
    }
}
