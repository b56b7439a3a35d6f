//! `.landfallignore`: what to leave alone, in the syntax of gitignore(5).
//!
//! Supported: comments, `!` to re-include, a trailing `/` for folders only, a `/` at the start or in the middle to
//! anchor at the root, `*`, `?`, `[…]`, `**`, and `\` before a special character. As in Git, the last matching pattern
//! decides, and nothing below an ignored folder can be re-included.
//!
//! It fails closed: if the file cannot be used completely (too large, not text, a symbolic link, or more work than a
//! repository may cause), everything is left alone, because it is unknown what the file would have protected. So it is
//! with a control character in a pattern: no path of a repository that is read has one, so the pattern would protect
//! nothing. A single line that is no pattern is reported, and the others count.
//!
//! Nothing is compiled: a pattern takes as much memory as its text, each comparison is counted, and a folder is matched
//! once for all files in it that are asked about in a row.

use std::sync::Arc;

use super::IGNORE_FILE;
use crate::model::wildcard::{Steps, Wildcard, matches};
use crate::model::{RepoPath, SkipReason, Skipped};

/// Maximum number of lines with patterns.
const MAX_PATTERNS: usize = 2_000;
/// Maximum size of the file.
const MAX_SIZE: usize = 256 << 10;
/// Maximum length of a line.
const MAX_LINE: usize = 1_024;
/// Maximum number of comparisons with all paths of a tree together: about a second. Two thousand ordinary patterns take
/// some thousands for each file.
const MAX_STEPS: u64 = 200_000_000;

/// The patterns of a `.landfallignore`.
#[derive(Debug, Clone)]
pub struct Ignore {
    rules: Arc<[Rule]>,
    /// The file cannot be used: everything is left alone.
    closed: bool,
    steps: Steps,
    /// The path at which there were no steps left.
    overrun: Option<String>,
    /// The folder asked about last, and up to which byte of it which ancestor is ignored, the outermost first.
    folder: String,
    known: Vec<(usize, bool)>,
}

impl Default for Ignore {
    fn default() -> Self {
        Self {
            rules: Arc::default(),
            closed: false,
            steps: Steps::new(MAX_STEPS),
            overrun: None,
            folder: String::new(),
            known: Vec::new(),
        }
    }
}

#[derive(Debug)]
struct Rule {
    ignored: bool,
    folders_only: bool,
    /// Whether it begins at the root; otherwise it is one segment, for the last one of a path.
    anchored: bool,
    segments: Vec<Segment>,
}

#[derive(Debug)]
enum Segment {
    /// `**`: any number of segments; at the end, at least one.
    Any,
    Name(Vec<Element>),
}

#[derive(Debug)]
enum Element {
    Star,
    One,
    Is(char),
    /// One of these ranges, or none of them.
    Class {
        except: bool,
        ranges: Box<[(char, char)]>,
    },
}

impl Wildcard for Element {
    fn is_star(&self) -> bool {
        matches!(self, Self::Star)
    }

    fn is_for(&self, c: char) -> bool {
        match self {
            Self::Star => false,
            Self::One => true,
            Self::Is(this) => *this == c,
            Self::Class { except, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *except,
        }
    }
}

impl Ignore {
    /// Parses the file's bytes.
    #[must_use]
    pub fn read(bytes: &[u8]) -> (Self, Vec<Skipped>) {
        if bytes.len() > MAX_SIZE {
            return Self::closed(&format!("it is larger than {} KiB", MAX_SIZE >> 10));
        }
        match std::str::from_utf8(bytes) {
            // UTF-16 without a mark at its beginning, or what a crash left of a file.
            Ok(text) if text.contains('\0') => Self::closed("it contains NUL bytes, so it is not a text file"),
            Ok(text) => Self::parse(text),
            Err(_) => Self::closed("it is not valid UTF-8"),
        }
    }

    /// Leaves everything alone, because the file exists but cannot be used.
    #[must_use]
    pub fn closed(reason: &str) -> (Self, Vec<Skipped>) {
        (Self { closed: true, ..Self::default() }, vec![unusable(reason)])
    }

    /// Whether everything is left alone, because the file cannot be used.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The problem, if matching took more than a repository may cause: everything has been left alone since then.
    #[must_use]
    pub fn overrun(&self) -> Option<Skipped> {
        let path = self.overrun.as_ref()?;
        Some(unusable(&format!("comparing its patterns with all files takes too long (it was given up at `{path}`)")))
    }

