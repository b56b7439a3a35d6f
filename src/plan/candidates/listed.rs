//! Which tag a pin should have, according to its registry's listing.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use crate::model::{Answer, FailureCode, ImageName, Listing, Tag, TagList, TagRef};
use crate::policy::SourceLocation;
use crate::select::{Order, Selection, TagPolicy, TimeIsOver, best, needs_created};

use super::promoted::Orders;
use super::{Choice, Choices};
use crate::plan::filter_time::FilterTurn;
use crate::plan::{Problem, RegistryQuery, Snapshot};

/// How many tags are considered if the best ones have to wait.
const ALTERNATIVES: usize = 10;

/// What a listing says about a current tag under a policy.
#[derive(Debug, Clone)]
pub(in crate::plan) enum Best {
    /// Nothing newer is listed; `stale` if only an earlier answer says so.
    Stays {
        /// Whether this cycle's answer is missing.
        stale: bool,
    },
    /// These are newer, best first; at least one.
    Newer(Vec<Tag>),
    /// The policy excludes the current tag, and nothing says whether this one is newer.
    Adopts(Tag),
    /// Answers are missing; they have been requested.
    Unknown,
    /// It cannot be decided.
    Problem {
        /// Why.
        message: String,
        /// Set if something outside failed.
        code: Option<FailureCode>,
    },
}

/// Results so far: a thousand overlays may share image, tag and policy, and a listing may be long.
#[derive(Debug, Default)]
pub(in crate::plan) struct ListingCache {
    best: HashMap<(ImageName, Tag, Option<SourceLocation>), Best>,
    /// The tags of each image on the bot's branches, and since when they are there.
    branches: Option<HashMap<String, Vec<BranchTag>>>,
    /// The order of tags, where no listing gives it.
    pub(in crate::plan) orders: Orders,
}

/// A tag on a branch of the bot, and since when it is there.
type BranchTag = (Tag, Timestamp);

impl ListingCache {
    /// The result for one image; a policy is identified by its place.
    pub(in crate::plan) fn best(
        &mut self,
        snapshot: &Snapshot<'_>,
        name: &ImageName,
        (policy, origin): (&TagPolicy, Option<&SourceLocation>),
        current: &Tag,
        choices: &mut Choices,
    ) -> Best {
        let key = (name.clone(), current.clone(), origin.cloned());
        if let Some(best) = self.best.get(&key) {
            return best.clone();
        }
        let branches = self.branches.get_or_insert_with(|| branch_tags(snapshot));
        let branches = branches.get(&name.to_string()).map_or(&[][..], Vec::as_slice);
        let best = find(snapshot, name, (policy, origin), (current, branches), choices).unwrap_or_else(|best| best);
        self.best.insert(key, best.clone());
        best
    }
}

/// The tags on the bot's own branches, by image.
fn branch_tags(snapshot: &Snapshot<'_>) -> HashMap<String, Vec<BranchTag>> {
    let mut tags: HashMap<String, Vec<BranchTag>> = HashMap::new();
    for head in snapshot.heads.values().filter(|head| head.foreign.is_none()) {
        for carried in &head.carries {
            let tag = Tag::parse(carried.to.split('@').next().unwrap_or_default());
            if let (Ok(tag), Some(since)) = (tag, head.since) {
                tags.entry(carried.image.clone()).or_default().push((tag, since));
            }
        }
    }
    tags
}

/// The time after which a listing must have been answered to be evidence, if this one is older: it lacks a tag that a
/// branch of the bot or the file itself has, which another bot may have written based on a newer listing.
fn too_old(snapshot: &Snapshot<'_>, listing: &Listing, (current, branches): (&Tag, &[BranchTag])) -> Option<Timestamp> {
    // A clock that was set back must not require a listing from the future.
    let made = branches.iter().map(|(tag, made)| (tag, (*made).min(snapshot.now)));
    let newer = made.filter(|(tag, made)| *made > listing.at && !listing.tags.contains(tag));
    let missing = newer.map(|(_, made)| made).max();
    let is_written = !current.is_range() && !listing.tags.contains(current);
    let file = || (listing.at < snapshot.now && is_written).then_some(snapshot.now);
    missing.or_else(file)
}

