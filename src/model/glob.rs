//! Globs written by somebody else: in a policy, a repository or an object of a cluster.
//!
//! Promise: compiling one takes bounded time and memory and never panics, whatever the text. Anything longer, more
//! deeply nested or larger than any real pattern is refused with the reason.

#![expect(clippy::disallowed_types, reason = "this is the one place that compiles globs")]

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Maximum length of a pattern.
const MAX_LENGTH: usize = 2_000;
/// Maximum nesting of `{…}`, and maximum number of them.
const MAX_NESTING: usize = 8;
const MAX_CHOICES: usize = 64;

/// Whether `*` and `?` match a `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separators {
    /// They do not.
    Stop,
    /// They do.
    Cross,
}

/// A compiled glob.
#[derive(Debug, Clone)]
pub struct Glob {
    text: String,
    set: GlobSet,
}

impl Glob {
    /// Compiles a glob: `*`, `?`, `[a-z]`, `{a,b}`, `**` and `\` before a special character.
    ///
    /// # Errors
    /// If it is not a glob, or exceeds a limit: the reason, as text.
    pub fn new(text: &str, separators: Separators) -> Result<Self, String> {
        check(text)?;
        let glob = GlobBuilder::new(text)
            .literal_separator(separators == Separators::Stop)
            .backslash_escape(true)
            .build()
            .map_err(|error| error.kind().to_string())?;
        // Compiling a set can fail with an error; a single matcher cannot.
        let set = GlobSetBuilder::new().add(glob).build().map_err(|_| "it is too large once compiled".to_owned())?;
        Ok(Self { text: text.to_owned(), set })
    }

    /// Whether the whole text matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.set.is_match(text)
    }

    /// The glob as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Checks that a pattern is within the limits.
///
/// # Errors
/// The limit that it exceeds, as text.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("it is longer than {MAX_LENGTH} characters"));
    }
    let (mut depth, mut choices) = (0_usize, 0);
    for c in text.chars() {
        match c {
            '{' => {
                depth += 1;
                choices += 1;
            }
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(format!("its braces are nested deeper than {MAX_NESTING} levels"));
        }
    }
    if choices > MAX_CHOICES {
        return Err(format!("it has more than {MAX_CHOICES} pairs of braces"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Glob, Separators};

    #[test]
    fn no_pattern_panics_or_grows_without_end() {
        let nested = format!("{}a{}", "{a,".repeat(400), "}".repeat(400));
        let wide = "{a,b}".repeat(300);
        for text in [nested.as_str(), wide.as_str(), &"*".repeat(5_000), &"[a-".repeat(200), "{", "[z-a]"] {
            assert!(Glob::new(text, Separators::Stop).is_err(), "{}", &text[..text.len().min(20)]);
        }
        for text in ["*a".repeat(900), "?".repeat(2_000), "**/".repeat(600), "[!a]".repeat(490)] {
            drop(Glob::new(&text, Separators::Cross));
        }
    }

    #[test]
    fn stars_stop_at_a_slash_or_cross_it() {
        let matches = |text: &str, separators, value: &str| Glob::new(text, separators).unwrap().is_match(value);
        assert!(matches("a/*", Separators::Stop, "a/b") && !matches("a/*", Separators::Stop, "a/b/c"));
        assert!(matches("a/*", Separators::Cross, "a/b/c") && matches("{a,b}/**", Separators::Stop, "b/c/d"));
    }
}