    /// Parses the patterns; invalid ones are reported and left out.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<Skipped>) {
        let (mut rules, mut problems) = (Vec::new(), Vec::new());
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if line.len() > MAX_LINE {
                return Self::closed(&format!("line {} is longer than {MAX_LINE} bytes", number + 1));
            }
            let Some(rule) = Rule::parse(line) else { continue };
            // A line of blanks was meant as an empty one.
            if line.trim().is_empty() {
                continue;
            }
            if line.trim_end_matches('\r').chars().any(char::is_control) {
                return Self::closed(&format!("line {} has a control character, such as a tab", number + 1));
            }
            if rules.len() + problems.len() >= MAX_PATTERNS {
                return Self::closed(&format!("it has more than {MAX_PATTERNS} patterns"));
            }
            match rule {
                Ok(rule) => rules.push(rule),
                Err(reason) => {
                    let reason = SkipReason::IgnoreUnusable { reason: format!("not a pattern: {reason}") };
                    problems.push(Skipped { line: Some(number + 1), ..Skipped::file(IGNORE_FILE, reason) });
                }
            }
        }
        (Self { rules: rules.into(), ..Self::default() }, problems)
    }

    /// Whether a file is ignored, by its own name or because of a folder.
    #[must_use]
    pub fn matches(&mut self, path: &RepoPath) -> bool {
        if self.closed || self.rules.is_empty() {
            return self.closed;
        }
        self.is_ignored_folder(path.parent()) || self.decides(path.as_str(), false)
    }

    /// Whether a folder is ignored with everything in it.
    #[must_use]
    pub fn matches_folder(&mut self, path: &RepoPath) -> bool {
        if self.closed || self.rules.is_empty() {
            return self.closed;
        }
        self.is_ignored_folder(path.as_str())
    }

    /// Whether a folder or one above it is ignored.
    fn is_ignored_folder(&mut self, folder: &str) -> bool {
        let of_both = |end: usize, last: &str| {
            folder.get(..end) == last.get(..end) && folder[end..].chars().next().is_none_or(|next| next == '/')
        };
        while self.known.last().is_some_and(|(end, _)| !of_both(*end, &self.folder)) {
            self.known.pop();
        }
        folder.clone_into(&mut self.folder);
        if folder.is_empty() || self.known.last().is_some_and(|(_, ignored)| *ignored) {
            return !folder.is_empty();
        }
        let from = self.known.last().map_or(0, |(end, _)| *end);
        let below = folder.match_indices('/').map(|(at, _)| at).filter(|at| *at > from);
        let ends: Vec<usize> = below.chain((folder.len() > from).then_some(folder.len())).collect();
        for end in ends {
            let ignored = self.decides(&folder[..end], true);
            self.known.push((end, ignored));
            if ignored {
                return true;
            }
        }
        false
    }

    /// What the last rule that matches says; if that takes too long, everything is ignored from now on.
    fn decides(&mut self, path: &str, folder: bool) -> bool {
        let segments: Vec<Vec<char>> = path.split('/').map(|name| name.chars().collect()).collect();
        for rule in self.rules.iter().rev().filter(|rule| folder || !rule.folders_only) {
            if rule.matches(&segments, &mut self.steps) {
                return rule.ignored;
            }
            if self.steps.are_spent() {
                self.closed = true;
                self.overrun = Some(path.to_owned());
                return true;
            }
        }
        false
    }
}

fn unusable(reason: &str) -> Skipped {
    let reason = format!("{reason}; until it is fixed, everything in the repository is left alone");
    Skipped::file(IGNORE_FILE, SkipReason::IgnoreUnusable { reason })
}

