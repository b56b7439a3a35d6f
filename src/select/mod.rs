//! Which of a registry's tags should run: filters and orders tags, and says why each other tag was not selected.
//!
//! Promise: the answer depends on the policy, the current tag and the set of tags, never on their order in the listing.
//! Every tag is a candidate, behind the current one, or rejected with a reason. Nothing older than the current tag is
//! ever selected, and an unknown order is never guessed.
//!
//! Rules, in the order they apply:
//!
//! 1. Signatures, attestations and SBOMs are never candidates; then `ignore` applies, then `filter`.
//! 2. The key is the tag, or what `extract` makes of it. A tag whose key the policy's order cannot read is rejected.
//! 3. The tags that qualify are sorted best first. Ties are broken by: the current tag; a tag written like the current
//!    one (`v` kept); no leading `v`; the greater in natural order (`r10` over `r9`); bytes. Build metadata has no
//!    precedence.
//! 4. With a current tag, only newer tags are candidates; equal and older ones are in [`Selection::behind`]. If nothing
//!    is newer, the current tag is selected, listed or not. If nothing qualifies at all (an empty listing, a filter
//!    that matches nothing), nothing is selected, because that is an error to report and not "up to date".
//! 5. A current tag without an order under the policy (`latest` under `semver`) does not block updates, because a
//!    policy says what is wanted. A current tag that the filter excludes still counts if it reads as a version or
//!    number, even `1.2` or `release-1.9.0`: an equal candidate may replace it, an older one may not. Under
//!    `newest-build`, a current tag that belongs to the policy but has no known creation time stays: without a
//!    comparison nothing is newer.
//!
//! Design: a policy is compiled when it is read ([`Filter`], [`VersionRange`]); keys borrow from the tags; each order
//! is a type with `Ord`, greater being better, and one generic function decides.

mod filter;
mod number;
mod order;
mod range;
mod shape;
#[cfg(test)]
mod tests;
mod version;

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{Tag, TagList, TagRef};

pub use filter::{Filter, IgnoreGlob};
pub use range::VersionRange;

/// Which tags are candidates and how they are ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPolicy {
    /// How they are ordered.
    pub order: Order,
    /// Which names are considered, and the ordering key.
    pub filter: Option<Filter>,
    /// Names that are ignored.
    pub ignore: Vec<IgnoreGlob>,
    /// Whether prereleases are candidates (`semver`, and the current tag's shape).
    pub prereleases: bool,
}

impl TagPolicy {
    /// A policy that sets only an order.
    #[must_use]
    pub fn new(order: Order) -> Self {
        Self { order, filter: None, ignore: Vec::new(), prereleases: false }
    }
}

/// How tags are ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// By semantic version, within a range.
    Semver(VersionRange),
    /// By the bytes of the key.
    Alphabetical(Direction),
    /// By the key as a decimal number of any length.
    Numerical(Direction),
    /// By the creation time of the image.
    NewestBuild,
    /// Follow the current tag, whatever it points to.
    Digest,
    /// No policy: tags written like the current one, by their numbers.
    Shape,
}

/// Which end of the order wins, in Flux's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Direction {
    /// Sorted ascending, the last wins.
    #[serde(rename = "asc")]
    Ascending,
    /// Sorted descending, the last wins.
    #[serde(rename = "desc")]
    Descending,
}

/// Why a filter, template, glob or range cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectError {
    /// What is wrong, for people.
    pub message: String,
    /// The byte offset of the error in the text, if known.
    pub offset: Option<usize>,
}

impl SelectError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), offset: None }
    }

    fn at(offset: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), offset: Some(offset) }
    }
}

/// A tag with its time, if its order needs one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagEntry {
    /// The tag.
    pub tag: Tag,
    /// When its image was created, or else when the tag appeared.
    pub created: Option<Timestamp>,
}

/// The selected tag, and the result for every other tag.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The tag to run: the first candidate, or the current tag if nothing is newer; `None` if nothing qualifies.
    pub selected: Option<Selected>,
    /// Tags that may be selected, best first: newer than the current tag, and that tag itself if it is listed.
    pub candidates: Vec<Tag>,
    /// Tags that qualify but are not newer than the current tag, or cannot be compared with it; best first. Never
    /// selected.
    pub behind: Vec<Tag>,
    /// All other tags in alphabetical order; empty if only the best were requested.
    pub rejected: Vec<Rejected>,
    /// The most frequent reason for rejection, and how many tags have it.
    pub commonest: Option<(String, usize)>,
    /// What a person should know about the selection, if it is not simply the best tag.
    pub note: Option<String>,
    /// Whether the current tag is excluded by name and nothing shows that the selected one is newer.
    pub adopts: bool,
}

