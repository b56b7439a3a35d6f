//! `landfall tags`: which tag a policy selects, and why not the others.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{ArgGroup, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::{CliError, Context, Exit, Output, Paint, registry, table};
use crate::model::{Tag, visible};
use crate::select::{
    Direction, Filter, IgnoreGlob, Order, SelectError, Selection, TagEntry, TagPolicy, VersionRange, select,
};

/// Maximum size of a tags file: a million of the longest tags with their times fit.
const MAX_FILE: u64 = 256 << 20;
/// Longer lists are truncated in the output, with their length.
const MAX_PRINTED: usize = 10_000;
/// Longer lists are truncated in tables for people.
const MAX_SHOWN: usize = 50;

/// Arguments of `landfall tags`.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("source").required(true),
    group = ArgGroup::new("policy"),
    after_help = "\
Examples:
  landfall tags ghcr.io/acme/web --semver '^1.2'
  landfall tags nginx:1.27-alpine
  landfall tags https://charts.example.com/stable/web:1.2.0
  landfall tags --tags-file tags.txt --current v1.2.3 --semver '>=1.0 <2'
  landfall tags acme/web --filter '^b([0-9]+)-' --extract '$1' --numerical asc

Without a policy, the shape of the current tag decides: same prefix, same number of
parts, same suffix. The registry is asked with the credentials in the configuration,
if there is one.
Exit codes: 0 done · 1 nothing qualifies · 2 error · 4 refused"
)]
pub(in crate::cli) struct TagsArgs {
    /// The image whose registry is queried; or a chart or artifact, with its scheme.
    #[arg(value_name = "IMAGE", group = "source")]
    image: Option<String>,
    /// A file with one tag per line, optionally followed by a tab and its RFC 3339 creation time; `-` is standard
    /// input.
    #[arg(long, value_name = "FILE", group = "source")]
    tags_file: Option<PathBuf>,
    /// The greatest semantic version within a range, e.g. `^1.2`, `>=1.0 <2`, `1.x || 3.x`.
    #[arg(long, value_name = "RANGE", group = "policy", allow_hyphen_values = true)]
    semver: Option<String>,
    /// The last in alphabetical order: asc (Z wins) or desc (A wins).
    #[arg(long, value_name = "DIRECTION", group = "policy", hide_possible_values = true)]
    alphabetical: Option<Way>,
    /// The last in numerical order, integers or decimals: asc (the highest wins) or desc (the lowest wins).
    #[arg(long, value_name = "DIRECTION", group = "policy", hide_possible_values = true)]
    numerical: Option<Way>,
    /// The most recently built image.
    #[arg(long, group = "policy")]
    newest_build: bool,
    /// The current tag itself, whatever it points to.
    #[arg(long, group = "policy")]
    digest: bool,
    /// Keep only tags that match this regular expression (anywhere; anchor it with ^ and $).
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    filter: Option<String>,
    /// The ordering key, built from the filter's groups: `$version`, `$1`, `${name}`.
    #[arg(long, value_name = "TEMPLATE", requires = "filter")]
    extract: Option<String>,
    /// Ignore tags that match this glob; may be repeated.
    #[arg(long, value_name = "GLOB", allow_hyphen_values = true)]
    ignore: Vec<String>,
    /// Accept prereleases as candidates.
    #[arg(long)]
    prereleases: bool,
    /// The tag that is running now; nothing older is selected [default: the tag in IMAGE].
    #[arg(long, value_name = "TAG")]
    current: Option<String>,
}

/// Which end of the order wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    /// Ascending: the greatest wins.
    Asc,
    /// Descending: the least wins.
    Desc,
}

/// A name of a listing, as given.
type Listed = (String, Option<Timestamp>);

/// Selects and prints.
pub(super) fn run(args: &TagsArgs, context: &Context) -> Result<Exit, CliError> {
    let current = match (&args.current, &args.image) {
        (Some(text), _) => Some(Tag::parse(text).map_err(|error| CliError::caused("--current is not a tag", &error))?),
        (None, Some(image)) => registry::reference(image)?.version.tag,
        (None, None) => None,
    };
    let policy = policy(args, current.is_some())?;
    match (&args.tags_file, &args.image) {
        (Some(file), _) => report(None, &policy, current.as_ref(), read(file)?, &context.output),
        (None, Some(image)) => {
            let listed = registry::ask(image, &policy, context)?;
            report(Some(image.clone()), &policy, current.as_ref(), listed, &context.output)
        }
        (None, None) => Err(CliError::new("neither --tags-file nor IMAGE is given")),
    }
}