fn find(
    snapshot: &Snapshot<'_>,
    name: &ImageName,
    (policy, origin): (&TagPolicy, Option<&SourceLocation>),
    (current, branches): (&Tag, &[BranchTag]),
    choices: &mut Choices,
) -> Result<Best, Best> {
    let fact = snapshot.answers.listings.get(name);
    let stale = matches!(fact, Some(Answer::Failed { .. }));
    let listing = match fact {
        None => {
            choices.queries.registry.insert(RegistryQuery::Listing(name.clone()));
            return Ok(Best::Unknown);
        }
        Some(Answer::Absent { message }) => return Err(failed(message, FailureCode::ImageNotFound)),
        Some(Answer::Failed { message, code, last }) => {
            // The last good answer remains valid, and its age is reported; without one there is nothing to go by.
            let Some(listing) = last else { return Err(failed(message, *code)) };
            let age = format!("{message}; using the answer of {}", listing.at.strftime("%Y-%m-%d %H:%M:%S UTC"));
            let image = Some(name.clone());
            choices.problems.push(Problem { path: None, line: None, image, message: age, code: Some(*code) });
            listing
        }
        Some(Answer::Known(listing)) => listing,
    };
    if listing.tags.is_empty() {
        let message = format!("the registry lists no tag at all for {name}; nothing is written until it does");
        return Err(failed(&message, FailureCode::ImageNotFound));
    }
    if let Some(since) = too_old(snapshot, listing, (current, branches)) {
        // If the registry does not answer, that is already reported as unknown and as a problem.
        if !stale {
            choices.queries.registry.insert(RegistryQuery::Relisting(name.clone(), since));
        }
        return Ok(Best::Unknown);
    }
    // With an old list the versions of the branches that it lacks are no news.
    let proposed = if stale { &[][..] } else { branches };
    let selection = select(snapshot, name, (policy, origin), (listing, current, proposed), choices)?;
    let Some(selection) = selection else { return Ok(Best::Unknown) };
    let Some(selected) = &selection.selected else { return Err(problem(no_candidate(name, listing, &selection))) };
    let listed = listing.tags.contains(current);
    if !listed && !current.is_range() {
        let message =
            format!("{name}:{current} is not in the registry's list; it is kept, never replaced by an older one");
        let image = Some(name.clone());
        choices.problems.push(Problem { path: None, line: None, image, message, code: None });
    }
    if selected.tag == *current {
        // If a listed tag stays for any reason other than being the best, that is reported: no order, an unknown age.
        return match &selection.note {
            Some(note) if listed => Err(problem(format!("{name}:{current}: {note}"))),
            _ => Ok(Best::Stays { stale }),
        };
    }
    if selection.adopts {
        return Ok(Best::Adopts(selected.tag.clone()));
    }
    let newer = selection.candidates.iter().take_while(|tag| *tag != current);
    Ok(Best::Newer(newer.cloned().collect()))
}

/// What the policy selects; `None` while answers are missing.
///
/// A registry behind several hosts may have one whose lists lack the newest tag for good, and another bot may have proposed that
/// tag. So a tag on a branch of the bot counts as listed unless the registry says that it does not serve it.
fn select(
    snapshot: &Snapshot<'_>,
    name: &ImageName,
    policy: (&TagPolicy, Option<&SourceLocation>),
    (listing, current, branches): (&Listing, &Tag, &[BranchTag]),
    choices: &mut Choices,
) -> Result<Option<Selection>, Best> {
    let proposed: BTreeSet<&Tag> = branches.iter().map(|(tag, _)| tag).collect();
    let mut unlisted: Vec<&Tag> = proposed.into_iter().filter(|tag| !listing.tags.contains(tag)).collect();
    loop {
        let tags =
            if unlisted.is_empty() { Cow::Borrowed(&*listing.tags) } else { Cow::Owned(listing.tags.and(&unlisted)) };
        let times = creation_times(snapshot, name, policy, &tags, choices)?;
        let Some(times) = times else { return Ok(None) };
        let created = |tag: TagRef<'_>| times.get(tag.as_str()).copied();
        let selection = in_time(snapshot, (name, &tags), policy, |over| {
            best(policy.0, Some(current).filter(|tag| !tag.is_range()), &tags, created, (ALTERNATIVES, over))
        })?;
        let newer = selection.candidates.iter().take_while(|tag| *tag != current);
        let mut gone = None;
        for tag in newer.filter(|tag| unlisted.contains(tag)) {
            let key = (name.clone(), tag.clone());
            match snapshot.answers.manifests.get(&key) {
                Some(Answer::Known(_)) => {}
                Some(Answer::Absent { .. }) => gone = Some(tag.clone()),
                Some(Answer::Failed { message, code, .. }) => return Err(failed(message, *code)),
                None => {
                    choices.queries.registry.insert(RegistryQuery::Manifest(key.0, key.1));
                    return Ok(None);
                }
            }
        }
        match gone {
            Some(gone) => unlisted.retain(|tag| **tag != gone),
            None => return Ok(Some(selection)),
        }
    }
}

