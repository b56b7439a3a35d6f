//! Without a policy, the current tag's own shape says which tags may follow it.
//!
//! Promise: a tag follows another only if both are written alike, and a tag without an order is reported as such.
//!
//! A tag is read as `prefix numbers prerelease suffix counter`:
//!
//! - the prefix (`v`, `release-`, `app-v`, `jammy-`) must be identical
//! - the numbers are separated by dots (`1.2.3`, `42`), or are a date with or without a time (`2024-01-15`,
//!   `RELEASE.2024-01-15T10-20-30Z`); their count and separators must match, so `1.2` never becomes `1.3.0`, and a date
//!   never follows a number that is not a date
//! - a prerelease is a known word with its numbers (`-rc.1`, `-beta2`); words order alphabetically, numbers by value
//! - the suffix (`-alpine`, `-debian-12`, `-jdk17`) must be identical, numbers included: the release of a distribution
//!   or a language runtime is a separate choice, not a newer version of the same thing
//! - the counter is the final number that counts rebuilds: after `r`, `build`, `k3s` and the like (`-debian-12-r24`),
//!   or alone, possibly in several parts (`1.2.3-4`, `9.4-1214.1726694543`); it may change and is ordered last
//!
//! If a suffix holds a longer version than the numbers (`18-jammy-v0.13.4`, `16-3.4`), either may be the one that
//! moves. Such a tag has two possible orders, and therefore none ([`Shape::second_version`]).
//!
//! The following have no order: words (`latest`), anything that seems to contain a commit hash (`main-1a2b3c4`,
//! `20240115-abc1234`), and pull requests (`pr-42`).

use std::cmp::Ordering;

use super::number::{compare_digits, is_digits, split_digits};

const PRERELEASES: [&str; 14] = [
    "alpha",
    "beta",
    "canary",
    "dev",
    "ea",
    "m",
    "milestone",
    "next",
    "nightly",
    "pre",
    "preview",
    "rc",
    "snapshot",
    "test",
];
const COUNTERS: [&str; 16] = [
    "b", "build", "ce", "eksbuild", "gke", "hotfix", "ls", "p", "patch", "r", "rancher", "rel", "release", "rev",
    "revision", "run",
];
/// Counters whose word contains a digit.
const DIGIT_COUNTERS: [&str; 3] = ["k3s", "rke2r", "k0s."];
/// Distributions and runtimes: a version in a suffix may be theirs rather than the image's own.
const PLATFORMS: [&str; 34] = [
    "al",
    "almalinux",
    "alpine",
    "amazonlinux",
    "amzn",
    "bookworm",
    "bullseye",
    "buster",
    "centos",
    "cuda",
    "debian",
    "dotnet",
    "el",
    "fedora",
    "focal",
    "go",
    "golang",
    "jammy",
    "java",
    "jdk",
    "jre",
    "node",
    "noble",
    "openjdk",
    "perl",
    "php",
    "py",
    "python",
    "rhel",
    "rockylinux",
    "ruby",
    "scala",
    "ubi",
    "ubuntu",
];
const VERSION_WORDS: [&str; 3] = ["v", "ver", "version"];
/// Words before the number of a change.
const CHANGES: [&str; 9] = ["cr", "gh", "issue", "merge", "mr", "pr", "pull", "task", "ticket"];
/// First words of branches that somebody works on, and of those of other bots.
const BRANCHES: [&str; 7] = ["bugfix", "dependabot", "feat", "feature", "fix", "hotfix", "renovate"];
const SEPARATORS: [char; 3] = ['-', '_', '.'];

/// A parsed tag. Two tags compare only within one family (see [`Shape::follows`]).
#[derive(Debug, Clone)]
pub(super) struct Shape<'t> {
    prefix: &'t str,
    /// The numbers, with the one character between each two.
    numbers: &'t str,
    pre: Option<Prerelease<'t>>,
    suffix: &'t str,
    counter: Option<&'t str>,
    /// Everything after the numbers.
    rest: &'t str,
}

#[derive(Debug, Clone)]
struct Prerelease<'t> {
    text: &'t str,
    word: String,
    numbers: Vec<&'t str>,
}

