//! `CODEOWNERS` as GitHub reads it: who owns a path.
//!
//! A line is a pattern and its owners; the last line that matches a path decides, even if it names no owners. Patterns
//! are those of `.gitignore` without negation, character classes and escapes of `#`; lines with these are skipped, as
//! on GitHub. Owners are `@user` and `@org/team`; e-mail addresses cannot be asked for a review and are skipped.

use crate::model::RepoPath;

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

/// The owners of these paths, without duplicates, in order of appearance, as `user` or `org/team`.
#[must_use]
pub fn code_owners<'p>(text: &str, paths: impl IntoIterator<Item = &'p RepoPath>) -> Vec<String> {
    if text.len() > MAX_BYTES {
        return Vec::new();
    }
    let rules: Vec<Rule<'_>> = text.lines().take(MAX_LINES).filter_map(Rule::parse).collect();
    let mut owners: Vec<String> = Vec::new();
    for path in paths {
        let parts: Vec<&str> = path.as_str().split('/').collect();
        let Some(rule) = rules.iter().rev().find(|rule| rule.matches(&parts)) else { continue };
        for owner in rule.owners() {
            if owners.len() < MAX_OWNERS && !owners.iter().any(|there| there.eq_ignore_ascii_case(owner)) {
                owners.push(owner.to_owned());
            }
        }
    }
    owners
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

    fn matches(&self, path: &[&str]) -> bool {
        if path.len() > MAX_PARTS {
            return false;
        }
        let starts = if self.anchored { 0..1 } else { 0..path.len() };
        starts.into_iter().any(|start| path.get(start..).is_some_and(|path| self.covers(path)))
    }

    /// Whether it matches the path or a folder above it.
    fn covers(&self, path: &[&str]) -> bool {
        // A pattern for a folder covers everything below it, but `docs/*` covers only the files directly in `docs`.
        let alone = self.parts.len() > 1 && self.parts.last().is_some_and(|last| last == "*");
        let ends = match (self.folder, alone) {
            (true, _) => 1..path.len(),
            (false, true) => path.len()..path.len() + 1,
            (false, false) => 1..path.len() + 1,
        };
        ends.into_iter().any(|end| path.get(..end).is_some_and(|path| whole(&self.parts, path)))
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

/// Whether all segments of a pattern match all segments of a path; `**` is any number of segments.
fn whole(pattern: &[String], path: &[&str]) -> bool {
    // One row per segment of the pattern: the prefixes of the path that the pattern so far can match.
    let mut reached = vec![false; path.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for (nth, part) in pattern.iter().enumerate() {
        let mut next = vec![false; path.len() + 1];
        if part == "**" {
            let mut open = false;
            // At the end, `**` stands for the content: at least one segment.
            let least = usize::from(nth + 1 == pattern.len());
            for (at, there) in next.iter_mut().enumerate() {
                open |= at.checked_sub(least).and_then(|before| reached.get(before)).copied().unwrap_or(false);
                *there = open;
            }
        } else {
            for (at, name) in path.iter().enumerate() {
                if reached.get(at).copied().unwrap_or(false)
                    && segment(part, name)
                    && let Some(there) = next.get_mut(at + 1)
                {
                    *there = true;
                }
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

/// Matches `*` and `?` within one segment, in time that does not grow with the number of stars.
fn segment(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == name.get(n) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after, from)) = star else { return false };
                star = Some((after, from + 1));
                p = after;
                n = from + 1;
            }
        }
    }
    pattern.get(p..).is_none_or(|rest| rest.iter().all(|c| *c == '*'))
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
        code_owners(text, [&RepoPath::parse(path).unwrap()])
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
        assert_eq!(code_owners(text, &both), ["ann", "acme/sre", "acme/all"]);
        assert_eq!(
            code_owners(&text.replace("@acme/sre", "@acme/sre @ANN @a/b/c @x;y @"), &both[..1]),
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
}
