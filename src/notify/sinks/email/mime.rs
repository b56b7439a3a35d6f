//! A message as the Internet Message Format (RFC 5322) and MIME want it: headers in ASCII, and one plain text.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

/// Maximum length of a line of base64 (RFC 2045).
const MAX_LINE: usize = 76;
/// Maximum number of bytes in one encoded word, which is at most 75 characters long (RFC 2047).
const MAX_WORD: usize = 42;

/// A person or a list: `Name <name@example.com>`, or the address alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mailbox {
    name: String,
    pub(super) address: String,
}

impl Mailbox {
    /// Reads one; addresses are ASCII, without quotes or comments.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, address)) => (name.trim().trim_matches('"'), address),
            None => ("", text),
        };
        let (local, domain) = address.split_once('@')?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
        let host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        let good = !local.is_empty()
            && local.len() <= 64
            && local.bytes().all(plain)
            && !domain.is_empty()
            && domain.len() <= 253
            && domain.bytes().all(host)
            && !name.contains(['<', '>', '"', '@'])
            && !name.chars().any(char::is_control);
        good.then(|| Self { name: name.to_owned(), address: address.to_owned() })
    }

    /// What stands behind the `@`.
    pub(super) fn domain(&self) -> &str {
        self.address.split_once('@').map_or("localhost", |(_, domain)| domain)
    }

    fn header(&self) -> String {
        let Self { name, address } = self;
        let word = |c: char| c.is_ascii_alphanumeric() || " -_'".contains(c);
        match name.as_str() {
            "" => address.clone(),
            name if name.chars().all(word) => format!("{name} <{address}>"),
            name => format!("{} <{address}>", encoded(name)),
        }
    }
}

/// What is said about a message.
pub(super) struct Head<'a> {
    pub(super) from: &'a Mailbox,
    pub(super) to: &'a [Mailbox],
    pub(super) subject: &'a str,
    /// With its brackets.
    pub(super) id: &'a str,
    /// The message that it follows.
    pub(super) follows: Option<&'a str>,
    pub(super) date: Timestamp,
}

/// The message, with CRLF at the end of each line.
pub(super) fn message(head: &Head<'_>, text: &str) -> String {
    let mut message = String::new();
    let mut header = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _written = write!(message, "{name}: {value}\r\n").is_ok();
    };
    let to: Vec<String> = head.to.iter().map(Mailbox::header).collect();
    header("From", &head.from.header());
    header("To", &to.join(",\r\n "));
    header("Subject", &unstructured(head.subject));
    let date = jiff::fmt::rfc2822::to_string(&head.date.to_zoned(jiff::tz::TimeZone::UTC));
    if let Ok(date) = date {
        header("Date", &date);
    }
    header("Message-ID", head.id);
    if let Some(first) = head.follows {
        header("In-Reply-To", first);
        header("References", first);
    }
    // So that no absence note answers it (RFC 3834).
    header("Auto-Submitted", "auto-generated");
    header("MIME-Version", "1.0");
    header("Content-Type", "text/plain; charset=utf-8");
    header("Content-Transfer-Encoding", "base64");
    message.push_str("\r\n");
    let body = STANDARD.encode(text.replace('\n', "\r\n"));
    for at in (0..body.len()).step_by(MAX_LINE) {
        message.push_str(&body[at..body.len().min(at + MAX_LINE)]);
        message.push_str("\r\n");
    }
    message
}

/// A text as it stands, or in encoded words if it is long or not printable ASCII.
fn unstructured(text: &str) -> String {
    let plain = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) && !text.contains("=?");
    if plain && text.len() <= 60 { text.to_owned() } else { encoded(text) }
}

/// Encoded words, one a line.
fn encoded(text: &str) -> String {
    let mut words = vec![String::new()];
    for c in text.chars() {
        if words.last().is_none_or(|word| word.len() + c.len_utf8() > MAX_WORD) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let words: Vec<String> = words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_told_from_what_is_none() {
        for (text, header) in [
            ("ops@example.com", Some("ops@example.com")),
            ("Landfall <landfall@example.com>", Some("Landfall <landfall@example.com>")),
            ("\"Ops\" <ops+prod@example.com>", Some("Ops <ops+prod@example.com>")),
            ("Zoë <zoe@example.com>", Some("=?utf-8?B?Wm/Dqw==?= <zoe@example.com>")),
            ("Landfall", None),
            ("a@b@example.com", None),
            ("a b@example.com", None),
            ("x <y> <z@example.com>", None),
            ("a@example.com> SIZE=1", None),
            ("a\r\nBcc: x@example.com", None),
            ("@example.com", None),
            ("a@", None),
        ] {
            assert_eq!(Mailbox::parse(text).map(|one| one.header()).as_deref(), header, "{text}");
        }
    }

    #[test]
    fn a_message_is_ascii_with_short_lines() {
        let from = Mailbox::parse("Landfall <l@example.com>").unwrap();
        let to = [Mailbox::parse("a@example.com").unwrap(), Mailbox::parse("b@example.com").unwrap()];
        let subject = "🔴 prod: wéb ".repeat(12);
        let date = "2026-01-05T08:00:00Z".parse().unwrap();
        let head = Head { from: &from, to: &to, subject: &subject, id: "<1@x>", follows: None, date };
        let message = message(&head, &"é\n".repeat(200));
        assert!(
            message.is_ascii() && message.split("\r\n").all(|line| line.len() <= 78 && !line.contains('\n')),
            "{message}"
        );
        assert!(
            message.contains("To: a@example.com,\r\n b@example.com\r\n")
                && message.contains("Date: Mon, 5 Jan 2026 08:00:00"),
            "{message}"
        );
    }
}
