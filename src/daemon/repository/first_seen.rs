//! When digests that wait for their minimum age were first seen, and what tags stood for of which a policy wants to know
//! when they are pushed again (`onRetag`), stored in the Git repository itself.
//!
//! Promise: a bot without a persistent cache (a CI job, a pod with an `emptyDir`) knows how long an image has existed and
//! which tags have changed, and so does a second bot next to the first. Whoever may push `refs/landfall/…` can make a record say
//! anything, unless the bot signs its commits: then only records that it has signed count.
//!
//! Design: a ref outside `refs/heads/` points to a commit whose tree is one file. It is written only if an update is
//! held for its age and has no record yet, or a tag stands for something new. The file is bounded; what waits stays in it before
//! what does not, and what has waited longest before the rest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::daemon::execute::{Executor, Remote};
use crate::git::{GitError, Mirror, RefResult};
use crate::model::{Answer, CommitId, Digest, FailureCode, ImageName, RepoPath, Tag};
use crate::plan::{Answers, Gate, Plan, Problem, TagRecords, TagSighting};

/// The ref with the records.
pub(in crate::daemon) const FIRST_SEEN: &str = "refs/landfall/first-seen";

/// The only file of its tree.
const FILE: &str = "first-seen.json";

/// Maximum size of the file, read or written; that of all tags is less.
const MAX_SIZE: usize = 4 << 20;

/// Maximum number of records per image of those that do not wait, keeping the newest; a plan considers ten candidates.
const MAX_OF_IMAGE: usize = 20;

/// Maximum number of tags with records.
const MAX_TAGS: usize = 2000;

/// How long a record is kept.
const KEEP: SignedDuration = SignedDuration::from_hours(24 * 180);

type Times = BTreeMap<ImageName, BTreeMap<String, Timestamp>>;

/// The records in the mirror.
#[derive(Debug, Default)]
pub(super) struct FirstSeen {
    tip: Option<CommitId>,
    times: Times,
    /// What tags stood for.
    pub(super) tags: TagRecords,
    /// Why the ref cannot be read, such as one that somebody pointed at something else.
    unreadable: Option<String>,
    /// Whether the tip is a commit that the bot has not signed, although it signs its commits.
    is_foreign: bool,
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

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    version: u32,
    #[serde(default)]
    images: Times,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: TagRecords,
}