impl Rule {
    /// The rule of one line, or what is wrong with it; `None` for empty lines and comments.
    fn parse(line: &str) -> Option<Result<Self, &'static str>> {
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
        let segment = |text: &str| match text {
            "**" if anchored => Ok(Segment::Any),
            text => elements(text).map(Segment::Name),
        };
        let segments: Result<Vec<Segment>, _> =
            line.strip_prefix('/').unwrap_or(line).split('/').map(segment).collect();
        Some(segments.map(|segments| Self { ignored, folders_only, anchored, segments }))
    }

    fn matches(&self, path: &[Vec<char>], steps: &mut Steps) -> bool {
        match (self.anchored, self.segments.as_slice(), path.last()) {
            (false, [Segment::Name(pattern)], Some(name)) => matches(pattern, name, steps),
            _ => self.matches_all(path, steps),
        }
    }

    /// Row by row: which beginnings of the path the segments so far can match.
    fn matches_all(&self, path: &[Vec<char>], steps: &mut Steps) -> bool {
        let mut reached = vec![false; path.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for (nth, segment) in self.segments.iter().enumerate() {
            let mut next = vec![false; path.len() + 1];
            // Everything after the first place that was reached, or the next segment after each.
            let least = match segment {
                Segment::Any => usize::from(nth + 1 == self.segments.len()),
                Segment::Name(_) => 1,
            };
            let mut open = false;
            for (at, there) in next.iter_mut().enumerate().skip(least) {
                let before = reached.get(at - least).copied().unwrap_or(false);
                *there = match segment {
                    Segment::Any => {
                        open |= before;
                        open
                    }
                    Segment::Name(pattern) => {
                        before && path.get(at - 1).is_some_and(|name| matches(pattern, name, steps))
                    }
                };
            }
            if !steps.take(path.len()) || !next.contains(&true) {
                return false;
            }
            reached = next;
        }
        reached.last().copied().unwrap_or(false)
    }
}

/// A pattern of one segment.
fn elements(text: &str) -> Result<Vec<Element>, &'static str> {
    let mut elements = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        elements.push(match c {
            '*' if matches!(elements.last(), Some(Element::Star)) => continue,
            '*' => Element::Star,
            '?' => Element::One,
            '\\' => Element::Is(chars.next().ok_or("there is nothing after its `\\`")?),
            '[' => {
                let except = chars.next_if(|c| matches!(c, '!' | '^')).is_some();
                Element::Class { except, ranges: ranges(&mut chars)? }
            }
            c => Element::Is(c),
        });
    }
    Ok(elements)
}

