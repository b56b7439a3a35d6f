//! Makes text from a cluster fit to be shown: one line, bounded, without secrets, and without mentions or control
//! characters.
//!
//! Error messages of registries, Git servers and webhooks reach alerts through statuses and events. They have been seen
//! to carry credentials in URLs, bearer tokens and signed query strings.

/// Maximum length of a text, in characters.
const MAX: usize = 400;

/// How much of that is taken from the end if something is left out.
const TAIL: usize = 160;

/// What replaces a secret.
const HIDDEN: &str = "***";

/// Prefixes of well-known tokens.
const TOKENS: &[&str] = &[
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "eyJ",
    "AKIA",
    "ASIA",
    "dckr_pat_",
    "hvs.",
    "npm_",
];

/// Parts of keys, in lower case, whose value is a secret.
const KEYS: &[&str] =
    &["password", "passwd", "secret", "token", "api_key", "apikey", "access_key", "signature", "credential", "sig"];

/// Cleans a text. If it is too long, its beginning and its end are kept, because build tools put the cause last.
#[must_use]
pub fn clean(text: &str) -> String {
    let head = bounded(raw_words(text).scan("", |before, word| Some((std::mem::replace(before, word), word))), MAX);
    if head.is_whole {
        return head.words.join(" ");
    }
    // By now, more of the beginning is kept than its share.
    let start = shorten(&head.words.join(" "), MAX - TAIL - 3);
    let mut backwards = raw_words(text).rev().peekable();
    let pairs = std::iter::from_fn(|| {
        let word = backwards.next()?;
        Some((backwards.peek().copied().unwrap_or_default(), word))
    });
    let mut end = bounded(pairs, TAIL).words;
    end.reverse();
    let end: Vec<char> = end.join(" ").chars().collect();
    let end: String = end[end.len().saturating_sub(TAIL)..].iter().collect();
    format!("{start} … {end}")
}

fn raw_words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty())
}

/// Clean words up to a maximum length.
struct Bounded {
    words: Vec<String>,
    /// Whether nothing was left out.
    is_whole: bool,
}

/// Cleans words, each given with the one before it, until they exceed `most` characters together.
fn bounded<'t>(pairs: impl Iterator<Item = (&'t str, &'t str)>, most: usize) -> Bounded {
    let mut words = Vec::new();
    let mut length = 0;
    for (before, word) in pairs {
        // A word is cleaned before it is cut, so that no part of a secret survives.
        let shown = if announces_secret(before, word) { HIDDEN.to_owned() } else { clean_word(word) };
        length += shown.chars().count() + usize::from(!words.is_empty());
        words.push(shown);
        if length > most {
            return Bounded { words, is_whole: false };
        }
    }
    Bounded { words, is_whole: true }
}

fn shorten(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// `Authorization: Bearer x`, `password: x`: the next word is the secret. "no basic auth credentials" and "password
/// authentication is not supported" contain none.
fn announces_secret(before: &str, word: &str) -> bool {
    let name = before.trim_matches(|c: char| !c.is_alphanumeric()).to_ascii_lowercase();
    let plain = word.trim_end_matches(['.', ',', ';', ':', ')']).bytes().all(|byte| byte.is_ascii_lowercase());
    match name.as_str() {
        "bearer" | "basic" => !plain,
        "password" | "passwd" | "x-api-key" => before.ends_with(':') || before.ends_with('=') || !plain,
        _ => false,
    }
}

fn clean_word(word: &str) -> String {
    let word: String = word.chars().filter(|c| !is_steering(*c)).map(|c| if c == '`' { '\'' } else { c }).collect();
    let word = hide_userinfo(&word);
    let word = hide_values(&word);
    let word = hide_tokens(&word);
    no_mention(&word)
}

/// Characters that change the text direction or are invisible.
fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `https://user:password@host` → `https://***@host`.
fn hide_userinfo(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(['/', '?', '#', '"', '\'', '>', ')']).unwrap_or(after.len());
        // The last @ before the path ends the user part, whatever characters the password has.
        match after[..end].rfind('@') {
            Some(sign) => {
                out.push_str(HIDDEN);
                rest = &after[sign..];
            }
            None => rest = after,
        }
    }
    out.push_str(rest);
    out
}

