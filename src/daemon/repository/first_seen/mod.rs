//! When digests that wait for their minimum age were first seen, and what tags stood for of which a policy wants to know
//! when they are pushed again (`onRetag`), stored in the Git repository itself.
//!
//! Promise: a bot without a persistent cache (a CI job, a pod with an `emptyDir`) knows how long an image has existed and
//! which tags have changed, and so does a second bot next to the first. Whoever may push `refs/landfall/…` can make a record say
//! anything, unless the bot signs its commits: then only records of this very repository that it has signed count. Where they are
//! deleted or set back, the state folder still has them, and they are written again; without one, they are lost.
//!
//! Design: a ref outside `refs/heads/` points to a commit whose tree is one file. It is written only if an update is
//! held for its age and has no record yet, or a tag stands for something new. The file is bounded; what waits stays in it before
//! what does not, and what has waited longest before the rest.

mod file;
mod remembered;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use self::file::{File, MAX_SIZE, Record, RecordsOf, Times};
use self::remembered::Remembered;
use crate::daemon::execute::{Executor, Refs, Remote};
use crate::git::{GitError, Mirror, RefResult, TreeBudget, TreeChange, TreeEntry, TreePath};
use crate::model::{Answer, CommitId, Digest, FailureCode, ImageName, RepoPath, Tag};
use crate::plan::{Answers, Gate, Plan, Problem, TagRecords, TagSighting};
use crate::store::Store;

pub(in crate::daemon) use self::file::RecordedRepository;

/// The ref with the records.
pub(in crate::daemon) const FIRST_SEEN: &str = "refs/landfall/first-seen";

/// The only file of its tree.
const FILE: &str = "first-seen.json";

/// The message of its commits.
const MESSAGE: &str = "When images were first seen, and what their tags stood for\n";

/// Maximum size of a tree that may be one with the records alone.
const ALONE: TreeBudget = TreeBudget { entries: 16, bytes: 1 << 16 };

/// Maximum number of records per image of those that do not wait, keeping the newest; a plan considers ten candidates.
const MAX_OF_IMAGE: usize = 20;

/// Maximum number of tags with records.
const MAX_TAGS: usize = 2000;

/// How long a record is kept.
const KEEP: SignedDuration = SignedDuration::from_hours(24 * 180);

/// The records in the mirror.
#[derive(Debug, Default)]
pub(super) struct FirstSeen {
    of: RecordedRepository,
    tip: Option<CommitId>,
    times: Times,
    /// What tags stood for.
    pub(super) tags: TagRecords,
    /// Why the ref cannot be read, such as one that somebody pointed at something else.
    unreadable: Option<String>,
    /// Why the tip is replaced, if it is not as the bot left it.
    replaced: Option<Replaced>,
    remembered: Remembered,
    /// The tip that was compared with what is remembered; `None`: none was.
    compared: Option<Option<CommitId>>,
}

/// Why records are written although nothing is new.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Replaced {
    /// The tip does not count, although the bot signs.
    Foreign(Foreign),
    /// The tip lacks records that the bot knows.
    Lost,
}

/// Why a commit is not one with this repository's records by the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Foreign {
    /// It has no signature of the bot's.
    Unsigned,
    /// The bot signed it, but as something else.
    NoRecords,
    /// Its file says nothing of a repository: one of an earlier version, or none.
    Unsaid,
    /// It is another repository's.
    Repository(String),
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("the bot has not signed it"),
            Self::NoRecords => f.write_str("it is a commit of the bot for something else"),
            Self::Unsaid => f.write_str("it does not say which repository it is of, as those of earlier versions"),
            Self::Repository(other) => write!(
                f,
                "it is of {}; next: if that is this repository under another address, add it to its `aliases`",
                other.escape_debug()
            ),
        }
    }
}

/// The file as it should be stored.
#[derive(Debug)]
struct Revised {
    body: Vec<u8>,
    /// Whether it has a record of a waiting image that was not there before.
    adds: bool,
    /// How many waiting images found no room.
    left: usize,
}

