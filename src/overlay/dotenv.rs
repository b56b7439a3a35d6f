//! `.env` files as Compose reads them: the lines that may hold the version of an image.
//!
//! Rules: Compose, "Set environment variables with .env"; compose-go `dotenv`. A value in double quotes has escapes and, as one without
//! quotes, variables; one in single quotes is as it is. A `#` after white space starts a comment. The last of several lines with one
//! name counts.

use std::collections::HashMap;
use std::fmt;

use super::collector::is_template;
use crate::model::SkipReason;

/// Maximum length of a value that may be an image or its version.
const MAX_VALUE: usize = 400;

/// Maximum size of a file, in bytes, and its lines: each is kept with its place, and those of real files are a few hundred.
const MAX_BYTES: usize = 1_000_000;
const MAX_LINES: usize = 10_000;

/// A line that gives a variable its value.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct EnvLine {
    pub(super) name: String,
    /// The value, without quotes.
    pub(super) value: String,
    /// Where the value starts, behind a quote.
    pub(super) start: usize,
    /// The line and column of that, from 1.
    pub(super) line: usize,
    pub(super) column: usize,
    /// Why it must not be changed.
    pub(super) fixed: Result<(), SkipReason>,
}

/// Values may be secrets.
impl fmt::Debug for EnvLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvLine").field("name", &self.name).field("line", &self.line).finish_non_exhaustive()
    }
}

/// The variables of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Variables {
    lines: Vec<EnvLine>,
    /// The line of each name that counts.
    last: HashMap<String, usize>,
}

impl Variables {
    fn new(lines: Vec<EnvLine>) -> Self {
        let last = lines.iter().enumerate().map(|(at, line)| (line.name.clone(), at)).collect();
        Self { lines, last }
    }

    /// The line that gives a variable its value.
    pub(super) fn get(&self, name: &str) -> Option<&EnvLine> {
        self.lines.get(*self.last.get(name)?)
    }

    /// All lines with a variable, in the file's order.
    pub(super) fn lines(&self) -> impl Iterator<Item = &EnvLine> {
        self.lines.iter()
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }
}

/// Whether a file's name is that of a `.env`.
pub(super) fn is_env_file(name: &str) -> bool {
    name == ".env"
}

/// The variables of a file. What is no assignment is passed over, as no image can be there.
///
/// # Errors
/// If it is larger than any real one.
pub(super) fn read(text: &str) -> Result<Variables, SkipReason> {
    let lines = || text.bytes().filter(|byte| *byte == b'\n').count();
    if text.len() > MAX_BYTES || lines() > MAX_LINES {
        return Err(SkipReason::LargeVariables { bytes: MAX_BYTES, lines: MAX_LINES });
    }
    Ok(parse(text))
}

fn parse(text: &str) -> Variables {
    let (mut lines, mut at, mut number) = (Vec::new(), 0, 0);
    while at < text.len() {
        let end = text[at..].find('\n').map_or(text.len(), |length| at + length + 1);
        number += 1;
        let (line, next) = match assignment(text, at, end) {
            Some((line, after)) => (Some(line), after),
            None => (None, end),
        };
        if let Some((name, (start, until), fixed)) = line
            && let Some(value) = text.get(start..until)
        {
            let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
            let before = text[line_start..start].trim_start_matches('\u{feff}');
            lines.push(EnvLine {
                name,
                value: if value.len() > MAX_VALUE { String::new() } else { value.to_owned() },
                start,
                line: number,
                column: before.chars().count() + 1,
                fixed: if value.len() > MAX_VALUE { Err(SkipReason::SeveralLines) } else { fixed },
            });
        }
        number += text[at..next].bytes().filter(|byte| *byte == b'\n').count().saturating_sub(1);
        at = next.max(end);
    }
    Variables::new(lines)
}

/// A name, the bytes of its value, and whether that may be changed.
type Assignment = (String, (usize, usize), Result<(), SkipReason>);

/// The assignment that starts in a line, and where the text goes on after it.
fn assignment(text: &str, at: usize, end: usize) -> Option<(Assignment, usize)> {
    let line = text.get(at..end)?.trim_end_matches(['\n', '\r']);
    let start = line.trim_start_matches(['\u{feff}', ' ', '\t']);
    let start = start.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(start).trim_start();
    let sign = start.find(['=', ':'])?;
    let name = start[..sign].trim_end();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let value = start[sign + 1..].trim_start_matches([' ', '\t']);
    let begin = at + line.len() - value.len();
    let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let comment = value.find(" #").or_else(|| value.find("\t#")).unwrap_or(value.len());
        let value = value[..comment].trim_end();
        let fixed = if value.contains('$') || is_template(value) { Err(SkipReason::Template) } else { Ok(()) };
        return Some(((name.to_owned(), (begin, begin + value.len()), fixed), end));
    };
    let inside = begin + 1;
    let mut escaped = false;
    let close = text.get(inside..)?.char_indices().find(|(_, c)| {
        let closes = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    });
    let (length, _) = close?;
    let value = text.get(inside..inside + length)?;
    let fixed = match () {
        () if value.contains('\n') => Err(SkipReason::SeveralLines),
        () if value.contains('\\') => Err(SkipReason::Escaped),
        () if quote == '"' && value.contains('$') => Err(SkipReason::Template),
        () => Ok(()),
    };
    let after = inside + length + 1;
    let next = text[after..].find('\n').map_or(text.len(), |length| after + length + 1);
    Some(((name.to_owned(), (inside, inside + length), fixed), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_compose_reads_them() {
        let text = "# TAG=0\nTAG=1.2.3 # why\n\nexport WEB_TAG = \"1.2.4\"#x\r\nAPI='1.2.5'\nYAML: 1.2.6\nEMPTY=\nNONE\nLONG=\"a\nTAG=9\n\"\nVAR=${TAG}\nESC=\"1\\\"2\"\nOPEN=\"x\nLAST=1#2";
        let variables = parse(text);
        let shown: Vec<String> = variables
            .lines
            .iter()
            .map(|line| {
                assert_eq!(text.get(line.start..line.start + line.value.len()), Some(&*line.value));
                let fixed = if line.fixed.is_ok() { "" } else { "!" };
                format!("{}:{} {}={}{fixed}", line.line, line.column, line.name, line.value)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "2:5 TAG=1.2.3",
                "4:19 WEB_TAG=1.2.4",
                "5:6 API=1.2.5",
                "6:7 YAML=1.2.6",
                "7:7 EMPTY=",
                "9:7 LONG=a\nTAG=9\n!",
                "12:5 VAR=${TAG}!",
                "13:6 ESC=1\\\"2!",
                "15:6 LAST=1#2",
            ]
        );
        assert!(parse(&format!("A={}", "x".repeat(1_000))).get("A").unwrap().value.is_empty());
        let twice = parse("A=1\nB=2\nA=3");
        assert_eq!((twice.get("A").map(|line| line.line), twice.get("C"), twice.len()), (Some(3), None, 3));
    }
}