impl FirstSeen {
    /// Reads the records again if the ref has moved. A ref that points at something else counts as absent, and is told.
    ///
    /// # Errors
    /// If it cannot be found out what they are: taken for none, they would let pass what was pushed again. What was read before
    /// stays.
    pub(super) fn read(&mut self, mirror: &Mirror) -> Result<(), GitError> {
        let tip = mirror.tip(FIRST_SEEN)?;
        if tip == self.tip && self.unreadable.is_none() {
            return Ok(());
        }
        if let Some(tip) = &tip
            && !is_ours(mirror, tip)?
        {
            tracing::warn!(%tip, "{FIRST_SEEN} is not signed by the bot, so what it says does not count; it is written again");
            (self.tip, self.is_foreign, self.unreadable) = (Some(tip.clone()), true, None);
            return Ok(());
        }
        let path = tip.as_ref().zip(RepoPath::parse(FILE).ok());
        *self = match path.map(|(tip, path)| mirror.read(tip, &path)).transpose() {
            Ok(bytes) => {
                let File { images, tags, .. } = bytes.flatten().and_then(|bytes| parse(&bytes)).unwrap_or_default();
                Self { tip, times: images, tags, unreadable: None, is_foreign: false }
            }
            Err(error @ (GitError::UnknownCommit { .. } | GitError::Refused { .. })) => {
                Self { unreadable: Some(error.to_string()), ..Self::default() }
            }
            Err(error) => return Err(error),
        };
        Ok(())
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
        let mut body = encoded(&kept, tags);
        if body.len() > MAX_SIZE {
            // Exactly as many as fit, so that the same ones fit in the next cycle.
            let (mut fits, mut beyond) = (0, kept.len());
            while beyond - fits > 1 {
                let middle = usize::midpoint(fits, beyond);
                let fit = kept.get(..middle).is_some_and(|some| encoded(some, tags).len() <= MAX_SIZE);
                *(if fit { &mut fits } else { &mut beyond }) = middle;
            }
            kept.truncate(fits);
            body = encoded(&kept, tags);
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

/// Whether a commit with records is the bot's, as far as that can be told: where its commits are signed, this one must be.
fn is_ours(mirror: &Mirror, tip: &CommitId) -> Result<bool, GitError> {
    match mirror.bears_our_signature(tip) {
        // What the ref points at instead is told when it is read.
        Err(GitError::UnknownCommit { .. } | GitError::Refused { .. }) => Ok(true),
        signed => signed,
    }
}

/// An image, a digest, and when it was first seen.
type Record<'r> = (&'r ImageName, &'r str, Timestamp);

/// The file of these records.
fn encoded(records: &[Record<'_>], tags: &TagRecords) -> Vec<u8> {
    let mut images = Times::new();
    for (image, digest, at) in records {
        images.entry((*image).clone()).or_default().insert((*digest).to_owned(), *at);
    }
    let file = File { version: 1, images, tags: tags.clone() };
    // Names and times can always be encoded.
    let mut body = serde_json::to_vec_pretty(&file).unwrap_or_default();
    body.push(b'\n');
    body
}

fn parse(bytes: &[u8]) -> Option<File> {
    if bytes.len() > MAX_SIZE {
        return None;
    }
    let file: File = serde_json::from_slice(bytes).ok()?;
    (file.version == 1).then_some(file)
}

impl FirstSeen {
    /// Stores in the repository when the images were first seen that these plans hold for their age, and what their tags
    /// stand for. An obstacle is a problem: without a persistent cache such an image would wait forever.
    pub(super) async fn record<R: Remote, P>(
        &self,
        (plans, answers): (&[Plan], &Answers),
        executor: &Executor<R, P>,
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
        if tags.is_none() && !self.is_foreign && self.has_all(&waiting, now) {
            return None;
        }
        let Revised { body, adds, left } = self.with(&waiting, tags.as_ref().unwrap_or(&self.tags), now);
        let full = (left > 0).then(|| {
            let message = format!(
                "{left} waiting images have no room in {FIRST_SEEN}: without a persistent state folder they start waiting again after every start"
            );
            problem(message, None)
        });
        if !adds && !self.is_foreign && tags.is_none() {
            return full;
        }
        let message = "When images were first seen, and what their tags stood for\n";
        let file = (RepoPath::parse(FILE).ok()?, body);
        match executor.record(FIRST_SEEN, self.tip.as_ref(), file, message, now).await {
            Ok(Some(RefResult::Rejected { message, .. })) => Some(problem(
                format!(
                    "the remote refuses {FIRST_SEEN}, where Landfall stores since when images have been waiting for `minimumReleaseAge` and \
                     what tags stood for (`onRetag`): {message}; without it, a bot without a persistent state folder starts \
                     waiting again after every start, and a tag without a digest that is pushed again goes unnoticed"
                ),
                Some(FailureCode::Authentication),
            )),
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
        adds.then(|| parse(&body).unwrap().images)
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
        let body = serde_json::to_vec(&File { version: 1, images: times.clone(), ..File::default() }).unwrap();
        assert_eq!(parse(&body).unwrap().images, times);
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
        let times = parse(&first.body).unwrap().images;
        let count: usize = times.values().map(BTreeMap::len).sum();
        assert_eq!((first.adds, first.left), (true, 60_000 - count));
        assert!(count > 20_000 && times.contains_key(&key("i0", 0).0), "{count}");
        // The same ones wait, and others came: those that are known stay, and nothing is pushed again and again.
        let again = records(&times).with(&many(0, 60_500), &tags, at(60_500));
        assert_eq!((again.adds, again.left), (false, 60_500 - count));
        // Where some no longer wait, there is room.
        let fewer = records(&times).with(&many(count - 50, count + 10), &tags, at(60_500));
        let (image, digest) = key(&format!("i{}", count / 20), count);
        assert!(fewer.adds && parse(&fewer.body).unwrap().images[&image].contains_key(digest.as_str()));
    }

    #[test]
    fn what_is_no_record_reads_as_none() {
        for bytes in ["", "{}", "[]", "{\"version\":2,\"images\":{}}", "{\"version\":1,\"images\":{\"UPPER\":{}}}"] {
            assert!(parse(bytes.as_bytes()).is_none(), "{bytes}");
        }
        assert!(parse(&vec![b' '; MAX_SIZE + 1]).is_none());
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
        let file = File { version: 1, tags: tags.clone(), ..File::default() };
        let body = serde_json::to_vec_pretty(&file).unwrap();
        assert!(body.len() < MAX_SIZE, "{}", body.len());
        assert_eq!(parse(&body).unwrap().tags, tags);
    }
}
