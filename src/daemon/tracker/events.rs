//! What a cluster's Events say about objects that are not up: asked for on demand, remembered for a while.
//!
//! Reasons such as FailedMount, FailedCreatePodSandBox or a failing probe stand nowhere else. Events are not watched: a
//! cluster makes more of them than of everything else together.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::model::observation::{Body, Event, Marks, Object, ObjectKey, StatusPresence};

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(30);

/// Most objects that one look asks about.
const MAX_ASKED: usize = 20;

/// Most questions at one time.
const CONCURRENT: usize = 4;

/// A cluster and an object of it → when it was asked about, and what was said.
type Answers = HashMap<(String, ObjectKey), (Instant, Vec<Object>)>;

/// The answers of each cluster.
#[derive(Debug, Default)]
pub(super) struct Events(Mutex<Answers>);

impl Events {
    /// What is remembered about a cluster's objects.
    pub(super) fn of(&self, cluster: &str) -> Vec<Object> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|((name, _), _)| name == cluster).flat_map(|(_, (_, events))| events.clone()).collect()
    }

    /// Those of these objects that are to be asked about. What nobody asks about any more is forgotten.
    pub(super) fn due(&self, unwell: &[(String, Arc<Object>)]) -> Vec<(String, Arc<Object>)> {
        let wanted: HashSet<(&str, ObjectKey)> =
            unwell.iter().map(|(cluster, object)| (cluster.as_str(), object.key())).collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(name, key), _| wanted.contains(&(name.as_str(), key.clone())));
        let asked =
            |(cluster, object): &(String, Arc<Object>)| known.get(&(cluster.clone(), object.key())).map(|it| it.0);
        let due = unwell.iter().filter(|it| asked(it).is_none_or(|at| at.elapsed() >= FRESH));
        let mut due: Vec<&(String, Arc<Object>)> = due.collect();
        // Nobody is passed over for ever: who was never asked about comes first, then whose answer is oldest.
        due.sort_by_key(|it| asked(it));
        due.into_iter().take(MAX_ASKED).cloned().collect()
    }

    /// Asks about these objects of these clusters; whether anything was learned.
    pub(super) async fn ask(&self, clusters: &[Cluster], due: Vec<(String, Arc<Object>)>) -> bool {
        let mut asked: Vec<BoxFuture<'_, _>> = Vec::new();
        for (name, object) in due {
            // Whoever gives up waiting does not ask again at once.
            let asked_now = (Instant::now(), Vec::new());
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry((name.clone(), object.key()))
                .or_insert(asked_now)
                .0 = Instant::now();
            if let Some(cluster) = clusters.iter().find(|cluster| cluster.name() == name) {
                asked.push(Box::pin(async move {
                    let answer = cluster.events(&object).await;
                    (name, object, answer)
                }));
            }
        }
        let mut answers = futures::stream::iter(asked).buffer_unordered(CONCURRENT);
        let mut learned = false;
        while let Some((name, object, answer)) = answers.next().await {
            let events = answer.unwrap_or_else(|error| {
                // What is known without them stands; the kind that may not be read is named by the error.
                tracing::debug!(cluster = name, object = object.label(), %error, "its events cannot be read");
                Vec::new()
            });
            let events: Vec<Object> =
                events.into_iter().enumerate().map(|(nth, event)| wrapped(&object, nth, event)).collect();
            learned |= !events.is_empty();
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert((name, object.key()), (Instant::now(), events));
        }
        learned
    }
}

/// An event as the object that it was.
fn wrapped(about: &Object, nth: usize, event: Event) -> Object {
    Object {
        api_version: "v1".to_owned(),
        kind: "Event".to_owned(),
        namespace: about.namespace.clone(),
        name: format!("{}.{}.{nth}", about.kind, about.name),
        uid: None,
        labels: Marks::default(),
        annotations: Marks::default(),
        owners: Vec::new(),
        generation: None,
        created: None,
        deleting: None,
        image_writers: Vec::new(),
        malformed: Vec::new(),
        status: StatusPresence::Absent,
        body: Body::Event(Box::new(event)),
    }
}
