//! `CODEOWNERS` as GitHub reads it: who owns a path.
//!
//! A line is a pattern and its owners; the last line that matches a path decides, even if it names no owners. Patterns
//! are those of `.gitignore` without negation, character classes and escapes of `#`; lines with these are skipped, as
//! on GitHub. Owners are `@user` and `@org/team`; e-mail addresses cannot be asked for a review and are skipped.

use std::collections::HashMap;

use crate::model::RepoPath;
use crate::model::wildcard::{Steps, Wildcard, matches};

/// Possible locations of the file; the first one that exists is used.
pub const PLACES: [&str; 3] = [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"];

/// Maximum size of the file in bytes; GitHub's limit.
const MAX_BYTES: usize = 3 << 20;
/// Maximum number of lines.
const MAX_LINES: usize = 20_000;
/// Maximum number of owners asked for a review.
const MAX_OWNERS: usize = 15;
/// Maximum number of segments in a pattern or path.
const MAX_PARTS: usize = 64;
/// Maximum number of comparisons for one pull request: a fraction of a second. A thousand ordinary lines take some
/// thousands for each file.
const MAX_STEPS: u64 = 50_000_000;

/// The owners of some paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodeOwners {
    /// As `user` or `org/team`, without duplicates, in order of appearance.
    pub names: Vec<String>,
    /// Why there may be others.
    pub problem: Option<String>,
}

/// The owners of these paths.
#[must_use]
pub fn code_owners<'p>(text: &str, paths: impl IntoIterator<Item = &'p RepoPath>) -> CodeOwners {
    within(text, paths, Steps::new(MAX_STEPS))
}

fn within<'p>(text: &str, paths: impl IntoIterator<Item = &'p RepoPath>, mut steps: Steps) -> CodeOwners {
    if text.len() > MAX_BYTES {
        let problem = Some(format!("it is larger than {} MB", MAX_BYTES >> 20));
        return CodeOwners { names: Vec::new(), problem };
    }
    let rules: Vec<Rule<'_>> = text.lines().take(MAX_LINES).filter_map(Rule::parse).collect();
    let mut owners: Vec<String> = Vec::new();
    for path in paths {
        let mut path = Segments::of(path);
        let found = rules.iter().rev().find(|rule| steps.are_spent() || rule.matches(&mut path, &mut steps));
        if steps.are_spent() {
            let problem = Some("comparing its patterns with all changed files takes too long".to_owned());
            return CodeOwners { names: owners, problem };
        }
        let Some(rule) = found else { continue };
        for owner in rule.owners() {
            if owners.len() < MAX_OWNERS && !owners.iter().any(|there| there.eq_ignore_ascii_case(owner)) {
                owners.push(owner.to_owned());
            }
        }
    }
    CodeOwners { names: owners, problem: None }
}

/// A character of a pattern.
struct Element(char);

impl Wildcard for Element {
    fn is_star(&self) -> bool {
        self.0 == '*'
    }

    fn is_for(&self, c: char) -> bool {
        self.0 == '?' || self.0 == c
    }
}

/// A path, and what was found out about it.
struct Segments<'r> {
    names: Vec<Vec<char>>,
    /// Which of its names a part of a pattern matches, as bits.
    found: HashMap<&'r str, u64>,
}

impl<'r> Segments<'r> {
    fn of(path: &RepoPath) -> Self {
        Self { names: path.as_str().split('/').map(|name| name.chars().collect()).collect(), found: HashMap::new() }
    }

    /// Each part is compared with each name once, however many lines have it and wherever it may stand in them.
    fn matched_by(&mut self, part: &'r str, steps: &mut Steps) -> u64 {
        if let Some(found) = self.found.get(part) {
            return *found;
        }
        let pattern: Vec<Element> = part.chars().map(Element).collect();
        let mut found = 0;
        for (at, name) in self.names.iter().enumerate() {
            found |= u64::from(matches(&pattern, name, steps)) << at;
        }
        self.found.insert(part, found);
        found
    }
}

