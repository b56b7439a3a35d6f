//! When digests that wait for their minimum age were first seen, and what tags stood for of which a policy wants to know
//! when they are pushed again (`onRetag`), stored in the Git repository itself.
//!
//! Promise: a bot without a persistent cache (a CI job, a pod with an `emptyDir`) knows how long an image has existed and
//! which tags have changed, and so does a second bot next to the first. Whoever may push `refs/landfall/…` can make a record say anything:
//! protect it like the policies.
//!
//! Design: a ref outside `refs/heads/` points to a commit whose tree is one file. It is written only if an update is
//! held for its age and has no record yet, or a tag stands for something new; old and excess records are dropped from the
//! file.

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

/// Maximum size of the file that is read.
const MAX_SIZE: usize = 1 << 20;

/// Maximum number of records per image, keeping the newest; a plan considers ten candidates.
const MAX_OF_IMAGE: usize = 20;

/// Maximum number of images with records.
const MAX_IMAGES: usize = 500;

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
}

#[derive(Default, Serialize, Deserialize)]
struct File {
    version: u32,
    #[serde(default)]
    images: Times,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: TagRecords,
}

impl FirstSeen {
    /// Reads the records again if the ref has moved. Anything unreadable counts as absent.
    pub(super) fn read(&mut self, mirror: &Mirror) -> Result<(), GitError> {
        let tip = mirror.tip(FIRST_SEEN)?;
        if tip != self.tip {
            let bytes = match (&tip, RepoPath::parse(FILE)) {
                (Some(tip), Ok(path)) => mirror.read(tip, &path)?,
                _ => None,
            };
            let file = bytes.and_then(|bytes| parse(&bytes)).unwrap_or_default();
            (self.times, self.tags) = (file.images, file.tags);
            self.tip = tip;
        }
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
        let mut excess = tags.values().map(BTreeMap::len).sum::<usize>().saturating_sub(MAX_TAGS);
        for is_current in [false, true] {
            for (image, of) in &mut tags {
                of.retain(|tag, _| {
                    let goes = excess > 0 && current(image, tag) == is_current;
                    excess -= usize::from(goes);
                    !goes
                });
            }
        }
        tags.retain(|_, of| !of.is_empty());
        news.then_some(tags)
    }

    /// The records with these added, without old and excess ones; `None` if nothing is new.
    fn with(&self, seen: &BTreeMap<(ImageName, Digest), Timestamp>, now: Timestamp) -> Option<Times> {
        let known = |(image, digest): &(ImageName, Digest)| {
            self.times.get(image).is_some_and(|times| times.contains_key(digest.as_str()))
        };
        if seen.keys().all(known) {
            return None;
        }
        let mut times = self.times.clone();
        for ((image, digest), at) in seen {
            times.entry(image.clone()).or_default().entry(digest.as_str().to_owned()).or_insert(*at);
        }
        for records in times.values_mut() {
            let mut newest: Vec<Timestamp> = records.values().copied().collect();
            newest.sort_unstable_by(|a, b| b.cmp(a));
            let oldest = newest.get(MAX_OF_IMAGE - 1).copied().unwrap_or(Timestamp::MIN);
            records.retain(|_, at| *at >= oldest && now.duration_since(*at) < KEEP);
        }
        times.retain(|_, records| !records.is_empty());
        while times.len() > MAX_IMAGES {
            let last = |records: &BTreeMap<String, Timestamp>| records.values().max().copied();
            let stalest = times.iter().min_by_key(|(_, records)| last(records)).map(|(image, _)| image.clone());
            times.remove(&stalest?);
        }
        Some(times)
    }
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
        let sightings = plans.iter().flat_map(|plan| &plan.sightings).collect();
        let (images, tags) = (self.with(&waiting(plans, answers), now), self.with_tags(&sightings, now));
        if images.is_none() && tags.is_none() {
            return None;
        }
        let images = images.unwrap_or_else(|| self.times.clone());
        let tags = tags.unwrap_or_else(|| self.tags.clone());
        // Names and times can always be encoded.
        let mut body = serde_json::to_vec_pretty(&File { version: 1, images, tags }).unwrap_or_default();
        body.push(b'\n');
        let message = "When images were first seen, and what their tags stood for\n";
        let file = (RepoPath::parse(FILE).ok()?, body);
        let problem = |message: String, code| Problem { path: None, line: None, image: None, message, code };
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
            Ok(_) => None,
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
        records.with(&seen.iter().cloned().collect(), now)
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
        let many: Vec<_> = (0..MAX_IMAGES + 5).map(|image| (key(&format!("i{image}"), 1), later)).collect();
        let times = with(&times, &many, later).unwrap();
        assert_eq!(times.len(), MAX_IMAGES);
        let body = serde_json::to_vec(&File { version: 1, images: times.clone(), ..File::default() }).unwrap();
        assert_eq!(parse(&body).unwrap().images, times);
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
