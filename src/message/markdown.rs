//! Makes text from outside harmless in Markdown.

/// A code span that shows `text` as it is: on one line, with nothing invisible, and without backticks or pipes that
/// could end the span or a table cell.
pub(super) fn code(text: &str) -> String {
    format!("`{}`", super::line(text).replace('`', "'").replace('|', "\\|"))
}

/// A link whose text is a code span; characters in the address that would end the link are percent-encoded.
pub(super) fn link(text: &str, url: &str) -> String {
    let mut safe = String::with_capacity(url.len());
    for byte in url.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'<' | b'>' | b'"' | b'`' | b'|' | b'\\') {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("[{}]({safe})", code(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out() {
        assert_eq!(code("a`|@everyone\n#1"), "`a'\\|@everyone #1`");
        assert_eq!(code("gnp.\u{202e}exe"), "`gnp.\\u{202e}exe`");
        assert_eq!(link("x", "https://e.example/a)(b"), "[`x`](https://e.example/a%29%28b)");
    }
}
