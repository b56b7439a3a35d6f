//! Which of a registry's tags should run: filter, order, and say of each tag why not.
//!
//! Promise: the answer depends on the policy, the current tag and the set of tags, never on their order in the listing;
//! every tag is a candidate, behind the current one, or rejected with a reason; nothing older than the current tag is
//! ever selected, and an order that cannot be told is never guessed.
//!
//! Rules, in the order they apply:
//!
//! 1. Signatures, attestations and SBOMs are never candidates; then `ignore`, then `filter`.
//! 2. The key is the tag, or what `extract` makes of it. A key that the policy's order cannot read is a reason.
//! 3. What qualifies is sorted best first. Ties are broken by: the current tag; a tag written like the current one
//!    (`v` kept); no leading `v`; the greater in natural order (`r10` over `r9`); bytes. Build metadata has no precedence.
//! 4. With a current tag, only what is newer is a candidate; what is equal or older stands in [`Selection::behind`].
//!    Nothing newer: the current tag is selected, listed or not. Nothing qualifies at all (an empty listing, a filter that
//!    matches nothing): nothing is selected, because that is a fault to be seen and not "up to date".
//! 5. A current tag without an order under the policy (`latest` under `semver`) does not hold the policy back: a policy
//!    names what is wanted. One that the filter passes over still counts where it reads as a version or number, down to
//!    `1.2` or `release-1.9.0`; then an equal candidate may replace it, an older one may not. Under `newest-build` a
//!    current tag that belongs to the policy and whose creation time is unknown stays: what cannot be compared is not
//!    newer.
//!
//! Design: a policy is compiled when it is read ([`Filter`], [`VersionRange`]); keys borrow from the tags; each order is a
//! type with `Ord`, greater being better, and one generic function decides.

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
    /// Which names are looked at, and the ordering key.
    pub filter: Option<Filter>,
    /// Names that are passed over.
    pub ignore: Vec<IgnoreGlob>,
    /// Whether prereleases are candidates (`semver`, and the current tag's shape).
    pub prereleases: bool,
}

impl TagPolicy {
    /// A policy of an order and nothing else.
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
    /// By the time the image was made.
    NewestBuild,
    /// Follow the current tag, whatever it points to.
    Digest,
    /// No policy: what is written like the current tag, by its numbers.
    Shape,
}

/// Which end of the order wins, in Flux's words.
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
    /// What is wrong, for a person.
    pub message: String,
    /// The byte of the text at which it is, where that is known.
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

/// A tag with its time, where its order needs one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagEntry {
    /// The tag.
    pub tag: Tag,
    /// When its image was made, or else when the tag appeared.
    pub created: Option<Timestamp>,
}

/// What was chosen, and what became of every tag.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The tag to run: the first candidate, or the current tag where nothing is newer; `None` where nothing qualifies.
    pub selected: Option<Selected>,
    /// What may be selected, best first: newer than the current tag, and that tag itself where it is listed.
    pub candidates: Vec<Tag>,
    /// What qualifies but is not newer than the current tag, or cannot be compared with it; best first. Never selected.
    pub behind: Vec<Tag>,
    /// Every other tag, in the order of the alphabet; empty where only the best were asked for.
    pub rejected: Vec<Rejected>,
    /// The most frequent reason of a rejection, and how many tags have it.
    pub commonest: Option<(String, usize)>,
    /// What a person should know about the choice, where it is not simply the best.
    pub note: Option<String>,
    /// Whether the current tag is one that the policy passes over by name, and nothing says that the selected one is newer.
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
    /// Why, in words that complete "it …" or name the fault.
    pub reason: String,
}

/// How much of an answer is wanted.
#[derive(Debug, Clone, Copy)]
enum Keep {
    /// All of it.
    All,
    /// The first candidates, so that a list of a million tags is not held a second time.
    Best(usize),
}

/// Chooses among tags. A tag listed twice counts once, with its latest creation time.
#[must_use]
pub fn select(policy: &TagPolicy, current: Option<&Tag>, entries: &[TagEntry]) -> Selection {
    // Nobody says that time is over.
    choose(policy, current, distinct(entries).into_iter(), Keep::All, &|| false).unwrap_or_default()
}

/// The time for a policy's filter and globs is over before all tags were matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeIsOver;

/// How many tags are matched before it is looked whether time is over.
const STRIDE: usize = 64;

/// Chooses among the tags of a listing, and keeps of the candidates, and of those behind, only the first `count`.
///
/// # Errors
/// When `over` says so while tags are matched.
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
            // Whatever the current tag is called, it is the one to follow.
            _ if policy.order == Order::Digest => named.push(Named { tag, created, key: Cow::Borrowed(tag.as_str()) }),
            Ok(key) => named.push(Named { tag, created, key }),
            Err(reason) => rejections.add(tag, reason),
        }
    }
    let mut selection = order::decide(policy, current.as_ref(), &named, rejections);
    if is_empty && policy.order != Order::Digest {
        // An emptied repository looks like this; to call it "up to date" would hide it.
        selection.selected = None;
        selection.note = Some("no tags are listed".to_owned());
    } else if selection.selected.is_none() {
        selection.note = Some("none of the listed tags qualifies".to_owned());
    }
    Ok(selection)
}

/// The tags whose creation time decides: for `newest-build` those that pass by name, for any other order none. In the
/// order in which they are given.
///
/// # Errors
/// When `over` says so while tags are matched.
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

/// What was rejected so far.
#[derive(Debug)]
struct Rejections {
    keep: Keep,
    rejected: Vec<Rejected>,
    reasons: HashMap<String, usize>,
}

/// How many different reasons are counted: some name the tag's own key.
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

    /// In the order of the alphabet, with the most frequent reason; of several the first.
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
    /// Where it is listed.
    created: Option<Timestamp>,
    /// The ordering key; the tag itself where the policy passes it over and would order by the tag.
    key: Option<Cow<'a, str>>,
    /// Whether the policy does not pass it over by name.
    belongs: bool,
    /// Whether its text says where it stands among the policy's tags: so it does where no filter and no list set it apart.
    compares: bool,
}

impl<'a> Current<'a> {
    fn new(policy: &TagPolicy, tag: &'a Tag) -> Self {
        let extracts = policy.filter.as_ref().is_some_and(|filter| filter.extract().is_some());
        match key_of(policy, tag.as_str()) {
            Ok(key) => Self { tag, created: None, key: Some(key), belongs: true, compares: true },
            Err(_) => {
                // Without the template the tag is no key among keys, unless it reads as a version or number by itself.
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

/// Each tag once, with its latest creation time.
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
