//! Globs over repository paths, with captures, and globs over image names.
//!
//! Path patterns start at the repository's root. `*` and `?` stay inside one path segment, `[a-z]` and `[!a-z]` are
//! character classes, `**` as a whole segment is any number of segments (at the end: at least one), `{a,b}` is a
//! choice, and `{name}` captures one segment or a part of one (`values-{env}.yaml`). A backslash makes the next
//! character literal. Captures are greedy: `{app}-{env}` reads `web-api-prod` as `web-api` and `prod`.
//!
//! A glob with captures is compiled to a [`program`], which takes little memory and is matched in bounded time whatever the pattern:
//! anybody with write access to a repository may write thousands of them.

mod program;

use std::collections::BTreeMap;

use self::program::{Assembler, Class, Op, Program, Slot};
use super::glob::{self, Glob, Separators};
use super::{DOCKER_HUB, ImageName, RepoPath};

/// Maximum length of a pattern; nobody writes longer ones by hand, and the compiled size grows with the length.
const MAX_PATTERN: usize = 1024;
/// Maximum number of `*`, `**` and captures in a path pattern: what matching costs grows with them.
const MAX_LOOPS: usize = 64;
/// Names with a predefined meaning in group templates.
const RESERVED: [&str; 4] = ["policy", "image", "overlay", "environment"];

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a pattern: {reason}", text.escape_debug())]
pub struct PatternError {
    /// The pattern, shortened.
    pub text: String,
    /// The rule it breaks.
    pub reason: String,
}

/// What a path pattern captured from a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captures {
    /// Each `{name}` of the pattern and the text it matched.
    pub values: BTreeMap<String, String>,
    /// The folder (or, for one values file per environment, the file without its extension) that declares one app in
    /// one environment; see [`PathPattern`].
    pub overlay: String,
    /// The text before a final `**`, if that is the only one in the pattern.
    pub(crate) anchor: Option<String>,
}

/// A glob over paths of a repository, with captures.
///
/// A pattern also determines the *overlay* of a matched file, the unit in which one image has one version:
///
/// - `apps/{app}/overlays/dev/**`: if `{app}` is captured, what is before the final `**`, so that all files of the app
///   belong together;
/// - a capture in the file name (`charts/{app}/values-{env}.yaml`): the file itself, without its extension, because its
///   neighbours declare other environments;
/// - anything else, such as `clusters/dev/**`, which may hold many apps: the folder of the file.
#[derive(Debug, Clone)]
pub struct PathPattern {
    text: String,
    program: Program,
    /// Names, each with its slots in the program.
    captures: Box<[String]>,
    slots: Box<[[u32; 2]]>,
    anchor: Option<[u32; 2]>,
    file_is_overlay: bool,
    names_files: bool,
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// If it is empty, too long, absolute or leaves the repository, or has an unclosed brace or class, a `**` that is
    /// not a whole segment, or a capture with an invalid or duplicate name.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let bad = |reason: String| PatternError { text: text.chars().take(200).collect(), reason };
        if text.len() > MAX_PATTERN {
            return Err(bad(format!("it is longer than {MAX_PATTERN} characters")));
        }
        glob::check(text).map_err(bad)?;
        let segments: Vec<&str> = text.strip_prefix("./").unwrap_or(text).split('/').collect();
        check_segments(text, &segments).map_err(bad)?;
        let mut compiler = Compiler::default();
        compiler.pattern(&segments).map_err(bad)?;
        if compiler.program.loops() > MAX_LOOPS {
            return Err(bad(format!("it is too complex: it has more than {MAX_LOOPS} wildcards and captures")));
        }
        let last = segments.last().copied().unwrap_or_default();
        Ok(Self {
            text: text.to_owned(),
            program: compiler.program.finish(),
            file_is_overlay: compiler.captures_in_file_name,
            names_files: names_files(last),
            captures: compiler.captures.into(),
            slots: compiler.slots.into(),
            anchor: compiler.anchor,
        })
    }

    /// What the pattern captures from `path`, or `None` if it does not match.
    #[must_use]
    pub fn matches(&self, path: &RepoPath) -> Option<Captures> {
        let found = self.program.run(path.as_str())?;
        let place = |slot: u32| -> Slot { found.get(slot as usize).copied().flatten() };
        let text = |[from, to]: [u32; 2]| path.as_str().get(place(from)?..place(to)?).map(str::to_owned);
        let captured = self.captures.iter().zip(&self.slots);
        let values = captured.filter_map(|(name, slots)| Some((name.clone(), text(*slots)?))).collect();
        let anchor = self.anchor.and_then(text);
        let overlay = match &anchor {
            _ if self.file_is_overlay => without_extension(path.as_str()).to_owned(),
            Some(anchor) if self.captures.iter().any(|name| name == "app") => anchor.clone(),
            _ => path.parent().to_owned(),
        };
        Some(Captures { values, overlay, anchor })
    }

    /// The names that the pattern captures.
    #[must_use]
    pub fn captures(&self) -> &[String] {
        &self.captures
    }

    /// Whether the pattern's last segment names a file by more than its extension (`values-{env}.yaml`, but neither
    /// `**` nor `*.yaml`), so that a matched file may be a Helm values file.
    #[must_use]
    pub fn names_files(&self) -> bool {
        self.names_files
    }

    /// Whether it may match something below a folder: their parts without wildcards agree.
    pub(crate) fn may_match_below(&self, folder: &str) -> bool {
        let fixed = self.text.split(['*', '?', '[', '{', '\\']).next().unwrap_or_default();
        let folder = format!("{folder}/");
        folder.starts_with(fixed) || fixed.starts_with(&folder)
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn check_segments(text: &str, segments: &[&str]) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.starts_with('!') {
        return Err("a pattern cannot be negated; use `write: never` in a later policy instead".to_owned());
    }
    if text.starts_with('/') {
        return Err("patterns start at the repository's root; remove the leading /".to_owned());
    }
    if text.ends_with('/') {
        return Err(format!("it ends with /; write `{text}**` for everything below that folder"));
    }
    for segment in segments {
        match *segment {
            "" => return Err("it has an empty segment (//)".to_owned()),
            "." | ".." => return Err("it has a . or .. segment".to_owned()),
            "**" => {}
            _ if segment.contains("**") => return Err("`**` must be a whole path segment, as in `a/**/b`".to_owned()),
            _ => {}
        }
    }
    Ok(())
}

