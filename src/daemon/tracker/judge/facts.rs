//! The question about an image: which objects to consider, and what Git says about the revisions that they name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::git::{Ancestry, GitError, Mirror, PinKey, ValueAt};
use crate::landing::flapping::FlapSample;
use crate::landing::watchers::{WatchedFile, Watcher, WatcherIndex, watchers_of};
use crate::landing::{Contains, Git, Question, RevisionFact, Scope, World};
use crate::model::observation::{Object, ObjectKey};
use crate::model::{CommitId, ImageName, ImageReference, Pin, Version};
use crate::plan::Declared;

use super::super::cluster_view::ClusterInPass;
use super::builds::{Builds, Overrun};
use super::{ImageInPass, Watching};

/// Maximum number of cached file values; half of them are dropped when it is reached.
const MAX_VALUES: usize = 200_000;

impl ImageInPass<'_> {
    /// The question for the watchers of a pin, and samples of their Applications.
    pub(super) fn question(&mut self, cluster: &ClusterInPass<'_>, watching: &Watching) -> (Question, Vec<FlapSample>) {
        let Watching { pin, watchers, others } = watching;
        let controllers: Vec<ObjectKey> = watchers.iter().map(|watcher| watcher.object.clone()).collect();
        let mut held: Vec<ObjectKey> = Vec::new();
        for object in watchers.iter().flat_map(|watcher| &watcher.holds).flat_map(|held| &held.objects) {
            if !controllers.contains(object) && !held.contains(object) {
                held.push(object.clone());
            }
        }
        let origins = watchers.iter().filter_map(|watcher| watcher.origin.as_ref());
        let objects: Vec<&Object> =
            controllers.iter().chain(origins).filter_map(|key| cluster.world.get(key)).collect();
        let seen = controllers.iter().chain(&held).filter_map(|key| cluster.world.get(key));
        let samples = seen.filter_map(|object| FlapSample::of_application(cluster.name, object)).collect();
        let question = Question {
            image: ImageReference {
                written: pin.image.clone(),
                name: self.image.name.clone(),
                version: self.image.version.clone(),
            },
            git: Git::Facts(self.facts(pin, World::revisions_of(objects))),
            scope: Scope { others: others.clone(), controllers: Some(controllers), held, workloads: None },
            orphan_after: None,
            deadline: None,
        };
        (question, samples)
    }

    /// Versions of the same image that other places make the same controllers apply.
    ///
    /// # Errors
    /// If finding them takes more than a branch may cause.
    pub(super) fn others(
        &self,
        (index, own): (&WatcherIndex<'_>, &[Watcher]),
        named: &HashMap<&ImageName, Vec<&Declared>>,
        builds: &Builds<'_>,
    ) -> Result<Vec<Version>, Overrun> {
        let is_own = |key: &ObjectKey| own.iter().any(|watcher| watcher.object == *key);
        let same = named.get(&self.image.name).into_iter().flatten();
        let mut versions = Vec::new();
        for other in same.filter(|other| other.version != self.image.version) {
            for pin in &other.pins {
                let place = WatchedFile::of(&self.view.repository, &self.branch.name, &self.branch.reach, pin);
                let found = watchers_of(&place, &*builds.of(&pin.path)?, index);
                if found.controllers().is_some_and(|found| found.iter().any(is_own)) {
                    versions.push(other.version.clone());
                    break;
                }
            }
        }
        Ok(versions)
    }

    /// What Git says about the revisions that controllers name.
    fn facts(&mut self, pin: &Pin, revisions: BTreeSet<String>) -> BTreeMap<String, RevisionFact> {
        let key = PinKey::from(pin);
        let commit = self.sources.get(&key).and_then(|source| source.commit.clone());
        let mut facts = BTreeMap::new();
        for revision in revisions {
            let Ok(id) = CommitId::parse(&revision) else { continue };
            let declares = self.value(&id, &key);
            let by_value = match &declares {
                Some(version) if *version == self.image.version => Contains::Yes,
                Some(_) => Contains::No,
                None => Contains::Unknown,
            };
            let contains = commit.as_ref().map_or(Contains::Unknown, |commit| self.contains(&id, commit));
            let contains = if contains == Contains::Unknown { by_value } else { contains };
            facts.insert(revision, RevisionFact { contains, declares });
        }
        facts
    }

    fn contains(&mut self, revision: &CommitId, commit: &CommitId) -> Contains {
        let key = (self.view.name.clone(), self.branch.name.clone());
        let history = self.past.histories.entry(key).or_default();
        match history.contains(&self.view.mirror, revision, commit) {
            Ok(Ancestry::Contains) => Contains::Yes,
            Ok(Ancestry::DoesNot) => Contains::No,
            Ok(Ancestry::Unknown(_)) => Contains::Unknown,
            Err(error) => unreadable(&self.view.mirror, &error),
        }
    }

    fn value(&mut self, revision: &CommitId, pin: &PinKey) -> Option<Version> {
        let known = (revision.clone(), pin.clone());
        if let Some(value) = self.past.values.get(&known) {
            return value.clone();
        }
        let key = (self.view.name.clone(), self.branch.name.clone());
        let history = self.past.histories.entry(key).or_default();
        let value = match history.value_at(&self.view.mirror, revision, pin) {
            Ok(ValueAt::Declared(name, version)) if name == pin.name => Some(version),
            // It may be fetched later.
            Ok(ValueAt::UnknownRevision) => return None,
            Ok(_) => None,
            Err(error) => {
                unreadable(&self.view.mirror, &error);
                return None;
            }
        };
        if self.past.values.len() >= MAX_VALUES {
            let mut odd = false;
            self.past.values.retain(|_, _| {
                odd = !odd;
                odd
            });
        }
        self.past.values.insert(known, value.clone());
        value
    }
}

fn unreadable(mirror: &Mirror, error: &GitError) -> Contains {
    tracing::debug!(remote = mirror.remote(), %error, "a revision cannot be read");
    Contains::Unknown
}