/// One line.
struct Rule<'t> {
    parts: Vec<String>,
    /// Whether it matches only from the root.
    anchored: bool,
    /// Whether it matches the content of a folder, not a file.
    folder: bool,
    owners: &'t str,
}

impl<'t> Rule<'t> {
    fn parse(line: &'t str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (pattern, owners) = split(line);
        if pattern.starts_with('!') || pattern.contains(['[', ']']) || pattern.starts_with("\\#") {
            return None;
        }
        let owners = owners.split_once('#').map_or(owners, |(before, _)| before);
        let folder = pattern.ends_with('/');
        let inner = pattern.trim_matches('/');
        let parts: Vec<String> = inner.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let anchored = pattern.starts_with('/') || parts.len() > 1;
        (!parts.is_empty() && parts.len() <= MAX_PARTS).then_some(Self { parts, anchored, folder, owners })
    }

    fn owners(&self) -> impl Iterator<Item = &'t str> {
        self.owners.split_whitespace().filter_map(|owner| owner.strip_prefix('@')).filter(|owner| is_owner(owner))
    }

    /// Whether it matches the path or a folder above it.
    fn matches<'r>(&'r self, path: &mut Segments<'r>, steps: &mut Steps) -> bool {
        let length = path.names.len();
        if length > MAX_PARTS || !steps.take(1) {
            return false;
        }
        // A pattern for a folder covers everything below it, but `docs/*` covers only the files directly in `docs`.
        let alone = self.parts.len() > 1 && self.parts.last().is_some_and(|last| last == "*");
        let ends = match (self.folder, alone) {
            (true, _) => 1..length,
            (false, true) => length..length + 1,
            (false, false) => 1..length + 1,
        };
        // Bit n: the segments so far can match up to the nth segment of the path, from the root or from anywhere.
        let all = u128::MAX >> (127 - length);
        let mut reached: u128 = if self.anchored { 1 } else { all };
        for (nth, part) in self.parts.iter().enumerate() {
            reached = if part == "**" {
                // Everything from the first place on; at the end, `**` stands for the content: at least one segment.
                let least = u32::from(nth + 1 == self.parts.len());
                all & (u128::MAX << (reached.trailing_zeros() + least))
            } else {
                (reached & u128::from(path.matched_by(part, steps))) << 1
            };
            if reached == 0 {
                return false;
            }
        }
        ends.into_iter().any(|end| (reached >> end) & 1 == 1)
    }
}

/// The pattern with its escaped spaces unescaped, and the rest of the line.
fn split(line: &str) -> (String, &str) {
    let mut pattern = String::new();
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && line[at..].starts_with("\\ ") {
            pattern.push(' ');
            chars.next();
        } else if c.is_whitespace() {
            return (pattern, &line[at..]);
        } else {
            pattern.push(c);
        }
    }
    (pattern, "")
}