impl<'t> Shape<'t> {
    /// Parses a tag.
    ///
    /// # Errors
    /// Why it has no order.
    pub(super) fn of(tag: &'t str) -> Result<Self, &'static str> {
        if tag.split(SEPARATORS).any(is_hash) {
            return Err("holds what looks like a commit hash, which has no order");
        }
        let start = numbers_start(tag).ok_or("has no version, number or date to order by")?;
        let (prefix, rest) = tag.split_at(start);
        let (numbers, rest) = read_numbers(rest);
        let word = prefix.trim_end_matches(SEPARATORS).rsplit(SEPARATORS).next().unwrap_or("");
        if is_digits(numbers) && contains(&CHANGES, word) {
            return Err("names a change, not a version");
        }
        let first = prefix.split(SEPARATORS).next().unwrap_or("");
        if first.len() < prefix.len() && contains(&BRANCHES, first) {
            return Err("names a branch, not a version");
        }
        let (pre, after) = read_prerelease(rest);
        let (suffix, counter) = read_counter(after);
        Ok(Self { prefix, numbers, pre, suffix, counter, rest })
    }

    /// Whether this tag is written like the current one; prereleases are judged elsewhere.
    ///
    /// # Errors
    /// What differs.
    pub(super) fn follows(&self, current: &Self) -> Result<(), String> {
        if self.prefix != current.prefix {
            return Err(match (self.prefix, current.prefix) {
                ("v" | "V", "") => "has a leading `v`, which the current tag does not have".to_owned(),
                ("", "v" | "V") => "lacks the leading `v` of the current tag".to_owned(),
                ("", theirs) => format!("lacks the prefix `{theirs}` of the current tag"),
                (mine, "") => format!("has the prefix `{mine}`, which the current tag does not have"),
                (mine, theirs) => format!("starts with `{mine}`, the current tag with `{theirs}`"),
            });
        }
        let (mine, theirs) = (self.numbers().count(), current.numbers().count());
        if mine != theirs {
            return Err(format!("has {}; the current tag has {theirs}", numbers(mine)));
        }
        if !self.written_like(current) {
            return Err("its numbers are not written like those of the current tag".to_owned());
        }
        if self.suffix != current.suffix {
            return Err(match (self.suffix, current.suffix) {
                ("", theirs) => format!("lacks the suffix `{theirs}` of the current tag"),
                (mine, "") => format!("has the suffix `{mine}`, which the current tag does not have"),
                (mine, theirs) => format!("its suffix is `{mine}`, the current tag's is `{theirs}`"),
            });
        }
        if let (Some(mine), Some(theirs)) = (self.counter, current.counter)
            && parts(mine).count() != parts(theirs).count()
        {
            return Err("its rebuild number has a different number of parts from the current tag's".to_owned());
        }
        Ok(())
    }

    /// Whether the numbers are separated, dated and padded alike.
    fn written_like(&self, other: &Self) -> bool {
        self.marks().eq(other.marks())
            && self.calendar() == other.calendar()
            && self.numbers().zip(other.numbers()).all(|(mine, theirs)| padded_alike(mine, theirs))
    }

    /// Whether only the padding of the numbers differs (`20.04.1` and `5.1.4`), which marks another scheme.
    pub(super) fn pads_otherwise(&self, other: &Self) -> bool {
        self.prefix == other.prefix
            && self.suffix == other.suffix
            && self.marks().eq(other.marks())
            && self.calendar() == other.calendar()
            && !self.written_like(other)
    }

    /// Compares the first numbers.
    pub(super) fn compare_first(&self, other: &Self) -> Ordering {
        compare_digits(self.numbers().next().unwrap_or(""), other.numbers().next().unwrap_or(""))
    }

    /// A version elsewhere in the tag that has more parts than the numbers, and does not belong to a known platform.
    pub(super) fn second_version(&self) -> Option<&'t str> {
        let own = self.numbers().count();
        let mut before = "";
        for token in self.rest.split(['-', '_']) {
            let version = token.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let word = &token[..token.len() - version.len()];
            let named = if word.is_empty() { before } else { word };
            let dotted = version.contains('.') && version.split('.').all(is_digits);
            if dotted && version.split('.').count() > own && !contains(&PLATFORMS, named) {
                return Some(version);
            }
            before = word;
        }
        None
    }