fn no_candidate(name: &ImageName, listing: &Listing, selection: &Selection) -> String {
    let most = selection.commonest.as_ref();
    let most = most.map_or(String::new(), |(reason, count)| format!("; for {count} of them: {reason}"));
    format!("none of the {} tags of {name} qualifies{most}", listing.tags.len())
}

/// The result of matching tags, or an error if the policy's filter takes too long.
pub(in crate::plan) fn in_time<T>(
    snapshot: &Snapshot<'_>,
    (name, tags): (&ImageName, &TagList),
    (policy, origin): (&TagPolicy, Option<&SourceLocation>),
    work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, TimeIsOver>,
) -> Result<T, Best> {
    // Without patterns, only a long list can be slow.
    let patterns = policy.filter.is_some() || !policy.ignore.is_empty();
    let turn = snapshot.filter_time.zip(origin).filter(|_| patterns).map(|(time, origin)| time.turn(origin, name));
    work(&|| turn.as_ref().is_some_and(FilterTurn::is_over)).map_err(|TimeIsOver| {
        let place = origin.map_or_else(String::new, |it| format!(" at {}:{}", it.file, it.line));
        let message = format!(
            "the tag policy{place} takes too long on the {} tags of {name}, so nothing is selected; next: make its filter \
             simpler (fewer repetitions within repetitions)",
            tags.len()
        );
        failed(&message, FailureCode::ConfigError)
    })
}

/// The times of tags, if the policy orders by them; `None` while some are missing.
pub(in crate::plan) fn creation_times(
    snapshot: &Snapshot<'_>,
    name: &ImageName,
    (policy, origin): (&TagPolicy, Option<&SourceLocation>),
    tags: &TagList,
    choices: &mut Choices,
) -> Result<Option<HashMap<String, Timestamp>>, Best> {
    let mut times = HashMap::new();
    let mut complete = true;
    let needed = in_time(snapshot, (name, tags), (policy, origin), |over| needs_created(policy, tags.iter(), over))?;
    for tag in needed {
        let key = (name.clone(), tag.to_tag());
        match snapshot.answers.created.get(&key) {
            None => {
                choices.queries.registry.insert(RegistryQuery::Created(key.0, key.1));
                complete = false;
            }
            Some(Answer::Known(Some(time))) => drop(times.insert(key.1.to_string(), *time)),
            // Deleted between the listing and now: it is not a candidate, and its age does not matter.
            Some(Answer::Known(None) | Answer::Absent { .. }) => {}
            // Selecting among the rest could select an older image, so an incomplete answer is no answer.
            Some(Answer::Failed { message, code, .. }) => return Err(failed(message, *code)),
        }
    }
    // The time when a tag appeared orders only images without a creation time: an old image can be pushed late.
    if policy.order == Order::NewestBuild {
        for (tag, at) in tags.appearances() {
            times.entry(tag.to_string()).or_insert(at);
        }
    }
    Ok(complete.then_some(times))
}

impl From<Best> for Choice {
    /// A listing that gives no order is unknown, or a problem of its pin.
    fn from(best: Best) -> Self {
        match best {
            Best::Problem { message, code } => Self::Problem { message, code },
            Best::Stays { .. } | Best::Newer(_) | Best::Adopts(_) | Best::Unknown => Self::Unknown,
        }
    }
}

fn problem(message: String) -> Best {
    Best::Problem { message, code: None }
}

fn failed(message: &str, code: FailureCode) -> Best {
    Best::Problem { message: message.to_owned(), code: Some(code) }
}
