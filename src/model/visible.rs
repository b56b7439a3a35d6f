//! Shows text from outside as what it is: characters that are invisible, reorder the text around them, or control a
//! terminal are written as escapes.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character is invisible or changes the direction of the text around it: direction marks and overrides,
/// zero-width characters, line separators that are not line breaks, and tags.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text with control and invisible characters written as `\u{202e}`, so that it is one line and fully visible.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| c.is_control() || is_invisible(c);
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match hidden(c) {
            true => push_escaped(&mut shown, c),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Adds the escape of one character.
pub fn push_escaped(text: &mut String, c: char) {
    // Writing to a string cannot fail.
    write!(text, "{}", c.escape_unicode()).unwrap_or_default();
}

/// An address as it may be shown: scheme, host and path. A user, a password, a query or a fragment may be secrets, whoever wrote them
/// there.
#[must_use]
pub fn shown_address(text: &str) -> String {
    let (scheme, rest) = text.find("://").map_or(("", text), |at| text.split_at(at + "://".len()));
    let place = rest.split(['?', '#']).next().unwrap_or_default();
    let end = place.find('/').unwrap_or(place.len());
    let (authority, path) = place.split_at(end);
    // A password may have a slash or a question mark in it, and then there is no host where one would be.
    let is_host = |text: &str| {
        let port = text.rsplit_once(':').filter(|_| !text.ends_with(']')).map_or("", |(_, port)| port);
        port.bytes().all(|b| b.is_ascii_digit())
    };
    let (host, path) = match (authority.rsplit_once('@'), rest.rsplit_once('@')) {
        (Some((before, host)), _) if !before.is_empty() || !scheme.is_empty() => (host, path),
        (None, Some((_, behind))) if !scheme.is_empty() && !is_host(authority) => {
            let behind = behind.split(['?', '#']).next().unwrap_or_default();
            behind.split_at(behind.find('/').unwrap_or(behind.len()))
        }
        (None, None) if !scheme.is_empty() && !is_host(authority) => ("…", ""),
        _ => (authority, path),
    };
    visible(&format!("{scheme}{host}{path}")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_seen() {
        for (text, shown) in [
            ("plain ü ✔", "plain ü ✔"),
            ("gnp.\u{202e}exe", "gnp.\\u{202e}exe"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("two\u{2028}lines\nthree", "two\\u{2028}lines\\u{a}three"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn an_address_shows_no_secret() {
        for (address, shown) in [
            ("https://charts.example.com/stable", "https://charts.example.com/stable"),
            ("https://charts.example.com:8443/stable/", "https://charts.example.com:8443/stable/"),
            ("oci://[fd00::1]:5000/a@b", "oci://[fd00::1]:5000/a@b"),
            ("https://bot:hunter2@charts.example.com/stable", "https://charts.example.com/stable"),
            ("https://hunter2@charts.example.com", "https://charts.example.com"),
            ("https://@charts.example.com", "https://charts.example.com"),
            ("https://bot:hun@ter2@charts.example.com/a", "https://charts.example.com/a"),
            ("https://bot:hun/ter2@charts.example.com/a", "https://charts.example.com/a"),
            ("https://bot:hun?ter2@charts.example.com/a", "https://charts.example.com/a"),
            ("https://bot:hunter2", "https://…"),
            ("https://charts.example.com/a?token=hunter2", "https://charts.example.com/a"),
            ("https://charts.example.com?token=hunter2", "https://charts.example.com"),
            ("https://charts.example.com/a#hunter2", "https://charts.example.com/a"),
            ("bot:hunter2@charts.example.com/a", "charts.example.com/a"),
            ("bot:hunter2@charts.example.com", "charts.example.com"),
            ("@stable", "@stable"),
            ("alias:stable", "alias:stable"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("", ""),
        ] {
            assert_eq!(shown_address(address), shown, "{address}");
        }
    }
}