fn names_files(last: &str) -> bool {
    without_extension(last).contains(|c| !matches!(c, '*' | '?'))
}

/// The path without the extension of its last segment; a leading dot does not start an extension.
pub(crate) fn without_extension(path: &str) -> &str {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    match path[name..].rfind('.') {
        Some(dot) if dot > 0 => &path[..name + dot],
        _ => path,
    }
}

/// Compiles a pattern's segments into one program.
#[derive(Default)]
struct Compiler {
    program: Assembler,
    captures: Vec<String>,
    slots: Vec<[u32; 2]>,
    /// The slots of what is before a final `**`, if that is the only one.
    anchor: Option<[u32; 2]>,
    captures_in_file_name: bool,
}

impl Compiler {
    fn pattern(&mut self, segments: &[&str]) -> Result<(), String> {
        let last = segments.len() - 1;
        let anchored = last > 0 && segments.iter().position(|segment| *segment == "**") == Some(last);
        self.anchor = anchored.then(|| self.program.slots());
        if let Some([from, _]) = self.anchor {
            self.program.push(Op::Save(from));
        }
        for (index, segment) in segments.iter().enumerate() {
            match (*segment == "**", index == last) {
                (true, true) => self.program.some_of(Op::Any),
                (true, false) => {
                    let none = self.program.either();
                    self.program.some_of(Op::Any);
                    self.program.push(Op::Is('/'));
                    self.program.otherwise_here(none);
                }
                (false, at_end) => {
                    let before = self.captures.len();
                    self.segment(segment, true)?;
                    self.captures_in_file_name = at_end && self.captures.len() > before;
                    if let Some([_, to]) = self.anchor.filter(|_| index + 1 == last) {
                        self.program.push(Op::Save(to));
                    }
                    if !at_end {
                        self.program.push(Op::Is('/'));
                    }
                }
            }
        }
        Ok(())
    }

