//! `.landfallignore`: what to leave alone, in the syntax of gitignore(5).
//!
//! Supported: comments, `!` to re-include, a trailing `/` for folders only, a `/` at the start or in the middle to
//! anchor at the root, `*`, `?`, `[…]`, `**`, and `\` before a special character. As in Git, the last matching pattern
//! decides, and nothing below an ignored folder can be re-included.
//!
//! It fails closed: if the file cannot be read completely (too large, not text, a symbolic link), everything is left
//! alone, because it is unknown what the file would have protected. A single invalid line is reported, and the others
//! count.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::IGNORE_FILE;
use crate::model::{RepoPath, SkipReason, Skipped};

/// Maximum number of patterns: a bound on the work per file.
const MAX_PATTERNS: usize = 2_000;
/// Maximum size of the file.
const MAX_SIZE: usize = 256 << 10;

/// The patterns of a `.landfallignore`.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    globs: GlobSet,
    /// For each glob, its rule.
    rules: Vec<Rule>,
    /// The file cannot be used: everything is left alone.
    closed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Rule {
    ignored: bool,
    folders_only: bool,
}

impl Ignore {
    /// Parses the file's bytes.
    #[must_use]
    pub fn read(bytes: &[u8]) -> (Self, Vec<Skipped>) {
        if bytes.len() > MAX_SIZE {
            return Self::closed(&format!("it is larger than {} KiB", MAX_SIZE >> 10));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(text),
            Err(_) => Self::closed("it is not valid UTF-8"),
        }
    }

    /// Leaves everything alone, because the file exists but cannot be used.
    #[must_use]
    pub fn closed(reason: &str) -> (Self, Vec<Skipped>) {
        let reason = format!("{reason}; until it is fixed, everything in the repository is left alone");
        let problem = Skipped::file(IGNORE_FILE, SkipReason::IgnoreUnusable { reason });
        (Self { closed: true, ..Self::default() }, vec![problem])
    }

    /// Whether everything is left alone, because the file cannot be used.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Parses the patterns; invalid ones are reported and left out.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<Skipped>) {
        let (mut globs, mut rules, mut problems) = (GlobSetBuilder::new(), Vec::new(), Vec::new());
        let mut problem = |line: usize, reason: String| {
            let reason = SkipReason::IgnoreUnusable { reason };
            problems.push(Skipped { line: Some(line + 1), ..Skipped::file(IGNORE_FILE, reason) });
        };
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let Some((glob, rule)) = rule(line) else { continue };
            if rules.len() >= MAX_PATTERNS {
                return Self::closed(&format!("it has more than {MAX_PATTERNS} patterns"));
            }
            match GlobBuilder::new(&glob).literal_separator(true).backslash_escape(true).build() {
                Ok(glob) => {
                    globs.add(glob);
                    rules.push(rule);
                }
                Err(error) => problem(number, format!("not a pattern: {}", error.kind())),
            }
        }
        match globs.build() {
            Ok(globs) => (Self { globs, rules, closed: false }, problems),
            Err(error) => Self::closed(&format!("its patterns are too large in total: {}", error.kind())),
        }
    }

    /// Whether a file is ignored, by its own name or because of a folder.
    #[must_use]
    pub fn matches(&self, path: &RepoPath) -> bool {
        let path = path.as_str();
        self.closed
            || !self.rules.is_empty()
                && (path.match_indices('/').any(|(at, _)| self.decides(&path[..at], true)) || self.decides(path, false))
    }

    /// Whether a folder is ignored with everything in it.
    #[must_use]
    pub fn matches_folder(&self, path: &RepoPath) -> bool {
        self.matches(path) || self.decides(path.as_str(), true)
    }

    fn decides(&self, path: &str, folder: bool) -> bool {
        let matching = self.globs.matches(path);
        let rules = matching.iter().rev().filter_map(|at| self.rules.get(*at));
        rules.into_iter().find(|rule| folder || !rule.folders_only).is_some_and(|rule| rule.ignored)
    }
}

/// The glob and the rule of one line; `None` for empty lines and comments.
fn rule(line: &str) -> Option<(String, Rule)> {
    let line = line.trim_end_matches('\r');
    // Trailing blanks count only if escaped.
    let trimmed = line.trim_end_matches(' ');
    let line = if trimmed.ends_with('\\') { &line[..(trimmed.len() + 1).min(line.len())] } else { trimmed };
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (line, ignored) = line.strip_prefix('!').map_or((line, true), |line| (line, false));
    let (line, folders_only) = line.strip_suffix('/').map_or((line, false), |line| (line, true));
    if line.is_empty() {
        return None;
    }
    let anchored = line.contains('/');
    let line = line.strip_prefix('/').unwrap_or(line);
    // Git has no brace alternatives, but globset does.
    let line = line.replace('{', "\\{").replace('}', "\\}");
    let glob = if anchored { line } else { format!("**/{line}") };
    Some((glob, Rule { ignored, folders_only }))
}

#[cfg(test)]
mod tests {
    use super::Ignore;
    use crate::model::RepoPath;

    #[test]
    fn patterns_mean_what_they_mean_to_git() {
        let text = "# comment\n\nvendor/\n*.gen.yaml\n/top.yaml\napps/*/secret.yaml\n!keep.gen.yaml\ndocs/**/x.yaml\n\
                    build/\n!build/keep.yaml\n\\!odd.yaml\n{a,b}.yaml\r\n";
        let (ignore, problems) = Ignore::parse(text);
        assert!(problems.is_empty(), "{problems:?}");
        for (path, ignored) in [
            ("vendor/a.yaml", true),
            ("apps/vendor/x/a.yaml", true),
            ("vendor", false),
            ("a.gen.yaml", true),
            ("x/y/a.gen.yaml", true),
            ("x/keep.gen.yaml", false),
            ("top.yaml", true),
            ("x/top.yaml", false),
            ("apps/web/secret.yaml", true),
            ("apps/web/x/secret.yaml", false),
            ("docs/x.yaml", true),
            ("docs/a/b/x.yaml", true),
            ("build/keep.yaml", true),
            ("!odd.yaml", true),
            ("a.yaml", false),
            ("{a,b}.yaml", true),
        ] {
            assert_eq!(ignore.matches(&RepoPath::parse(path).unwrap()), ignored, "{path}");
        }
        assert!(ignore.matches_folder(&RepoPath::parse("vendor").unwrap()));
    }

    #[test]
    fn bad_patterns_are_reported_and_the_others_count() {
        let (ignore, problems) = Ignore::parse("[z-a]\na.yaml\n");
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].line, Some(1));
        assert!(ignore.matches(&RepoPath::parse("a.yaml").unwrap()));
    }

    #[test]
    fn a_file_that_cannot_be_used_leaves_everything_alone() {
        let huge = vec![b'#'; super::MAX_SIZE + 1];
        for bytes in ["x\n".repeat(5_000).as_bytes(), huge.as_slice(), b"\xff\xfe"] {
            let (ignore, problems) = Ignore::read(bytes);
            assert!(ignore.is_closed() && ignore.matches(&RepoPath::parse("apps/web.yaml").unwrap()));
            assert!(
                problems[0].reason.to_string().contains("everything in the repository is left alone"),
                "{problems:?}"
            );
        }
    }
}