/// `token=x`, `"password":"x"`, with the value hidden.
fn hide_values(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for piece in word.split_inclusive(['&', ',', ';', '?', '{', '}']) {
        let (body, end) = match piece.char_indices().next_back() {
            Some((at, '&' | ',' | ';' | '?' | '{' | '}')) => piece.split_at(at),
            _ => (piece, ""),
        };
        let separator = body.find('=').or_else(|| body.find("\":").map(|at| at + 1));
        match separator {
            Some(at) if is_secret_key(&body[..at]) && body.len() > at + 1 => {
                out.push_str(&body[..=at]);
                out.push_str(HIDDEN);
            }
            _ => out.push_str(body),
        }
        out.push_str(end);
    }
    out
}

fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    KEYS.iter().any(|part| if *part == "sig" { key.ends_with("sig") } else { key.contains(part) })
}

fn hide_tokens(word: &str) -> String {
    let mut out = word.to_owned();
    for prefix in TOKENS {
        let mut from = 0;
        while let Some(at) = out.get(from..).and_then(|rest| rest.find(prefix)).map(|at| at + from) {
            let boundary = out[..at].chars().next_back().is_none_or(|c| !c.is_ascii_alphanumeric());
            let secret = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '/' | '=');
            let end = out[at..].find(|c: char| !secret(c)).map_or(out.len(), |end| at + end);
            if boundary && end - at >= prefix.len() + 12 {
                out.replace_range(at..end, HIDDEN);
                from = at + HIDDEN.len();
            } else {
                from = at + prefix.len();
            }
        }
    }
    out
}

/// `@everyone`, `<!channel>` and `<@U123>` get an invisible word joiner (U+2060), so that no chat or forge notifies
/// anybody. An `@` within a word, as in `web@sha256:…`, is not a mention.
fn no_mention(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut before = None;
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        let next = chars.peek().copied();
        let mention = c == '@'
            && before.is_none_or(|b: char| !b.is_alphanumeric() && b != '*')
            && next.is_some_and(char::is_alphanumeric);
        if mention || (c == '<' && matches!(next, Some('!' | '@' | '#'))) {
            out.push('\u{2060}');
        }
        before = Some(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn secrets_do_not_get_through() {
        for (text, shown) in [
            ("clone https://bot:hunter2@git.example/x.git failed", "clone https://***@git.example/x.git failed"),
            ("https://user:p@ss@host/x", "https://***@host/x"),
            ("git+ssh://deploy:k@h and http://a:b@c", "git+ssh://***@h and http://***@c"),
            ("GET /v2?token=abc&x=1", "GET /v2?token=***&x=1"),
            ("X-Amz-Signature=0123&X-Amz-Credential=AK", "X-Amz-Signature=***&X-Amz-Credential=***"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
            ("password: hunter2 rejected", "password: *** rejected"),
            ("{\"password\":\"hunter2\",\"user\":\"x\"}", "{\"password\":***,\"user\":\"x\"}"),
            ("bad ghp_0123456789abcdef0123 here", "bad *** here"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2ln", "***"),
        ] {
            assert_eq!(clean(text), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "failed to fetch anonymous token: unexpected status: 401 Unauthorized",
            "ghcr.io/acme/web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef: not found",
            "secret \"web-config\" not found",
            "no basic auth credentials",
            "Password authentication is not supported for Git operations.",
            "bearer token expired",
            "Deployment.apps \"web\" is invalid: spec.selector: Invalid value: field is immutable",
        ] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn text_cannot_steer_or_mention() {
        assert_eq!(clean("a\u{1b}[31mb\r\nc\u{202e}d\0"), "a [31mb cd");
        assert_eq!(clean("@everyone <!channel> `x`"), "@\u{2060}everyone <\u{2060}!channel> 'x'");
        assert!(clean(&"ä".repeat(10_000)).chars().count() <= 400);
        assert!(clean(&"word ".repeat(10_000)).contains(" … "));
    }

    #[test]
    fn the_end_of_a_long_message_is_kept_and_clean() {
        let path = "accumulating resources from '../../base': ".repeat(40);
        let text = clean(&format!("kustomize build failed: {path}: no matches for Id Deployment.v1.apps/web.[noNs]"));
        assert!(text.starts_with("kustomize build failed: accumulating"), "{text}");
        assert!(text.ends_with("no matches for Id Deployment.v1.apps/web.[noNs]"), "{text}");
        assert!(text.chars().count() <= 400, "{text}");
        let secret = clean(&format!("{path} Authorization: Bearer abc.DEF.123 password: hunter2"));
        assert!(!secret.contains("abc.DEF") && !secret.contains("hunter2"), "{secret}");
    }
}
