//! What a cluster's Events say about objects that are not up: asked for on demand, remembered for a while.
//!
//! Reasons such as FailedMount, FailedCreatePodSandBox or a failing probe stand nowhere else. Events are not watched: a
//! cluster makes more of them than of everything else together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::model::observation::{Object, ObjectKey};

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(30);

/// Most objects that are asked about at a time.
const MAX_ASKED: usize = 20;

/// Most questions at one time.
const CONCURRENT: usize = 4;

/// An object of a cluster, by the cluster's name.
pub(super) type Unwell = (String, Arc<Object>);

/// An answer of a cluster: about which of its objects, and what was said.
pub(super) type EventsAnswer = (String, ObjectKey, Vec<Object>);

/// The answers of each cluster.
#[derive(Debug, Default)]
pub(super) struct ClusterEvents {
    /// A cluster and an object of it → when it was asked about, and what was said.
    known: HashMap<(String, ObjectKey), (Instant, Vec<Object>)>,
}

impl ClusterEvents {
    /// What is remembered about a cluster's objects.
    pub(super) fn of(&self, cluster: &str) -> Vec<Object> {
        let own = self.known.iter().filter(|((name, _), _)| name == cluster);
        own.flat_map(|(_, (_, events))| events.clone()).collect()
    }

    /// Those of these objects that are to be asked about now. What nobody asks about any more is forgotten.
    pub(super) fn due(&mut self, unwell: &[Unwell]) -> Vec<Unwell> {
        let wanted: HashSet<(&str, ObjectKey)> =
            unwell.iter().map(|(cluster, object)| (cluster.as_str(), object.key())).collect();
        self.known.retain(|(name, key), _| wanted.contains(&(name.as_str(), key.clone())));
        let asked = |(cluster, object): &Unwell| self.known.get(&(cluster.clone(), object.key())).map(|it| it.0);
        let mut due: Vec<&Unwell> =
            unwell.iter().filter(|it| asked(it).is_none_or(|at| at.elapsed() >= FRESH)).collect();
        // Nobody is passed over for ever: who was never asked about comes first, then whose answer is oldest.
        due.sort_by_key(|it| asked(it));
        let due: Vec<Unwell> = due.into_iter().take(MAX_ASKED).cloned().collect();
        for (cluster, object) in &due {
            let known = self.known.entry((cluster.clone(), object.key()));
            known.or_insert((Instant::now(), Vec::new())).0 = Instant::now();
        }
        due
    }

    /// Takes in an answer; whether it says anything new.
    pub(super) fn learn(&mut self, (cluster, object, events): EventsAnswer) -> bool {
        let before = self.known.insert((cluster, object), (Instant::now(), events.clone()));
        before.map_or(!events.is_empty(), |(_, before)| before != events)
    }
}

/// Asks about these objects, and gives each answer to `to`.
pub(super) async fn ask(clusters: Arc<[Cluster]>, due: Vec<Unwell>, to: impl Fn(EventsAnswer)) {
    let asked = due.into_iter().map(|(name, object)| {
        let clusters = Arc::clone(&clusters);
        async move {
            let cluster = clusters.iter().find(|cluster| cluster.name() == name)?;
            let events = cluster.events(&object).await.unwrap_or_else(|error| {
                // What is known without them stands; the kind that may not be read is named by the error.
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