fn is_owner(owner: &str) -> bool {
    let mut parts = owner.split('/');
    let valid = |part: &str| {
        !part.is_empty() && part.len() <= 100 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    parts.next().is_some_and(valid) && parts.next().is_none_or(valid) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(text: &str, path: &str) -> Vec<String> {
        code_owners(text, [&RepoPath::parse(path).unwrap()]).names
    }

    #[test]
    fn patterns_mean_what_they_mean_on_github() {
        for (pattern, path, expected) in [
            ("*", "a/b/c.yaml", true),
            ("*.yaml", "a/b/c.yaml", true),
            ("*.yaml", "c.yml", false),
            ("/apps/", "apps/web/x.yaml", true),
            ("/apps/", "clusters/apps/x.yaml", false),
            ("apps/", "clusters/apps/x.yaml", true),
            ("apps/", "apps", false),
            ("apps", "apps/web/x.yaml", true),
            ("apps", "clusters/apps", true),
            ("docs/*", "docs/a.md", true),
            ("docs/*", "docs/build/a.md", false),
            ("docs/*", "x/docs/a.md", false),
            ("docs/**", "docs/build/a.md", true),
            ("/docs/**", "docs", false),
            ("apps/web", "apps/web/overlays/prod/k.yaml", true),
            ("apps/web", "more/apps/web/k.yaml", false),
            ("**/prod", "apps/web/overlays/prod/k.yaml", true),
            ("**/prod", "prod/k.yaml", true),
            ("**/prod/", "apps/prod", false),
            ("apps/*/overlays/prod/", "apps/web/overlays/prod/k.yaml", true),
            ("apps/*/overlays/prod/", "apps/web/more/overlays/prod/k.yaml", false),
            ("/apps/**/prod/**", "apps/web/overlays/prod/k.yaml", true),
            ("/apps/**/prod/**", "apps/prod/k.yaml", true),
            ("we?", "a/web", true),
            ("we?", "a/we", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("my\\ app/", "my app/x", true),
            ("!apps/", "apps/x", false),
            ("[a-z]pps/", "apps/x", false),
        ] {
            assert_eq!(!owners(&format!("{pattern} @ann\n"), path).is_empty(), expected, "{pattern} of {path}");
        }
    }

    #[test]
    fn the_last_line_that_matches_decides() {
        let text = "# who\n* @acme/all\r\napps/ @ann @acme/sre # on call\napps/web/ ben@example.com @Ben\nvendor/\n";
        for (path, expected) in [
            ("README", vec!["acme/all"]),
            ("apps/api/x", vec!["ann", "acme/sre"]),
            ("apps/web/x", vec!["Ben"]),
            ("vendor/x", vec![]),
        ] {
            assert_eq!(owners(text, path), expected, "{path}");
        }
        let both = [RepoPath::parse("apps/api/x").unwrap(), RepoPath::parse("README").unwrap()];
        assert_eq!(code_owners(text, &both).names, ["ann", "acme/sre", "acme/all"]);
        assert_eq!(
            code_owners(&text.replace("@acme/sre", "@acme/sre @ANN @a/b/c @x;y @"), &both[..1]).names,
            ["ann", "acme/sre"]
        );
    }

    #[test]
    fn what_is_too_much_is_bounded() {
        let many: String = (0..100).map(|n| format!(" @u{n}")).collect();
        assert_eq!(owners(&format!("*{many}"), "x").len(), MAX_OWNERS);
        let deep = "a/".repeat(2_000);
        assert!(owners(&format!("{deep}x @ann"), &format!("{deep}x")).is_empty());
        let stars = "*a".repeat(200);
        assert!(owners(&format!("{stars}b @ann"), &"a".repeat(2_000)).is_empty());
        assert!(owners(&"x".repeat(MAX_BYTES + 1), "x").is_empty());
    }

    #[test]
    fn what_takes_too_long_is_given_up_and_said() {
        let path = RepoPath::parse(&format!("{}k.yaml", "aaaaaaaa/".repeat(60))).unwrap();
        let same = "*a*a*a*b @ann\n".repeat(20_000);
        let found = within(&same, [&path], Steps::new(200_000));
        assert_eq!(
            (found.names.len(), found.problem),
            (0, None),
            "one pattern is compared once, however many lines have it"
        );
        let other: String = (0..10_000).map(|n| format!("*a*a*a*b{n}* @ann\n")).collect();
        let found = within(&format!("{other}*.yaml @ben\n"), [&path, &path], Steps::new(200_000));
        assert!(found.names == ["ben"] && found.problem.is_none(), "{found:?}");
        let found = within(&format!("*.yaml @ben\n{other}"), [&path], Steps::new(200_000));
        assert!(found.names.is_empty() && found.problem.unwrap().contains("takes too long"));
        assert!(code_owners(&"x".repeat(MAX_BYTES + 1), [&path]).problem.unwrap().contains("larger than 3 MB"));
    }
}
