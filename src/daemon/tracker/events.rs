//! A cluster's Events about objects that are not up: requested on demand, cached for a while.
//!
//! Reasons such as FailedMount, FailedCreatePodSandBox or a failing probe are nowhere else. Events are not watched: a
//! cluster makes more of them than of everything else together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::model::observation::{Object, ObjectKey};

/// How long an answer is valid.
const FRESH: Duration = Duration::from_secs(30);

/// Maximum number of objects queried at a time.
const MAX_ASKED: usize = 20;

/// Maximum number of concurrent queries.
const CONCURRENT: usize = 4;

/// An object of a cluster, with the cluster's name.
pub(super) type Unwell = (String, Arc<Object>);

/// An answer from a cluster: the object, and its events.
pub(super) type EventsAnswer = (String, ObjectKey, Vec<Object>);

/// The answers of each cluster.
#[derive(Debug, Default)]
pub(super) struct ClusterEvents {
    /// A cluster and an object in it → when it was queried, and the answer.
    known: HashMap<(String, ObjectKey), (Instant, Vec<Object>)>,
}

impl ClusterEvents {
    /// The cached events about a cluster's objects.
    pub(super) fn of(&self, cluster: &str) -> Vec<Object> {
        let own = self.known.iter().filter(|((name, _), _)| name == cluster);
        own.flat_map(|(_, (_, events))| events.clone()).collect()
    }

    /// The objects to query now. Objects that are no longer needed are forgotten.
    pub(super) fn due(&mut self, unwell: &[Unwell]) -> Vec<Unwell> {
        let wanted: HashSet<(&str, ObjectKey)> =
            unwell.iter().map(|(cluster, object)| (cluster.as_str(), object.key())).collect();
        self.known.retain(|(name, key), _| wanted.contains(&(name.as_str(), key.clone())));
        let asked = |(cluster, object): &Unwell| self.known.get(&(cluster.clone(), object.key())).map(|it| it.0);
        let mut due: Vec<&Unwell> =
            unwell.iter().filter(|it| asked(it).is_none_or(|at| at.elapsed() >= FRESH)).collect();
        // Nobody is left out forever: objects that were never queried come first, then those with the oldest answer.
        due.sort_by_key(|it| asked(it));
        let due: Vec<Unwell> = due.into_iter().take(MAX_ASKED).cloned().collect();
        for (cluster, object) in &due {
            let known = self.known.entry((cluster.clone(), object.key()));
            known.or_insert((Instant::now(), Vec::new())).0 = Instant::now();
        }
        due
    }

    /// Records an answer; returns whether it brings anything new.
    pub(super) fn learn(&mut self, (cluster, object, events): EventsAnswer) -> bool {
        let before = self.known.insert((cluster, object), (Instant::now(), events.clone()));
        before.map_or(!events.is_empty(), |(_, before)| before != events)
    }
}

/// Queries these objects, and passes each answer to `to`.
pub(super) async fn ask(clusters: Arc<[Cluster]>, due: Vec<Unwell>, to: impl Fn(EventsAnswer)) {
    let asked = due.into_iter().map(|(name, object)| {
        let clusters = Arc::clone(&clusters);
        async move {
            let cluster = clusters.iter().find(|cluster| cluster.name() == name)?;
            let events = cluster.events(&object).await.unwrap_or_else(|error| {
                // The result stands without them; the error names the kind that may not be read.
                tracing::debug!(cluster = name, object = object.label(), %error, "its events cannot be read");
                Vec::new()
            });
            let events = events.into_iter().enumerate().map(|(nth, event)| object.event(nth, event)).collect();
            Some((name, object.key(), events))
        }
    });
    let mut answers = futures::stream::iter(asked).buffer_unordered(CONCURRENT);
    while let Some(answer) = answers.next().await {
        answer.into_iter().for_each(&to);
    }
}
