//! Output for people: the terminal, tables, the report of a cycle, and what is new in it.

pub(super) mod cycle_json;
pub(super) mod landings;
pub(super) mod news;
pub(super) mod output;
pub(super) mod report;
pub(super) mod table;

use jiff::Timestamp;

use crate::model::Version;

/// A version, as short as possible while still distinguishable.
pub(super) fn short(version: &Version) -> String {
    match (&version.tag, &version.digest) {
        (Some(tag), Some(digest)) => format!("{tag}@{}", digest.short()),
        (Some(tag), None) => tag.to_string(),
        (None, Some(digest)) => format!("@{}", digest.short()),
        (None, None) => "-".to_owned(),
    }
}

/// A duration in its two largest units; at least `0 s`.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(time).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Lines of at most `width` characters, broken between words; a longer word is not broken.
pub(in crate::cli) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