/// The inside of `[…]` with the closing bracket, which is literal if it comes first.
fn ranges(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Box<[(char, char)]>, &'static str> {
    const OPEN: &str = "a `[` is not closed";
    let mut ranges = Vec::new();
    loop {
        let from = match chars.next().ok_or(OPEN)? {
            ']' if !ranges.is_empty() => return Ok(ranges.into()),
            '[' if chars.peek() == Some(&':') => return Err("names of classes such as `[:alpha:]` are not supported"),
            '\\' => chars.next().ok_or(OPEN)?,
            c => c,
        };
        let mut ahead = chars.clone();
        let to = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) if to != ']' => {
                *chars = ahead;
                if to == '\\' { chars.next().ok_or(OPEN)? } else { to }
            }
            _ => from,
        };
        if to < from {
            return Err("a range runs backwards");
        }
        ranges.push((from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::Ignore;
    use crate::model::RepoPath;

    #[test]
    fn patterns_mean_what_they_mean_to_git() {
        let text = "# comment\n\nvendor/\n*.gen.yaml\n/top.yaml\napps/*/secret.yaml\n!keep.gen.yaml\ndocs/**/x.yaml\n\
                    build/\n!build/keep.yaml\n\\!odd.yaml\n{a,b}.yaml\r\n\
                    f[!0-9a]?.y*\nx[]-]\n\\*.z\n\\{n\\}\n/deep/**\n**/any/**/end\na**b.t\ntrail\\ \n";
        let (mut ignore, problems) = Ignore::parse(text);
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
            ("fbx.yml", true),
            ("f1x.yml", false),
            ("fbxx.yml", false),
            ("x]", true),
            ("x-", true),
            ("xx", false),
            ("*.z", true),
            ("a.z", false),
            ("{n}", true),
            ("\\{n\\}", false),
            ("deep", false),
            ("deep/x/y", true),
            ("x/deep/x", false),
            ("any/end", true),
            ("x/any/y/z/end/below", true),
            ("any/x", false),
            ("x/a12b.t", true),
            ("a/b.t", false),
            ("trail ", true),
            ("trail", false),
        ] {
            assert_eq!(ignore.matches(&RepoPath::parse(path).unwrap()), ignored, "{path}");
        }
        assert!(ignore.matches_folder(&RepoPath::parse("vendor").unwrap()));
    }

    #[test]
    fn bad_patterns_are_reported_and_the_others_count() {
        let (mut ignore, problems) = Ignore::parse("[z-a]\na.yaml\n[a\nb\\\n[[:alpha:]]\n");
        let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [1, 3, 4, 5].map(Some), "{problems:?}");
        assert!(ignore.matches(&RepoPath::parse("a.yaml").unwrap()));
    }

    #[test]
    fn a_file_that_cannot_be_used_leaves_everything_alone() {
        let huge = vec![b'#'; super::MAX_SIZE + 1];
        let long = "x".repeat(super::MAX_LINE + 1);
        let many = ["x\n", "[\n"].map(|line| line.repeat(5_000));
        for bytes in [many[0].as_bytes(), many[1].as_bytes(), long.as_bytes(), huge.as_slice(), b"\xff\xfe"] {
            let (mut ignore, problems) = Ignore::read(bytes);
            assert!(ignore.is_closed() && ignore.matches(&RepoPath::parse("apps/web.yaml").unwrap()));
            assert!(
                problems[0].reason.to_string().contains("everything in the repository is left alone"),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn patterns_that_no_path_can_match_leave_everything_alone() {
        for text in ["a.yaml\nvendor/\t\n", "a\u{1b}.yaml", "a.yaml\rb.yaml\r", "a\0.\0y\0", "# a\0\n", "x\u{85}\n"] {
            let (mut ignore, problems) = Ignore::read(text.as_bytes());
            assert!(ignore.is_closed() && ignore.matches(&RepoPath::parse("apps/web.yaml").unwrap()), "{text:?}");
            assert!(problems[0].reason.to_string().contains("everything in the repository is left alone"), "{text:?}");
        }
        let (ignore, problems) = Ignore::read(b"#\ta comment\n\t\n \t \r\na.yaml\r\n");
        assert_eq!((ignore.is_closed(), problems), (false, Vec::new()));
    }

    #[test]
    fn nested_braces_are_only_characters() {
        // With a matcher that knows alternatives, thousands of them overflow the stack: a fault that ends the process.
        for depth in [2, 250] {
            let text = format!("{}a{}\n", "\\{".repeat(depth), "\\}".repeat(depth));
            let (mut ignore, problems) = Ignore::read(text.as_bytes());
            assert_eq!((ignore.is_closed(), problems), (false, Vec::new()));
            let name = format!("{}a{}", "{".repeat(depth), "}".repeat(depth));
            assert!(ignore.matches(&RepoPath::parse(&name).unwrap()));
            assert!(!ignore.matches(&RepoPath::parse("a").unwrap()));
        }
        let (ignore, _) = Ignore::read(format!("{}a{}\n", "\\{".repeat(5_000), "\\}".repeat(5_000)).as_bytes());
        assert!(ignore.is_closed());
    }

    #[test]
    fn what_takes_too_long_leaves_everything_alone_and_says_so() {
        let slow: String = (0..2_000).map(|n| format!("*a*b??a*b???a*a?b?a{n}*z\n")).collect();
        let (mut ignore, _) = Ignore::read(slow.as_bytes());
        ignore.steps = super::Steps::new(2_000_000);
        let deep = |n: usize| RepoPath::parse(&format!("{}/{n}/{}", "ab".repeat(100), "aabz".repeat(50))).unwrap();
        let asked = (0..50).take_while(|n| !ignore.matches(&deep(*n))).count();
        assert!(asked < 50 && ignore.is_closed(), "{asked}");
        let problem = ignore.overrun().unwrap().reason.to_string();
        assert!(problem.contains("takes too long") && problem.contains("everything in the repository"), "{problem}");
        assert!(ignore.matches(&RepoPath::parse("other.yaml").unwrap()));
    }

    #[test]
    fn a_folder_is_matched_once_for_the_files_in_it() {
        let text = "a*a*a*b\n".repeat(100) + "x/*/*/ignored/\n";
        let (mut ignore, _) = Ignore::parse(&text);
        let folder = format!("{}/{}", "a".repeat(200), "a".repeat(200));
        let spent = |ignore: &mut Ignore, path: &str| {
            let before = ignore.steps.left();
            let ignored = ignore.matches(&RepoPath::parse(path).unwrap());
            (ignored, before - ignore.steps.left())
        };
        let (_, first) = spent(&mut ignore, &format!("{folder}/1.yaml"));
        let (_, second) = spent(&mut ignore, &format!("{folder}/2.yaml"));
        assert!(second < first / 2, "{first} {second}");
        for (path, ignored) in [
            ("x/1/2/ignored/a/b.yaml", true),
            ("x/1/2/ignored/a.yaml", true),
            ("x/1/2/ignored2/a.yaml", false),
            ("x/1/2/a.yaml", false),
            ("x/1/ignored/a.yaml", false),
        ] {
            assert_eq!(spent(&mut ignore, path).0, ignored, "{path}");
        }
    }
}
