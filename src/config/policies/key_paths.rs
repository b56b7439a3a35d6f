//! What policies declare of values that no kind of pin recognises.

use std::sync::Arc;

use super::list;
use crate::config::at::At;
use crate::config::fault::Sink;
use crate::model::{ImageName, ImageTemplate, KeyPath, KeyPlace, Matches, PathPattern, TextPattern, ValuePath};
use crate::policy::Policy;

use super::raw;

/// Maximum number of patterns in one repository's policies: each is kept compiled.
pub(super) const MAX_PATTERNS: usize = 100;

/// The declarations of a policy.
pub(super) fn key_paths(raw: &raw::Policy, paths: &[PathPattern], sink: &mut Sink<'_>) -> Vec<KeyPath> {
    let Some(at) = &raw.key_paths else { return Vec::new() };
    if at.value.is_empty() {
        sink.error_with_hint(at.mark, "the list is empty", "add an entry, or remove the key");
    }
    if at.value.len() > super::MAX_ENTRIES {
        sink.error(at.mark, format!("the list has more than {} entries", super::MAX_ENTRIES));
        return Vec::new();
    }
    let paths: Arc<[PathPattern]> = paths.into();
    at.value.iter().filter_map(|entry| key_path(&raw.name.value, &paths, entry, sink)).collect()
}

/// How many patterns a policy has.
pub(super) fn patterns(policy: &Policy) -> usize {
    policy.key_paths.iter().filter(|it| matches!(it.place, KeyPlace::Text(_))).count()
}

/// The size of what a policy declares.
pub(super) fn bytes(policy: &Policy) -> usize {
    let one = |it: &KeyPath| {
        it.files.iter().map(|file| file.as_str().len().max(super::LEAST_PATH)).sum::<usize>()
            + it.place.to_string().len()
    };
    policy.key_paths.iter().map(one).sum()
}

fn key_path(policy: &str, paths: &Arc<[PathPattern]>, at: &At<raw::KeyPath>, sink: &mut Sink<'_>) -> Option<KeyPath> {
    let raw = &at.value;
    let files = list(&raw.files, sink, PathPattern::parse);
    let complete = files.len() == raw.files.value.len() && !files.is_empty();
    let place = place(at, sink);
    let everywhere = |name: &&str| files.iter().all(|file| file.captures().iter().any(|c| c == *name));
    let first = files.first().map(PathPattern::captures).unwrap_or_default();
    let captures: Vec<&str> = first.iter().map(String::as_str).filter(everywhere).collect();
    let image = raw.image.as_ref().filter(|_| complete);
    let image = image.map(|at| sink.read(at, |text| image_template(text, &captures)).map(|read| read.value));
    let origin = sink.origin(at.mark);
    let origin = Arc::from(format!("the policy `{policy}` ({}:{})", origin.file, origin.line));
    let image = image.map_or(Some(None), |image| image.map(Some))?;
    Some(KeyPath { paths: Arc::clone(paths), files, place: place?, image, origin })
}

fn place(at: &At<raw::KeyPath>, sink: &mut Sink<'_>) -> Option<KeyPlace> {
    let raw = &at.value;
    match (&raw.path, &raw.pattern) {
        (Some(path), None) => {
            if let Some(matches) = &raw.matches {
                sink.error_with_hint(
                    matches.mark,
                    "`matches` belongs to `pattern`",
                    "in a path, `*` is each key or item",
                );
            }
            sink.read(path, |text| ValuePath::parse(text)).map(|read| KeyPlace::Path(read.value))
        }
        (None, Some(pattern)) => {
            let matches = raw.matches.as_ref().map_or(Matches::One, |at| at.value);
            sink.read(pattern, |text| TextPattern::parse(text, matches)).map(|read| KeyPlace::Text(read.value))
        }
        (Some(_), Some(pattern)) => {
            sink.error_with_hint(pattern.mark, "`path` and `pattern` are both set", "keep one of them");
            None
        }
        (None, None) => {
            let hint = "add `path: services.web.image`, or `pattern: ^FROM ghcr.io/acme/web:(?P<tag>.+)$`";
            sink.error_with_hint(at.mark, "it says nothing about where in the files the value is", hint);
            None
        }
    }
}

/// A name that is valid wherever its captures are.
fn image_template(text: &str, captures: &[&str]) -> Result<ImageTemplate, String> {
    let template = ImageTemplate::parse(text, captures).map_err(|error| error.to_string())?;
    let sample = captures.iter().fold(text.to_owned(), |sample, name| sample.replace(&format!("{{{name}}}"), "x"));
    ImageName::image(&sample).map_err(|error| error.to_string())?;
    Ok(template)
}
