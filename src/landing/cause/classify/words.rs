//! The words of a message, without the names in it: an image called `x509-certificate-exporter`, a tag `build-1401` or a pod
//! `unauthorized-page` says nothing about certificates, status codes or permissions.

/// A message without the names in it: lower case, one space between words, and `*` for each word that is a name (an
/// image reference, a path, an address, anything quoted without a space in it).
pub(super) fn words(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for word in message.split_whitespace() {
        let core = word.trim_matches(|c: char| matches!(c, '.' | ',' | ':' | ';' | '(' | ')' | '[' | ']' | '{' | '}'));
        let end = word.strip_suffix(':').map_or("", |_| ":");
        if is_name(core) {
            out.push('*');
            out.push_str(end);
        } else {
            out.push_str(&word.to_lowercase());
        }
        out.push(' ');
    }
    out
}

fn is_name(core: &str) -> bool {
    let quoted = core.len() >= 2 && core.starts_with(['"', '\'', '`']) && core.ends_with(['"', '\'', '`']);
    // `manifests/1.0: 404`, `web:1.4.0`, `10.0.0.10:53`, `/var/lib/x`; but `i/o`, and `desc="…`, which begins a sentence.
    let joined = core.contains('/') || core.contains('@') || core.trim_end_matches(':').contains(':');
    quoted || (joined && !matches!(core, "i/o" | "I/O") && !core.contains("=\""))
}

/// Whether a text contains one of these phrases as whole words: `unauthorized` is not in `unauthorized-page`.
pub(super) fn has(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| has_phrase(text, phrase))
}

fn has_phrase(text: &str, phrase: &str) -> bool {
    let part_of_a_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let starts_with_word = phrase.starts_with(|c: char| part_of_a_name(c));
    let ends_with_word = phrase.ends_with(|c: char| part_of_a_name(c));
    text.match_indices(phrase).any(|(at, _)| {
        let before = text[..at].chars().next_back().filter(|_| starts_with_word);
        let after = text[at + phrase.len()..].chars().next().filter(|_| ends_with_word);
        !before.is_some_and(part_of_a_name) && !after.is_some_and(part_of_a_name)
    })
}