    /// The numbers as written.
    pub(super) fn numbers_text(&self) -> &'t str {
        self.numbers
    }

    /// Whether this tag looks newer than the current one and only its writing keeps it from being followed: another suffix, more
    /// parts, a `v` more or less.
    pub(super) fn outruns(&self, current: &Self) -> bool {
        let unmarked = |prefix: &'t str| prefix.strip_suffix(['v', 'V']).unwrap_or(prefix);
        if unmarked(self.prefix) != unmarked(current.prefix) || self.calendar() != current.calendar() {
            return false;
        }
        match self.compare_common(current) {
            Ordering::Less => false,
            Ordering::Greater => self.pre.is_none() || (current.pre.is_none() && self.is_written_alike(current)),
            Ordering::Equal => {
                self.is_written_alike(current)
                    && !(self.pre.is_some() && current.pre.is_some())
                    && compare_numbers(beside_platforms(self.rest), beside_platforms(current.rest)).is_gt()
            }
        }
    }

    /// Whether both differ only in numbers.
    fn is_written_alike(&self, other: &Self) -> bool {
        self.prefix == other.prefix
            && self.written_like(other)
            && self.numbers().count() == other.numbers().count()
            && same_but_numbers(self.rest, other.rest)
    }

    /// Compares the numbers that both have. `2` may stand for all of `2.x`, and a lone number be of another scheme.
    fn compare_common(&self, other: &Self) -> Ordering {
        let (mine, theirs) = (self.numbers().count(), other.numbers().count());
        let comparable = mine == theirs || mine.min(theirs) > 1 || self.calendar().is_some();
        let common = mine.min(theirs);
        match comparable && self.marks().zip(other.marks()).all(|(a, b)| a == b) {
            true => compare_numbers(self.numbers().take(common), other.numbers().take(common)),
            false => Ordering::Less,
        }
    }

    /// What follows the version, if it names a platform: `-alpine`, `-slim-bookworm`.
    pub(super) fn variant(&self) -> Option<&'t str> {
        let named = |token: &str| contains(&PLATFORMS, token.trim_end_matches(|c: char| !c.is_ascii_alphabetic()));
        (self.pre.is_none() && self.rest.split(['-', '_']).any(named)).then_some(self.rest)
    }

    /// Whether it is a prerelease.
    pub(super) fn is_prerelease(&self) -> bool {
        self.pre.is_some()
    }

    /// Whether both have the same numbers.
    pub(super) fn same_numbers(&self, other: &Self) -> bool {
        compare_numbers(self.numbers(), other.numbers()).is_eq()
    }

    /// Whether both are of one family, ignoring prereleases.
    pub(super) fn like(&self, other: &Self) -> bool {
        self.prefix == other.prefix && self.written_like(other) && self.suffix == other.suffix
    }

    /// The only number, if it is long enough to be a commit hash that happens to have no letters.
    pub(super) fn lone_number(&self) -> Option<&'t str> {
        let lone = is_digits(self.numbers) && self.numbers.len() >= MIN_HASH && self.calendar().is_none();
        lone.then_some(self.numbers)
    }

    /// The text before the only number.
    pub(super) fn lone_prefix(&self) -> Option<&'t str> {
        is_digits(self.numbers).then_some(self.prefix)
    }

    /// The numbers, if they are separated by dots as in versions.
    pub(super) fn dotted_numbers(&self) -> Option<Vec<&'t str>> {
        self.marks().all(|mark| mark == '.').then(|| self.numbers().collect())
    }

    /// The prerelease as written, without the separator before it.
    pub(super) fn prerelease_text(&self) -> Option<&'t str> {
        self.pre.as_ref().map(|pre| pre.text)
    }

    /// How the first number represents a calendar: as a year, or as a date with this many digits.
    ///
    /// A lone four-digit number is not a year: build numbers pass through 1900 to 2099.
    fn calendar(&self) -> Option<usize> {
        let (first, rest) = split_digits(self.numbers);
        let year = first.len() == 4 && !rest.is_empty() && is_year(first);
        if year { Some(4) } else { calendar_width(first) }
    }

    fn numbers(&self) -> impl Iterator<Item = &'t str> + use<'t> {
        self.numbers.split(|c: char| !c.is_ascii_digit())
    }

    fn marks(&self) -> impl Iterator<Item = char> + use<'t> {
        self.numbers.chars().filter(|c| !c.is_ascii_digit())
    }
}