    /// One segment, or one alternative of a `{a,b}` (in which captures are refused: they would not always have a
    /// value).
    fn segment(&mut self, segment: &str, captures: bool) -> Result<(), String> {
        let mut rest = segment;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '*' => self.program.any_number_of(Op::InSegment),
                '?' => self.program.push(Op::InSegment),
                '[' => rest = self.class(rest)?,
                '{' => rest = self.brace(rest, captures)?,
                '}' => return Err("a `}` has no `{`".to_owned()),
                '\\' => {
                    let Some(next) = rest.chars().next() else { return Err("it ends with a backslash".to_owned()) };
                    self.program.push(Op::Is(next));
                    rest = &rest[next.len_utf8()..];
                }
                _ => self.program.push(Op::Is(c)),
            }
        }
        Ok(())
    }

    /// Parses the text after a `[`; returns the text after the closing `]`.
    fn class<'a>(&mut self, rest: &'a str) -> Result<&'a str, String> {
        let (negated, body) = match rest.strip_prefix(['!', '^']) {
            Some(body) => (true, body),
            None => (false, rest),
        };
        // A leading `]` is a member, as in POSIX globs.
        let skip = usize::from(body.starts_with(']'));
        let Some(end) = body[skip..].find(']').map(|at| at + skip) else {
            return Err("a `[` has no `]` in its path segment".to_owned());
        };
        if body[..end].is_empty() {
            return Err("a `[]` is empty".to_owned());
        }
        let members: Vec<char> = body[..end].chars().collect();
        let mut ranges = Vec::new();
        let mut at = 0;
        while at < members.len() {
            let low = members[at];
            let high = if at + 2 < members.len() && members[at + 1] == '-' { members[at + 2] } else { low };
            if high < low {
                return Err(format!("the range `{low}-{high}` is backwards"));
            }
            ranges.push((low, high));
            at += if high == low && !(at + 2 < members.len() && members[at + 1] == '-') { 1 } else { 3 };
        }
        self.program.push(Op::Class(Box::new(Class { except: negated, ranges: ranges.into() })));
        Ok(&body[end + 1..])
    }

    /// Parses the text after a `{`; returns the text after the closing `}`.
    fn brace<'a>(&mut self, rest: &'a str, captures: bool) -> Result<&'a str, String> {
        let mut depth = 0_usize;
        let mut commas = Vec::new();
        let mut end = None;
        let mut escaped = false;
        for (at, c) in rest.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '{' => depth += 1,
                '}' if depth == 0 => {
                    end = Some(at);
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => commas.push(at),
                _ => {}
            }
        }
        let Some(end) = end else { return Err("a `{` has no `}` in its path segment".to_owned()) };
        if commas.is_empty() {
            self.capture(&rest[..end], captures)?;
            return Ok(&rest[end + 1..]);
        }
        let (mut start, mut ends) = (0, Vec::new());
        for comma in commas {
            let next = self.program.either();
            self.segment(&rest[start..comma], false)?;
            ends.push(self.program.jump());
            self.program.otherwise_here(next);
            start = comma + 1;
        }
        self.segment(&rest[start..end], false)?;
        ends.into_iter().for_each(|jump| self.program.land_here(jump));
        Ok(&rest[end + 1..])
    }

    fn capture(&mut self, name: &str, allowed: bool) -> Result<(), String> {
        let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.len() <= 32
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            return Err(format!(
                "`{{{name}}}` is neither a capture (a letter, then letters, digits and _) nor a choice such as `{{a,b}}`"
            ));
        }
        if RESERVED.contains(&name) {
            return Err(format!(
                "`{{{name}}}` cannot be captured, because the name is reserved; use another, such as {{env}}"
            ));
        }
        if !allowed {
            return Err(format!("`{{{name}}}` is captured inside a choice, where it would not always have a value"));
        }
        if self.captures.iter().any(|other| other == name) {
            return Err(format!("`{{{name}}}` is captured twice"));
        }
        let [from, to] = self.program.slots();
        self.program.push(Op::Save(from));
        self.program.some_of(Op::InSegment);
        self.program.push(Op::Save(to));
        self.slots.push([from, to]);
        self.captures.push(name.to_owned());
        Ok(())
    }
}

/// A glob over names of images and charts. One with `://` is compared with the whole name, scheme included; one without, with
/// host and path of images and charts alike. What is on Docker Hub matches with or without `docker.io/` and `library/`.
#[derive(Debug, Clone)]
pub struct ImagePattern {
    text: String,
    matcher: Glob,
}

impl PartialEq for ImagePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl ImagePattern {
    /// Parses a glob such as `registry.example.com/**` or `ghcr.io/acme/*`.
    ///
    /// # Errors
    /// If it is not a glob, or could never match a normalised name: upper case, a tag or digest, a scheme.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let bad = |reason: &str| PatternError { text: text.chars().take(200).collect(), reason: reason.to_owned() };
        if text.is_empty() || text.len() > MAX_PATTERN {
            return Err(bad("it is empty or too long"));
        }
        if let Some((scheme, _)) = text.split_once("://")
            && !scheme.contains(['*', '?', '{', '['])
            && !["oci", "https", "http"].contains(&scheme)
        {
            return Err(bad("a name starts with oci://, https:// (a chart), http://, or has no scheme"));
        }
        if text.starts_with(['/', '!']) {
            return Err(bad("it starts with / or !"));
        }
        if text.contains('@') || text.rsplit('/').next().is_some_and(|last| last.contains(':')) {
            return Err(bad("it has a tag or digest; `tags` says which versions are taken"));
        }
        if text.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(bad("image names are lower case"));
        }
        let matcher = Glob::new(text, Separators::Stop).map_err(|reason| bad(&reason))?;
        Ok(Self { text: text.to_owned(), matcher })
    }

    /// Whether the pattern matches this image.
    #[must_use]
    pub fn matches(&self, image: &ImageName) -> bool {
        if self.text.contains("://") {
            return self.matcher.is_match(&image.to_string());
        }
        if self.matcher.is_match(&image.place()) {
            return true;
        }
        if image.registry() != DOCKER_HUB {
            return false;
        }
        let path = image.repository();
        self.matcher.is_match(path) || path.strip_prefix("library/").is_some_and(|short| self.matcher.is_match(short))
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests;
