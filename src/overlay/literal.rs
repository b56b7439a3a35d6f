//! YAML inside a literal block scalar (`values: |`): its text, and the position of each of its bytes in the file.
//!
//! Promise: [`Literal::new`] returns a value only if removing the same number of spaces from every line gives exactly
//! the decoded scalar. So each byte of the text is a byte of the file, and editing one edits the other.

use std::ops::Range;

/// The text of a literal block scalar and its position in the file.
#[derive(Debug)]
pub(super) struct Literal {
    /// The lines without their indentation, with their line endings.
    pub(super) text: String,
    /// For each line: where it starts in `text`, and where in the file after the indentation.
    lines: Vec<(usize, usize)>,
    /// The number of spaces removed from each line.
    pub(super) indent: usize,
}

impl Literal {
    /// The text of the scalar whose content is `range` of `outer`; `None` if it is not simply indented lines.
    ///
    /// The range starts after the first line's indentation, as granit-parser reports it.
    pub(super) fn new(outer: &str, range: &Range<usize>, decoded: &str) -> Option<Self> {
        let before = outer.get(..range.start)?;
        let line_start = before.rfind(['\n', '\r']).map_or(0, |at| at + 1);
        let indent = range.start - line_start;
        if !before.get(line_start..)?.bytes().all(|b| b == b' ') {
            return None;
        }
        let mut literal = Self { text: String::new(), lines: Vec::new(), indent };
        let mut at = line_start;
        for line in lines(outer.get(line_start..range.end)?) {
            let content = match line.get(..indent) {
                Some(spaces) if spaces.bytes().all(|b| b == b' ') => &line[indent..],
                // A blank line may be indented less than the scalar; only its line ending is content.
                _ => line.trim_start_matches(' '),
            };
            literal.lines.push((literal.text.len(), at + line.len() - content.len()));
            literal.text.push_str(content);
            at += line.len();
        }
        // Line endings are decoded to line feeds, and the header (`|-`, `|`, `|+`) determines the final ones.
        let plain = literal.text.replace("\r\n", "\n").replace('\r', "\n");
        (plain.trim_end_matches('\n') == decoded.trim_end_matches('\n')).then_some(literal)
    }

    /// The byte of the file for a byte of the text.
    pub(super) fn outer(&self, inner: usize) -> usize {
        let line = self.lines.partition_point(|(start, _)| *start <= inner).saturating_sub(1);
        self.lines.get(line).map_or(inner, |(start, outer)| outer + (inner - start))
    }

    /// The byte of the text for a byte of the file, if it is part of the text.
    pub(super) fn inner(&self, outer: usize) -> Option<usize> {
        let line = self.lines.partition_point(|(_, start)| *start <= outer).checked_sub(1)?;
        let (inner, start) = self.lines.get(line)?;
        let end = self.lines.get(line + 1).map_or(self.text.len(), |(inner, _)| *inner);
        let at = inner + (outer - start);
        (at <= end).then_some(at)
    }
}

/// Lines with their endings, which may be `\n`, `\r\n` or `\r`.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = match rest.find(['\n', '\r']) {
            Some(at) if rest[at..].starts_with("\r\n") => at + 2,
            Some(at) => at + 1,
            None => rest.len(),
        };
        let (line, after) = rest.split_at(end);
        rest = after;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::Literal;

    #[test]
    fn bytes_map_both_ways() {
        let outer = "a: |\r\n  x: 1\r\n\r\n  y: 2\r\nb: 1\r\n";
        let start = outer.find("x").unwrap();
        let end = outer.find("b:").unwrap();
        let literal = Literal::new(outer, &(start..end), "x: 1\n\ny: 2\n").unwrap();
        assert_eq!(literal.text, "x: 1\r\n\r\ny: 2\r\n");
        for (inner, _) in literal.text.char_indices().filter(|(_, c)| c.is_alphanumeric()) {
            let at = literal.outer(inner);
            assert_eq!(outer.as_bytes()[at], literal.text.as_bytes()[inner]);
            assert_eq!(literal.inner(at), Some(inner));
        }
        assert!(Literal::new(outer, &(start..end), "something else").is_none());
    }
}