impl Ord for Shape<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = compare_numbers(self.numbers(), other.numbers());
        let pre = || match (&self.pre, &other.pre) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => {
                a.word.cmp(&b.word).then_with(|| compare_numbers(a.numbers.iter().copied(), b.numbers.iter().copied()))
            }
        };
        let counter = || compare_numbers(parts(self.counter.unwrap_or("")), parts(other.counter.unwrap_or("")));
        numbers.then_with(pre).then_with(counter)
    }
}

impl PartialOrd for Shape<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Shape<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Shape<'_> {}

/// `1 number`, `2 numbers`.
fn numbers(count: usize) -> String {
    format!("{count} number{}", if count == 1 { "" } else { "s" })
}

/// The numbers after a version, without those of platforms: a newer release of the platform alone is a separate choice.
fn beside_platforms(rest: &str) -> impl Iterator<Item = &str> {
    let platform = |token: &&str| contains(&PLATFORMS, token.trim_end_matches(|c: char| !c.is_ascii_alphabetic()));
    rest.split(['-', '_']).filter(move |token| !platform(token)).flat_map(parts)
}

const MIN_HASH: usize = 6;

/// Whether a word looks like an abbreviated or full hash: hexadecimal, with letters and digits, possibly after the `g`
/// of `git describe`.
pub(super) fn is_hash(word: &str) -> bool {
    let hex = |word: &str| {
        (MIN_HASH..=128).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_hexdigit())
            && word.bytes().any(|b| b.is_ascii_digit())
            && word.bytes().any(|b| b.is_ascii_alphabetic())
    };
    hex(word) || word.strip_prefix('g').is_some_and(|rest| rest.len() >= 7 && (hex(rest) || is_digits(rest)))
}

/// Where the numbers start: the first digits at the start or after a separator, optionally after `v`, or after a word
/// that counts (`build42`). Digits attached to another word belong to it (`k8s-1.2.3`, `python3.11-1.2.3`,
/// `x86_64-1.2.3`).
fn numbers_start(tag: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = tag[at..].find(|c: char| c.is_ascii_digit()) {
        let start = at + found;
        let before = &tag[..start];
        let stem = before.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let word = &before[stem.len()..];
        let apart = stem.is_empty() || (stem.ends_with(SEPARATORS) && !stem.ends_with("x86_"));
        if apart && (word.is_empty() || contains(&VERSION_WORDS, word) || contains(&COUNTERS, word)) {
            return Some(start);
        }
        at = tag[start..].find(|c: char| !(c.is_ascii_digit() || c == '.')).map_or(tag.len(), |length| start + length);
    }
    None
}

/// The numbers with their separators, and the rest. The text starts with a digit.
fn read_numbers(text: &str) -> (&str, &str) {
    let (first, mut rest) = split_digits(text);
    let date = first.len() == 4 && is_year(first) && attempt(&mut rest, &[is_month, is_day], &["-", "_"]);
    if date || calendar_width(first) == Some(8) {
        // A time is recognised only after `T` or if hours and minutes are separated: `2024-01-15-12` is the twelfth
        // rebuild.
        let time = attempt(&mut rest, &[is_time], &["T", "t"]) || attempt(&mut rest, &[is_pair, is_pair], &["-", "_"]);
        while time && attempt(&mut rest, &[is_pair], &["-", "_"]) {}
    }
    while attempt(&mut rest, &[is_digits], &["."]) {}
    text.split_at(text.len() - rest.len())
}

/// Skips as many numbers as there are conditions, each after one of the marks; all or nothing.
fn attempt(rest: &mut &str, conditions: &[fn(&str) -> bool], marks: &[&str]) -> bool {
    let mut ahead = *rest;
    for condition in conditions {
        let Some((number, after)) = marks.iter().find_map(|mark| ahead.strip_prefix(mark)).map(split_digits) else {
            return false;
        };
        if !condition(number) {
            return false;
        }
        ahead = after;
    }
    *rest = ahead;
    true
}