/// Selects among the names of a listing and prints the answer.
fn report(
    image: Option<String>,
    policy: &TagPolicy,
    current: Option<&Tag>,
    listed: Vec<Listed>,
    output: &Output,
) -> Result<Exit, CliError> {
    let mut entries = Vec::with_capacity(listed.len());
    let mut rejected = Vec::new();
    for (name, created) in listed {
        match Tag::parse(&name) {
            Ok(tag) => entries.push(TagEntry { tag, created }),
            Err(error) => rejected.push(Rejected { tag: name, reason: format!("not a tag: {}", error.reason) }),
        }
    }
    let report = Report::new(image, current, select(policy, current, &entries), rejected);
    output.data(&report, |report| report.for_people(output))?;
    Ok(if report.selected.is_some() { Exit::Done } else { Exit::Negative })
}

/// The policy that the arguments describe.
fn policy(args: &TagsArgs, has_current: bool) -> Result<TagPolicy, CliError> {
    let order = match args {
        TagsArgs { semver: Some(range), .. } => {
            Order::Semver(VersionRange::parse(range).map_err(|error| located("--semver", range, &error))?)
        }
        TagsArgs { alphabetical: Some(way), .. } => Order::Alphabetical(direction(*way)),
        TagsArgs { numerical: Some(way), .. } => Order::Numerical(direction(*way)),
        TagsArgs { newest_build: true, .. } => Order::NewestBuild,
        TagsArgs { digest: true, .. } if has_current => Order::Digest,
        TagsArgs { digest: true, .. } => {
            return Err(CliError::new("--digest follows the current tag, but none is given")
                .hint("give the tag to follow as --current"));
        }
        _ if has_current => Order::Shape,
        _ => {
            return Err(CliError::new("neither a tag policy nor --current is given").hint(
                "give one of --semver, --alphabetical, --numerical, --newest-build, --digest, or the current tag \
                 as --current for its shape to decide",
            ));
        }
    };
    if args.extract.is_some() && matches!(order, Order::NewestBuild | Order::Digest) {
        return Err(CliError::new("--extract sets the ordering key, but this policy does not order by name")
            .hint("leave it out; --filter alone keeps the tags that match"));
    }
    Ok(TagPolicy {
        order,
        filter: filter(args)?,
        ignore: args
            .ignore
            .iter()
            .map(|glob| IgnoreGlob::new(glob).map_err(|error| located("--ignore", glob, &error)))
            .collect::<Result<_, _>>()?,
        prereleases: args.prereleases,
    })
}

fn filter(args: &TagsArgs) -> Result<Option<Filter>, CliError> {
    let Some(pattern) = &args.filter else { return Ok(None) };
    // Compiled alone first, so that the position of an error is known to be in the pattern and not in the template.
    let alone = Filter::new(pattern, None).map_err(|error| located("--filter", pattern, &error))?;
    match &args.extract {
        None => Ok(Some(alone)),
        Some(template) => {
            Filter::new(pattern, Some(template)).map(Some).map_err(|error| located("--extract", template, &error))
        }
    }
}

fn direction(way: Way) -> Direction {
    match way {
        Way::Asc => Direction::Ascending,
        Way::Desc => Direction::Descending,
    }
}

/// An error in an argument's value, with a caret under its position.
fn located(flag: &str, text: &str, error: &SelectError) -> CliError {
    let Some(offset) = error.offset else {
        return CliError::new(format!("{flag}: {error}\n  |\n  | {}", visible(text)));
    };
    let before = text.get(..offset).unwrap_or(text);
    let blank = " ".repeat(visible(before).chars().count());
    CliError::new(format!("{flag}: {error}\n  |\n  | {}\n  | {blank}^", visible(text)))
}

/// The lines of a tags file.
fn read(file: &Path) -> Result<Vec<Listed>, CliError> {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let failed = |error: io::Error| CliError::caused(format!("cannot read {name}"), &error);
    let mut bytes = Vec::new();
    let size = if file == Path::new("-") {
        io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
    };
    if size.map_err(failed)? as u64 > MAX_FILE {
        return Err(CliError::new(format!("{name} is larger than {} MiB", MAX_FILE >> 20)));
    }
    lines(&name, &bytes)
}