impl FirstSeen {
    /// The records of this repository, which are not read yet.
    pub(super) fn new(of: RecordedRepository) -> Self {
        Self { of, ..Self::default() }
    }

    /// Reads the records again if the ref has moved, among those that the remote has now. A ref that points at something else counts as
    /// absent, and is told.
    ///
    /// # Errors
    /// If it cannot be found out what they are: taken for none, they would let pass what was pushed again. What was read before
    /// stays.
    pub(super) fn read(&mut self, mirror: &Mirror, refs: &Refs) -> Result<(), GitError> {
        let tip = if refs.contains_key(FIRST_SEEN) { mirror.tip(FIRST_SEEN)? } else { None };
        if tip == self.tip && self.unreadable.is_none() {
            return Ok(());
        }
        let found = match tip.as_ref().map(|tip| recorded(mirror, tip, &self.of)).transpose() {
            Ok(found) => found.unwrap_or(Ok(File::default())),
            Err(error @ (GitError::UnknownCommit { .. } | GitError::Refused { .. })) => {
                self.unreadable = Some(error.to_string());
                (self.tip, self.replaced, self.compared) = (None, None, None);
                (self.times, self.tags) = Default::default();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        (self.unreadable, self.compared) = (None, None);
        self.replaced = match found {
            Ok(File { images, tags, .. }) => {
                (self.times, self.tags) = (images, tags);
                None
            }
            Err(foreign) => {
                let shown = tip.as_ref().map(CommitId::short);
                tracing::warn!(tip = shown, "{FIRST_SEEN} does not count, and is written again: {foreign}");
                Some(Replaced::Foreign(foreign))
            }
        };
        self.tip = tip;
        Ok(())
    }

    /// Adds what the state folder remembers where the ref was deleted, or set back to an earlier commit, and remembers the rest.
    ///
    /// # Errors
    /// If it cannot be found out which commit is based on which.
    pub(super) fn recall(&mut self, mirror: &Mirror, place: (&str, &Store)) -> Result<(), GitError> {
        if self.compared.as_ref() == Some(&self.tip) {
            return Ok(());
        }
        let mut file = self.file();
        let counts = !matches!(self.replaced, Some(Replaced::Foreign(_))) && self.unreadable.is_none();
        if let Some(known) = self.remembered.load(mirror, &self.of, place) {
            let goes_on = match &self.tip {
                Some(tip) if counts => known.is_before(tip, mirror)?,
                _ => false,
            };
            if !goes_on && file.merge(&known.file) && counts {
                tracing::warn!(
                    "{FIRST_SEEN} lacks records that the state folder has: somebody has deleted it or set it back; they are written again"
                );
                self.replaced = Some(Replaced::Lost);
            }
        }
        (self.times, self.tags) = (file.images.clone(), file.tags.clone());
        if counts && self.replaced.is_none() {
            self.remembered.keep((self.tip.as_ref(), file), mirror, place);
        }
        self.compared = Some(self.tip.clone());
        Ok(())
    }

    fn file(&self) -> File {
        File::new(&self.of, self.times.clone(), self.tags.clone())
    }

    /// Adds to the answers what was seen earlier than this process, or its cache, knows.
    pub(super) fn add_to(&self, answers: &mut Answers) {
        for ((image, digest), seen) in &mut answers.first_seen {
            let recorded = self.times.get(image).and_then(|times| times.get(digest.as_str()));
            *seen = recorded.map_or(*seen, |recorded| (*recorded).min(*seen));
        }
    }

    /// The records of tags with these added, without excess ones; `None` if nothing is new.
    fn with_tags(&self, sightings: &BTreeSet<&TagSighting>, now: Timestamp) -> Option<TagRecords> {
        let (mut tags, mut news) = (self.tags.clone(), false);
        for sighting in sightings {
            let of = tags.entry(sighting.image.clone()).or_default();
            let mut record = of.remove(&sighting.tag);
            news |= sighting.add_to(&mut record, now);
            of.extend(record.map(|record| (sighting.tag.clone(), record)));
        }
        let current = |image: &ImageName, tag: &Tag| sightings.iter().any(|it| it.image == *image && it.tag == *tag);
        let known = |image: &ImageName, tag: &Tag| self.tags.get(image).is_some_and(|of| of.contains_key(tag));
        let mut excess = tags.values().map(BTreeMap::len).sum::<usize>().saturating_sub(MAX_TAGS);
        // What is current stays before the rest, and what is known before what is new.
        for (is_current, is_known) in [(false, false), (false, true), (true, false), (true, true)] {
            for (image, of) in &mut tags {
                of.retain(|tag, _| {
                    let goes = excess > 0 && current(image, tag) == is_current && known(image, tag) == is_known;
                    excess -= usize::from(goes);
                    !goes
                });
            }
        }
        tags.retain(|_, of| !of.is_empty());
        (news && tags != self.tags).then_some(tags)
    }

    /// When an image was first seen. A record from the future was dated by a clock that was ahead: the image is first seen now, and
    /// not that late.
    fn known(&self, image: &ImageName, digest: &str, now: Timestamp) -> Option<Timestamp> {
        self.times.get(image).and_then(|times| times.get(digest)).copied().filter(|at| *at <= now)
    }

    /// Whether each of these has its record.
    fn has_all(&self, seen: &BTreeMap<(ImageName, Digest), Timestamp>, now: Timestamp) -> bool {
        seen.keys().all(|(image, digest)| self.known(image, digest.as_str(), now).is_some())
    }

    /// The file with these records and tags, without old and excess ones.
    fn with(&self, seen: &BTreeMap<(ImageName, Digest), Timestamp>, tags: &TagRecords, now: Timestamp) -> Revised {
        let known = |image: &ImageName, digest: &str| self.known(image, digest, now);
        let mut waiting: Vec<Record<'_>> = seen
            .iter()
            .map(|((image, digest), at)| (image, digest.as_str(), known(image, digest.as_str()).unwrap_or(*at)))
            .collect();
        // Whoever has waited longest is nearest to its end.
        waiting.sort_by_key(|(.., at)| *at);
        let mut kept = waiting.clone();
        kept.extend(self.not_waiting(seen, now));
        let mut body = File::encoded(&self.of, &kept, tags);
        if body.len() > MAX_SIZE {
            // Exactly as many as fit, so that the same ones fit in the next cycle.
            let (mut fits, mut beyond) = (0, kept.len());
            while beyond - fits > 1 {
                let middle = usize::midpoint(fits, beyond);
                let fit = kept.get(..middle).is_some_and(|some| File::encoded(&self.of, some, tags).len() <= MAX_SIZE);
                *(if fit { &mut fits } else { &mut beyond }) = middle;
            }
            kept.truncate(fits);
            body = File::encoded(&self.of, &kept, tags);
        }
        let left = waiting.len().saturating_sub(kept.len());
        let adds = waiting.iter().take(kept.len()).any(|(image, digest, _)| known(image, digest).is_none());
        Revised { body, adds, left }
    }

    /// Records of what does not wait at present, such as after a change of the policy: the newest of each image.
    fn not_waiting(&self, seen: &BTreeMap<(ImageName, Digest), Timestamp>, now: Timestamp) -> Vec<Record<'_>> {
        let waits = |image: &ImageName, digest: &str| {
            Digest::parse(digest).is_ok_and(|digest| seen.contains_key(&(image.clone(), digest)))
        };
        let mut all = Vec::new();
        for (image, records) in &self.times {
            let (here, mut others): (Vec<_>, Vec<_>) = records
                .iter()
                .map(|(digest, at)| (image, digest.as_str(), *at))
                .filter(|(.., at)| now.duration_since(*at) < KEEP)
                .partition(|(image, digest, _)| waits(image, digest));
            others.sort_by_key(|(.., at)| Reverse(*at));
            others.truncate(MAX_OF_IMAGE.saturating_sub(here.len().max(1)));
            all.extend(others);
        }
        all.sort_by_key(|(.., at)| Reverse(*at));
        all
    }
}

/// The records of a commit, or why they do not count.
fn recorded(mirror: &Mirror, tip: &CommitId, of: &RecordedRepository) -> Result<Result<File, Foreign>, GitError> {
    let signs = !mirror.signing_keys().is_empty();
    if signs && let Some(foreign) = foreign(mirror, tip)? {
        return Ok(Err(foreign));
    }
    let bytes = match RepoPath::parse(FILE) {
        Ok(path) => mirror.read(tip, &path)?,
        Err(_) => None,
    };
    let file = bytes.and_then(|bytes| File::parse(&bytes)).unwrap_or_default();
    Ok(match file.is_of(of) {
        _ if !signs => Ok(file),
        RecordsOf::This => Ok(file),
        RecordsOf::Other(other) => Err(Foreign::Repository(other)),
        RecordsOf::Unsaid => Err(Foreign::Unsaid),
    })
}

/// Why a commit cannot be one that the bot has made for its records: it signs other commits, too, whose files are other people's.
fn foreign(mirror: &Mirror, tip: &CommitId) -> Result<Option<Foreign>, GitError> {
    if !mirror.bears_our_signature(tip)? {
        return Ok(Some(Foreign::Unsigned));
    }
    let Some(entry) = mirror.log(tip, None, 1)?.into_iter().next() else { return Ok(Some(Foreign::NoRecords)) };
    let mut fits = entry.message == MESSAGE && entry.parents.len() <= 1;
    for commit in std::iter::once(tip).chain(&entry.parents) {
        fits = fits && has_only_records(mirror, commit)?;
    }
    Ok((!fits).then_some(Foreign::NoRecords))
}

fn has_only_records(mirror: &Mirror, commit: &CommitId) -> Result<bool, GitError> {
    match mirror.changes_within(None, commit, ALONE) {
        Ok(all) => Ok(matches!(
            all.as_slice(),
            [TreeChange { path: TreePath::Usable(path), now: Some(TreeEntry::File { executable: false, .. }) }]
                if path.as_str() == FILE
        )),
        // It has more in it.
        Err(GitError::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

impl FirstSeen {
    /// Stores in the repository when the images were first seen that these plans hold for their age, and what their tags
    /// stand for. An obstacle is a problem: without a persistent cache such an image would wait forever.
    pub(super) async fn record<R: Remote, P>(
        &mut self,
        (plans, answers): (&[Plan], &Answers),
        (executor, mirror): (&Executor<R, P>, &Mirror),
        place: (&str, &Store),
        now: Timestamp,
    ) -> Option<Problem> {
        let problem = |message: String, code| Problem { path: None, line: None, image: None, message, code };
        if let Some(why) = &self.unreadable {
            let message = format!(
                "{FIRST_SEEN} cannot be read, so ages are counted from what the state folder knows: {why}; next: delete the ref on the remote"
            );
            return Some(problem(message, None));
        }
        let sightings = plans.iter().flat_map(|plan| &plan.sightings).collect();
        let (tags, waiting) = (self.with_tags(&sightings, now), waiting(plans, answers));
        if tags.is_none() && self.replaced.is_none() && self.has_all(&waiting, now) {
            return None;
        }
        let Revised { body, adds, left } = self.with(&waiting, tags.as_ref().unwrap_or(&self.tags), now);
        let full = (left > 0).then(|| {
            let message = format!(
                "{left} waiting images have no room in {FIRST_SEEN}: without a persistent state folder they start waiting again after every start"
            );
            problem(message, None)
        });
        if !adds && self.replaced.is_none() && tags.is_none() {
            return full;
        }
        let written = File::parse(&body);
        let file = (RepoPath::parse(FILE).ok()?, body);
        // What somebody else has put there is no part of the records' history.
        let parent = self.tip.as_ref().filter(|_| !matches!(self.replaced, Some(Replaced::Foreign(_))));
        match executor.record(FIRST_SEEN, (self.tip.as_ref(), parent), file, MESSAGE, now).await {
            Ok((_, Some(RefResult::Rejected { message, .. }))) => Some(problem(
                format!(
                    "the remote refuses {FIRST_SEEN}, where Landfall stores since when images have been waiting for `minimumReleaseAge` and \
                     what tags stood for (`onRetag`): {message}; without it, a bot without a persistent state folder starts \
                     waiting again after every start, and a tag without a digest that is pushed again goes unnoticed"
                ),
                Some(FailureCode::Authentication),
            )),
            Ok((tip, Some(RefResult::Updated | RefResult::UpToDate))) => {
                if let Some(written) = written {
                    self.remembered.keep((Some(&tip), written), mirror, place);
                }
                full
            }
            // The winner of the race has written records too; the next cycle adds what they lack.
            Ok(_) => full,
            Err(error) => Some(problem(format!("{FIRST_SEEN} cannot be written: {error}"), error.code())),
        }
    }
}

/// What is known about every image that is held for its age, including its other candidates, which may be next.
fn waiting(plans: &[Plan], answers: &Answers) -> BTreeMap<(ImageName, Digest), Timestamp> {
    let held = plans.iter().flat_map(|plan| &plan.holds).filter(|hold| hold.gate == Gate::MinimumReleaseAge);
    let images: BTreeSet<&ImageName> = held.map(|hold| &hold.update.name).collect();
    let manifests = answers.manifests.iter().filter(|((image, _), _)| images.contains(image));
    let key = manifests.filter_map(|((image, _), answer)| match answer {
        Answer::Known(manifest) => Some((image.clone(), manifest.digest.clone())),
        Answer::Absent { .. } | Answer::Failed { .. } => None,
    });
    key.filter_map(|key| answers.first_seen.get(&key).map(|at| (key, *at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + hours * 3600).unwrap()
    }

    fn key(image: &str, number: usize) -> (ImageName, Digest) {
        let digest = Digest::parse(&format!("sha256:{number:064x}")).unwrap();
        (ImageName::parse(&format!("ghcr.io/acme/{image}")).unwrap(), digest)
    }

    fn with(times: &Times, seen: &[((ImageName, Digest), Timestamp)], now: Timestamp) -> Option<Times> {
        let records = FirstSeen { times: times.clone(), ..FirstSeen::default() };
        let Revised { body, adds, .. } = records.with(&seen.iter().cloned().collect(), &TagRecords::new(), now);
        assert!(!adds || !records.has_all(&seen.iter().cloned().collect(), now), "what is written is not known");
        adds.then(|| File::parse(&body).unwrap().images)
    }

    #[test]
    fn a_record_of_a_clock_that_was_ahead_is_written_anew() {
        let ahead = with(&Times::new(), &[(key("web", 1), at(700))], at(700)).unwrap();
        let mended = with(&ahead, &[(key("web", 1), at(5))], at(5)).unwrap();
        assert_eq!(mended.values().flat_map(|times| times.values()).copied().collect::<Vec<_>>(), [at(5)]);
        assert_eq!(with(&mended, &[(key("web", 1), at(6))], at(6)), None, "once");
    }

    #[test]
    fn the_earlier_of_record_and_cache_counts() {
        let times = with(&Times::new(), &[(key("web", 1), at(5)), (key("web", 2), at(50))], at(50)).unwrap();
        let records = FirstSeen { times, ..FirstSeen::default() };
        let mut answers = Answers::default();
        for (number, seen) in [(1, at(90)), (2, at(20)), (3, at(90))] {
            answers.first_seen.insert(key("web", number), seen);
        }
        records.add_to(&mut answers);
        let seen = |number| answers.first_seen[&key("web", number)];
        assert_eq!([seen(1), seen(2), seen(3)], [at(5), at(20), at(90)]);
    }

    #[test]
    fn records_are_written_once_and_bounded() {
        let first = with(&Times::new(), &[(key("web", 0), at(0))], at(0)).unwrap();
        assert_eq!(with(&first, &[(key("web", 0), at(9))], at(9)), None, "it has its record");
        let mut times = first;
        for number in 1..100 {
            let hours = i64::try_from(number).unwrap();
            times = with(&times, &[(key("web", number), at(hours))], at(hours)).unwrap();
        }
        let kept: Vec<&Timestamp> = times.values().next().unwrap().values().collect();
        assert_eq!((kept.len(), kept.iter().min()), (MAX_OF_IMAGE, Some(&&at(80))));
        let later = at(24 * 181 + 99);
        let times = with(&times, &[(key("api", 1), later)], later).unwrap();
        assert_eq!(times.len(), 1, "old records go");
        let body =
            serde_json::to_vec(&File::new(&RecordedRepository::default(), times.clone(), TagRecords::new())).unwrap();
        assert_eq!(File::parse(&body).unwrap().images, times);
    }

    #[test]
    fn what_is_written_can_be_read_and_nothing_is_pushed_out_by_what_came_later() {
        let many = |from: usize, to: usize| -> BTreeMap<_, _> {
            let seen = |number| (key(&format!("i{}", number / 20), number), at(i64::try_from(number).unwrap()));
            (from..to).map(seen).collect()
        };
        let tags = TagRecords::new();
        let records = |times: &Times| FirstSeen { times: times.clone(), ..FirstSeen::default() };
        let first = FirstSeen::default().with(&many(0, 60_000), &tags, at(60_000));
        let times = File::parse(&first.body).unwrap().images;
        let count: usize = times.values().map(BTreeMap::len).sum();
        assert_eq!((first.adds, first.left), (true, 60_000 - count));
        assert!(count > 20_000 && times.contains_key(&key("i0", 0).0), "{count}");
        // The same ones wait, and others came: those that are known stay, and nothing is pushed again and again.
        let again = records(&times).with(&many(0, 60_500), &tags, at(60_500));
        assert_eq!((again.adds, again.left), (false, 60_500 - count));
        // Where some no longer wait, there is room.
        let fewer = records(&times).with(&many(count - 50, count + 10), &tags, at(60_500));
        let (image, digest) = key(&format!("i{}", count / 20), count);
        assert!(fewer.adds && File::parse(&fewer.body).unwrap().images[&image].contains_key(digest.as_str()));
    }

    #[test]
    fn what_is_no_record_reads_as_none() {
        for bytes in ["", "{}", "[]", "{\"version\":2,\"images\":{}}", "{\"version\":1,\"images\":{\"UPPER\":{}}}"] {
            assert!(File::parse(bytes.as_bytes()).is_none(), "{bytes}");
        }
        assert!(File::parse(&vec![b' '; MAX_SIZE + 1]).is_none());
    }

    #[test]
    fn what_a_tag_stood_for_is_recorded_once_and_bounded() {
        let sighting = |image: usize, tag: &str, number: usize| {
            let (image, digest) = key(&format!("i{image}"), number);
            TagSighting { image, tag: Tag::parse(tag).unwrap(), before: None, digest }
        };
        let seen = |tags: &TagRecords, sightings: &[TagSighting], hours| {
            let records = FirstSeen { tags: tags.clone(), ..FirstSeen::default() };
            records.with_tags(&sightings.iter().collect(), at(hours))
        };
        let first = seen(&TagRecords::new(), &[sighting(0, "1.0", 1)], 0).unwrap();
        assert_eq!(seen(&first, &[sighting(0, "1.0", 1)], 1), None, "it is known");
        let mut tags = first;
        for number in 2..20 {
            tags = seen(&tags, &[sighting(0, "1.0", number)], i64::try_from(number).unwrap()).unwrap();
        }
        let record = tags.values().next().unwrap().values().next().unwrap();
        assert_eq!(
            (record.digest.clone(), record.latest().clone(), record.again.len()),
            (key("i0", 1).1, key("i0", 19).1, 5)
        );
        let many: Vec<_> = (1..=MAX_TAGS).map(|image| sighting(image, "1.0", 1)).collect();
        let tags = seen(&tags, &many, 99).unwrap();
        let left = |image: usize| tags.contains_key(&sighting(image, "1.0", 1).image);
        assert_eq!(
            (tags.len(), left(0), left(MAX_TAGS)),
            (MAX_TAGS, false, true),
            "what nothing names any more goes first"
        );
        let file = File::new(&RecordedRepository::default(), Times::new(), tags.clone());
        let body = serde_json::to_vec_pretty(&file).unwrap();
        assert!(body.len() < MAX_SIZE, "{}", body.len());
        assert_eq!(File::parse(&body).unwrap().tags, tags);
    }
}