/// A known word with its numbers at the start of the text, and the rest.
fn read_prerelease(text: &str) -> (Option<Prerelease<'_>>, &str) {
    let body = text.strip_prefix(SEPARATORS).unwrap_or(text);
    let end = body.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(body.len());
    let (word, mut rest) = body.split_at(end);
    // `1.2.3a1` and `1.2.3b1` are Python's alphas and betas; after a separator, `b1` is a build.
    let short = body.len() == text.len() && matches!(word, "a" | "b") && rest.starts_with(|c: char| c.is_ascii_digit());
    if !(short || contains(&PRERELEASES, word)) {
        return (None, text);
    }
    let mut numbers = Vec::new();
    loop {
        let after = if numbers.is_empty() && !rest.starts_with(SEPARATORS) {
            Some(rest)
        } else {
            rest.strip_prefix(SEPARATORS)
        };
        match after.map(split_digits) {
            Some((number, after)) if !number.is_empty() => {
                numbers.push(number);
                rest = after;
            }
            _ => break,
        }
    }
    if !(rest.is_empty() || rest.starts_with(SEPARATORS)) {
        return (None, text);
    }
    let written = &body[..body.len() - rest.len()];
    (Some(Prerelease { text: written, word: word.to_ascii_lowercase(), numbers }), rest)
}

/// The suffix without its final number, and that number if it counts rebuilds.
fn read_counter(text: &str) -> (&str, Option<&str>) {
    if let Some(release) = text.strip_prefix(SEPARATORS)
        && release.split(SEPARATORS).all(is_digits)
    {
        return (&text[..1], Some(release));
    }
    let head = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &text[head.len()..];
    let stem = head.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let word = &head[stem.len()..];
    let counts = if word.is_empty() {
        let stem = head.trim_end_matches(SEPARATORS);
        let word = stem.rsplit(SEPARATORS).next().unwrap_or("");
        if stem.is_empty() { head.len() == 1 } else { contains(&COUNTERS, word) }
    } else {
        contains(&COUNTERS, word) && (stem.is_empty() || stem.ends_with(SEPARATORS))
    };
    let known = DIGIT_COUNTERS
        .iter()
        .any(|word| head.strip_suffix(word).is_some_and(|before| before.is_empty() || before.ends_with(SEPARATORS)));
    if (counts || known) && !digits.is_empty() { (head, Some(digits)) } else { (text, None) }
}

/// The numbers in a text, whatever separates them.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty())
}

/// Whether two texts differ only in their numbers.
pub(super) fn same_but_numbers(one: &str, other: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    words(one) == words(other)
}

/// Whether two numbers may belong to one scheme: a scheme that pads has no shorter numbers.
fn padded_alike(one: &str, other: &str) -> bool {
    let padded = |number: &str| number.len() > 1 && number.starts_with('0');
    (!padded(one) || other.len() >= one.len()) && (!padded(other) || one.len() >= other.len())
}

/// Compares from left to right by value; fewer numbers are below more.
fn compare_numbers<'t>(left: impl Iterator<Item = &'t str>, right: impl Iterator<Item = &'t str>) -> Ordering {
    let (mut left, mut right) = (left, right);
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(mine), Some(theirs)) => compare_digits(mine, theirs),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The number of digits if the number is a date in one piece, with the time if there is room.
fn calendar_width(number: &str) -> Option<usize> {
    let date = matches!(number.len(), 8 | 12 | 14)
        && is_year(&number[..4])
        && is_month(&number[4..6])
        && is_day(&number[6..8]);
    date.then_some(number.len())
}

fn is_year(number: &str) -> bool {
    number.starts_with("19") || number.starts_with("20")
}

fn is_month(number: &str) -> bool {
    number.len() <= 2 && number.parse::<u8>().is_ok_and(|month| (1..=12).contains(&month))
}

fn is_day(number: &str) -> bool {
    number.len() <= 2 && number.parse::<u8>().is_ok_and(|day| (1..=31).contains(&day))
}

fn is_pair(number: &str) -> bool {
    number.len() == 2
}

fn is_time(number: &str) -> bool {
    matches!(number.len(), 2 | 4 | 6)
}

fn contains(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}