/// One tag per line, optionally a tab and a time; a byte order mark, CRLF and blank lines are tolerated.
fn lines(name: &str, bytes: &[u8]) -> Result<Vec<Listed>, CliError> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(CliError::new(format!("{name} is UTF-16")).hint("save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut listed = Vec::new();
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii_end();
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line = String::from_utf8_lossy(line);
        let (tag, time) = line.split_once('\t').unwrap_or((&line, ""));
        let created = match time.trim() {
            "" => None,
            time => Some(time.parse::<Timestamp>().map_err(|error| {
                let place = format!("{name}:{}:{}", number + 1, tag.chars().count() + 2);
                CliError::caused(format!("{place}: not an RFC 3339 time\n  |\n  | {}", visible(&line)), &error)
                    .hint("write times as 2026-01-05T08:00:00Z, after one tab")
            })?),
        };
        listed.push((tag.trim().to_owned(), created));
    }
    Ok(listed)
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    image: Option<String>,
    current: Option<String>,
    selected: Option<Selected>,
    candidates: Vec<String>,
    rejected: Vec<Rejected>,
    /// The total number, if the list is truncated.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// How many of the candidates, from the first, may be selected; the others are not newer than the current tag.
    #[serde(skip)]
    ahead: usize,
}

#[derive(Debug, Serialize)]
struct Selected {
    tag: String,
    digest: Option<String>,
    key: String,
}

#[derive(Debug, Serialize)]
struct Rejected {
    tag: String,
    reason: String,
}

impl Report {
    fn new(image: Option<String>, current: Option<&Tag>, selection: Selection, mut rejected: Vec<Rejected>) -> Self {
        let Selection { selected, candidates, behind, rejected: others, note, .. } = selection;
        let ahead = candidates.len();
        let mut candidates: Vec<String> = candidates.iter().chain(&behind).map(Tag::to_string).collect();
        rejected.extend(others.into_iter().map(|other| Rejected { tag: other.tag, reason: other.reason }));
        Self {
            image,
            current: current.map(Tag::to_string),
            selected: selected.map(|it| Selected { tag: it.tag.to_string(), digest: None, key: it.key }),
            candidates_count: cut(&mut candidates),
            candidates,
            rejected_count: cut(&mut rejected),
            rejected,
            note,
            ahead,
        }
    }

    fn for_people(&self, output: &Output) -> String {
        let mut text = match &self.selected {
            Some(selected) => {
                let same = self.current.as_deref() == Some(&selected.tag);
                let key =
                    if selected.key == selected.tag { String::new() } else { format!(" (by `{}`)", selected.key) };
                let current = if same { " (the current tag)" } else { "" };
                output.paint(Paint::Good, &format!("selected {}{key}{current}", selected.tag))
            }
            None => output.paint(Paint::Bad, "selected nothing"),
        };
        text.push('\n');
        if let Some(note) = &self.note {
            text.push_str(&format!("note: {note}\n"));
        }
        let candidates = self.candidates.iter().enumerate().map(|(at, tag)| vec![tag.clone(), self.standing(at, tag)]);
        let count = self.candidates_count.unwrap_or(self.candidates.len());
        text.push_str(&part(&["CANDIDATE", ""], candidates, count));
        let rejected = self.rejected.iter().map(|it| vec![visible(&it.tag).into_owned(), it.reason.clone()]);
        let count = self.rejected_count.unwrap_or(self.rejected.len());
        text.push_str(&part(&["REJECTED", "REASON"], rejected, count));
        text
    }

    /// A note about a candidate.
    fn standing(&self, at: usize, tag: &str) -> String {
        let selected = self.selected.as_ref().is_some_and(|selected| selected.tag == tag);
        let current = self.current.as_deref() == Some(tag);
        match (selected, current) {
            (true, true) => "selected, current",
            (true, false) => "selected",
            (false, true) => "current",
            (false, false) if at >= self.ahead => "not newer than the current tag",
            (false, false) => "",
        }
        .to_owned()
    }
}

/// Truncates a very long list; returns its original length.
fn cut<T>(list: &mut Vec<T>) -> Option<usize> {
    let count = list.len();
    list.truncate(MAX_PRINTED);
    (count > MAX_PRINTED).then_some(count)
}

/// One table of the output, truncated if it is long; nothing if it is empty.
fn part(head: &[&str], rows: impl Iterator<Item = Vec<String>>, count: usize) -> String {
    if count == 0 {
        return String::new();
    }
    let mut text = format!("\n{}", table(head, rows.take(MAX_SHOWN)));
    if count > MAX_SHOWN {
        text.push_str(&format!("… and {} more; -o json lists them all\n", count - MAX_SHOWN));
    }
    text
}