/// The tag to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The tag.
    pub tag: Tag,
    /// What it was ordered by.
    pub key: String,
}

/// A tag that does not qualify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The tag.
    pub tag: String,
    /// Why, worded to complete "it …" or to name the fault.
    pub reason: String,
}

/// How much of the result to keep.
#[derive(Debug, Clone, Copy)]
enum Keep {
    /// All of it.
    All,
    /// Only the first candidates, so that a list of a million tags is not stored twice.
    Best(usize),
}

/// Selects among tags. A tag listed twice counts once, with its latest creation time.
#[must_use]
pub fn select(policy: &TagPolicy, current: Option<&Tag>, entries: &[TagEntry]) -> Selection {
    // Nobody says that time is over.
    choose(policy, current, distinct(entries).into_iter(), Keep::All, &|| false).unwrap_or_default()
}

/// Whether a policy passes over this tag by name and has no order that the tag could be compared in, so that it may replace
/// the tag only where it adopts ([`Selection::adopts`], as far as it is known without the registry).
#[must_use]
pub fn passes_over(policy: &TagPolicy, current: &Tag) -> bool {
    select(policy, Some(current), &[]).adopts
}

/// The time for a policy's filter and globs was over before all tags were matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeIsOver;

/// How many tags are matched between two checks of the time.
const STRIDE: usize = 64;

/// Selects among the tags of a listing, and keeps only the first `count` candidates and tags behind.
///
/// # Errors
/// If `over` returns true while tags are matched.
pub fn best(
    policy: &TagPolicy,
    current: Option<&Tag>,
    tags: &TagList,
    created: impl Fn(TagRef<'_>) -> Option<Timestamp>,
    (count, over): (usize, &dyn Fn() -> bool),
) -> Result<Selection, TimeIsOver> {
    let created = |tag| if policy.order == Order::NewestBuild { created(tag) } else { None };
    choose(policy, current, tags.iter().map(|tag| (tag, created(tag))), Keep::Best(count), over)
}

fn choose<'t>(
    policy: &TagPolicy,
    current: Option<&'t Tag>,
    tags: impl ExactSizeIterator<Item = (TagRef<'t>, Option<Timestamp>)>,
    keep: Keep,
    over: &dyn Fn() -> bool,
) -> Result<Selection, TimeIsOver> {
    let mut rejections = Rejections::new(keep);
    let mut named = Vec::with_capacity(tags.len());
    let is_empty = tags.len() == 0;
    let mut current = current.map(|tag| Current::new(policy, tag));
    for (number, (tag, created)) in tags.enumerate() {
        if number.is_multiple_of(STRIDE) && over() {
            return Err(TimeIsOver);
        }
        if let Some(current) = current.as_mut().filter(|current| tag == *current.tag) {
            current.created = created;
        }
        match key_of(policy, tag.as_str()) {
            // The current tag is the one to follow, whatever its name.
            _ if policy.order == Order::Digest => named.push(Named { tag, created, key: Cow::Borrowed(tag.as_str()) }),
            Ok(key) => named.push(Named { tag, created, key }),
            Err(reason) => rejections.add(tag, reason),
        }
    }
    let mut selection = order::decide(policy, current.as_ref(), &named, rejections);
    if is_empty && policy.order != Order::Digest {
        // An emptied repository looks like this; calling it "up to date" would hide it.
        selection.selected = None;
        selection.note = Some("no tags are listed".to_owned());
    } else if selection.selected.is_none() {
        selection.note = Some("none of the listed tags qualifies".to_owned());
    }
    Ok(selection)
}

/// The tags whose creation time matters: for `newest-build`, those that pass by name; for any other order, none. In the
/// order given.
///
/// # Errors
/// If `over` returns true while tags are matched.
pub fn needs_created<'t>(
    policy: &TagPolicy,
    tags: impl IntoIterator<Item = TagRef<'t>>,
    over: &dyn Fn() -> bool,
) -> Result<Vec<TagRef<'t>>, TimeIsOver> {
    let mut needed = Vec::new();
    if policy.order != Order::NewestBuild {
        return Ok(needed);
    }
    for (number, tag) in tags.into_iter().enumerate() {
        if number.is_multiple_of(STRIDE) && over() {
            return Err(TimeIsOver);
        }
        needed.extend(key_of(policy, tag.as_str()).is_ok().then_some(tag));
    }
    Ok(needed)
}

