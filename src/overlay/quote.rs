//! Which texts would not remain text as a plain YAML scalar.
//!
//! Promise: if [`needs_quotes`] returns false, every YAML 1.1 or 1.2 reader in use (go-yaml as in kubectl, Helm,
//! Kustomize, Argo CD and Flux; libyaml bindings; YAML 1.2 core schema) reads the plain scalar as that very string. In
//! doubt it quotes. Rules: YAML 1.2.2 section 10.3.2, and the YAML 1.1 type repository for bool, int, float, null,
//! timestamp.

use serde::de::IgnoredAny;

use crate::model::RepoPath;

/// Whether a file is JSON, by its name or its content, so that its texts are always quoted.
pub(super) fn needs_json_quotes(path: &RepoPath, text: &str) -> bool {
    let name = path.file_name();
    let named = name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("json"));
    let text = text.trim_start_matches('\u{feff}').trim_start();
    named || (text.starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// Whether a plain scalar is read as something other than a text: a number, a boolean, null, a date.
pub(super) fn is_no_text(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && (is_integer(unsigned) || is_float(unsigned) || is_date(unsigned));
    text.is_empty() || text == "~" || is_word(unsigned.strip_prefix('.').unwrap_or(unsigned)) || number
}

/// Whether a text must be quoted to be read as a string.
pub(super) fn needs_quotes(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return true };
    if !(first.is_ascii_alphanumeric() || first == '_') {
        return true;
    }
    let syntax = text.contains([' ', '\t', '\n', '\r', '#', ',', '[', ']', '{', '}', '"', '\'', '\\', '`', '&', '*'])
        || text.contains(": ")
        || text.ends_with(':')
        || text.chars().any(char::is_control);
    syntax || is_word(text) || (first.is_ascii_digit() && (is_integer(text) || is_float(text) || is_date(text)))
}

/// Null and booleans, in any case: readers differ in the spellings they accept.
fn is_word(text: &str) -> bool {
    ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

/// Decimal, octal (`0o7`, `07`), hexadecimal, binary, with `_` between digits, and base 60 (`12:30:45`).
fn is_integer(text: &str) -> bool {
    let all = |digits: &str, good: fn(u8) -> bool| digits.bytes().all(|b| b == b'_' || good(b));
    let lower = text.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        return all(digits, |b| b.is_ascii_hexdigit());
    }
    if let Some(digits) = lower.strip_prefix("0o").or_else(|| lower.strip_prefix("0b")) {
        return all(digits, |b| b.is_ascii_digit());
    }
    // Base 60 may have a fraction after its last colon.
    lower.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'_' | b':'))
        || (lower.contains(':') && lower.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'_' | b':' | b'.')))
}

/// `1.`, `1.10`, `1e3`, `1.5e-3`, with `_` anywhere; Go also reads hexadecimal floats (`0x1p-2`).
fn is_float(text: &str) -> bool {
    let lower = text.to_ascii_lowercase().replace('_', "");
    if let Some(rest) = lower.strip_prefix("0x") {
        return rest.contains('p')
            && rest.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b'p' | b'-' | b'+'));
    }
    let (mantissa, exponent) = match lower.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (lower.as_str(), None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)));
    digits(whole) && digits(fraction) && exponent
}

/// `2024-01-01`, `2024-1-1` and anything that continues with a time of that day.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let digits =
        |text: &str, most: usize| !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit());
    let day: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let after = rest.get(day.len()..).unwrap_or("");
    year.len() == 4
        && digits(year, 4)
        && digits(month, 2)
        && digits(&day, 2)
        && (after.is_empty() || after.starts_with(['T', 't', ' ']))
}

#[cfg(test)]
mod tests {
    use super::{is_no_text, needs_quotes};

    #[test]
    fn what_is_no_text_without_quotes() {
        for text in ["1.10", "-1.5", "+1", ".5", ".inf", "-.inf", ".NaN", "1e3", "true", "~", "", "2024-01-01 10:00:00"]
        {
            assert!(is_no_text(text), "{text}");
        }
        for text in ["1.2.3", "docker run acme/ci:1.2.3 x", "acme/web:1.10", "v1", "-x", "[1.10]"] {
            assert!(!is_no_text(text), "{text}");
        }
    }

    #[test]
    fn what_reads_as_something_else_is_quoted() {
        for text in [
            "1.10",
            "0x1f",
            "1e3",
            "null",
            "on",
            "2024-01-01",
            "0o7",
            "1_000",
            "12:30:45",
            ".5",
            "~",
            "y",
            "N",
            "TRUE",
            "0123",
            "08",
            "1.",
            "1.5e-3",
            "1E3",
            "0b101",
            "0x1p-2",
            "",
            "-1",
            "2024-1-1",
            "2024-01-01T10",
            "20240101",
            "190:20:30.15",
            "1_0.5",
            "No",
            "NULL",
            "inf",
            "a: b",
            "a #b",
            "[::1]:5000/web",
            "a:",
            "*x",
            "0e0",
            "12e03",
        ] {
            assert!(needs_quotes(text), "{text}");
        }
    }

    #[test]
    fn what_is_a_string_anyway_is_left_plain() {
        for text in [
            "1.2.3",
            "v1.10",
            "1.10-rc1",
            "latest",
            "main-1a2b3c4",
            "sha256:abc",
            "nginx:1.25",
            "2024-01",
            "2024.01.01",
            "20240101-abc",
            "web@sha256:abc",
            "_1",
            "nope",
            "1.2.3.4",
            "0x1g",
            "1e3f5",
            "localhost:5000/web:1",
            "1-2",
            "2024-01-01-abc",
            "e10",
            "x86",
        ] {
            assert!(!needs_quotes(text), "{text}");
        }
    }
}