/// The tags rejected so far.
#[derive(Debug)]
struct Rejections {
    keep: Keep,
    rejected: Vec<Rejected>,
    reasons: HashMap<String, usize>,
}

/// Maximum number of different reasons counted: some contain the tag's own key.
const REASONS: usize = 100;

impl Rejections {
    fn new(keep: Keep) -> Self {
        Self { keep, rejected: Vec::new(), reasons: HashMap::new() }
    }

    fn add(&mut self, tag: TagRef<'_>, reason: impl Into<String>) {
        let reason = reason.into();
        if let Some(count) = self.reasons.get_mut(&reason) {
            *count += 1;
        } else if self.reasons.len() < REASONS {
            self.reasons.insert(reason.clone(), 1);
        }
        if matches!(self.keep, Keep::All) {
            self.rejected.push(Rejected { tag: tag.to_string(), reason });
        }
    }

    /// In alphabetical order, with the most frequent reason; ties go to the first.
    fn finish(mut self) -> (Vec<Rejected>, Option<(String, usize)>) {
        self.rejected.sort_unstable_by(|a, b| a.tag.cmp(&b.tag));
        let commonest = self.reasons.into_iter().max_by(|(a, most), (b, more)| most.cmp(more).then_with(|| b.cmp(a)));
        (self.rejected, commonest)
    }
}

/// A tag that passed by name.
#[derive(Debug)]
struct Named<'a> {
    tag: TagRef<'a>,
    created: Option<Timestamp>,
    key: Cow<'a, str>,
}

/// The current tag as the policy sees it.
#[derive(Debug)]
struct Current<'a> {
    tag: &'a Tag,
    /// Its creation time, if it is listed.
    created: Option<Timestamp>,
    /// The ordering key; the tag itself if the policy excludes it and would order by the tag.
    key: Option<Cow<'a, str>>,
    /// Whether the policy does not exclude it by name.
    belongs: bool,
    /// Whether its text can be compared with the policy's tags: it can unless a filter or an ignore list excludes it.
    compares: bool,
}

impl<'a> Current<'a> {
    fn new(policy: &TagPolicy, tag: &'a Tag) -> Self {
        let extracts = policy.filter.as_ref().is_some_and(|filter| filter.extract().is_some());
        match key_of(policy, tag.as_str()) {
            Ok(key) => Self { tag, created: None, key: Some(key), belongs: true, compares: true },
            Err(_) => {
                // Without the template, the tag is not comparable to keys, unless it reads as a version or number.
                let comparable = !extracts || matches!(policy.order, Order::Semver(_) | Order::Numerical(_));
                let key = comparable.then(|| Cow::Borrowed(tag.as_str()));
                let compares = policy.filter.is_none() && policy.ignore.is_empty();
                Self { tag, created: None, key, belongs: false, compares }
            }
        }
    }
}

impl Current<'_> {
    fn selected(&self) -> Selected {
        let key = self.key.as_deref().unwrap_or(self.tag.as_str());
        Selected { tag: self.tag.clone(), key: key.to_owned() }
    }
}

/// The ordering key of a tag that passes by name, or why it does not pass.
fn key_of<'t>(policy: &TagPolicy, text: &'t str) -> Result<Cow<'t, str>, String> {
    if filter::is_attachment(text) {
        return Err("a signature, attestation or SBOM".to_owned());
    }
    if let Some(glob) = policy.ignore.iter().find(|glob| glob.matches(text)) {
        return Err(format!("ignored by `{}`", glob.as_str()));
    }
    let Some(filter) = &policy.filter else { return Ok(Cow::Borrowed(text)) };
    match filter.key(text) {
        None => Err("does not match the filter".to_owned()),
        Some(key) if key.is_empty() => Err("the extracted key is empty".to_owned()),
        Some(key) => Ok(key),
    }
}

/// The tags without duplicates, each with its latest creation time.
fn distinct(entries: &[TagEntry]) -> Vec<(TagRef<'_>, Option<Timestamp>)> {
    let mut listed: Vec<(TagRef<'_>, Option<Timestamp>)> = Vec::with_capacity(entries.len());
    let mut places: HashMap<&Tag, usize> = HashMap::with_capacity(entries.len());
    for entry in entries {
        match places.entry(&entry.tag) {
            Entry::Occupied(place) => {
                let created = &mut listed[*place.get()].1;
                *created = entry.created.max(*created);
            }
            Entry::Vacant(place) => {
                place.insert(listed.len());
                listed.push((entry.tag.borrowed(), entry.created));
            }
        }
    }
    listed
}
