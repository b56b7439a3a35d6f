//! The body of a watch: one JSON line per change, bookmarks between them.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::quirk::{Effect, Moment, Verb};
use super::select::LabelSelection;
use super::world::{ClusterState, WatchChange};
use super::{Shared, serve, status};

/// A watch and its position.
pub(super) struct Watching {
    pub(super) shared: Arc<Shared>,
    pub(super) scope: serve::ServedScope,
    pub(super) selection: LabelSelection,
    /// Changes up to this revision have been sent.
    pub(super) cursor: u64,
    /// Lines to send first: the existing objects, if they were requested.
    pub(super) first: String,
    pub(super) bookmarks: bool,
    pub(super) bookmarks_sent: u64,
    pub(super) ends: Option<Instant>,
    pub(super) ended: bool,
}

/// What a watch gets from one look at the world.
enum Look {
    Lines(String),
    Last(String),
    Broken,
    Silent,
    Nothing,
}

impl Watching {
    pub(super) fn answer(self) -> Response {
        let bell = self.shared.bell.subscribe();
        let stream = futures::stream::unfold((self, bell), |(mut watching, mut bell)| async move {
            let item = watching.next(&mut bell).await?;
            Some((item, (watching, bell)))
        });
        status::answer(200, "application/json", Body::from_stream(stream), &[])
    }

    async fn next(&mut self, bell: &mut tokio::sync::watch::Receiver<u64>) -> Option<io::Result<Bytes>> {
        if self.ended {
            return None;
        }
        loop {
            bell.borrow_and_update();
            match self.look() {
                Look::Lines(lines) => return Some(Ok(lines.into())),
                Look::Last(lines) => {
                    self.ended = true;
                    return Some(Ok(lines.into()));
                }
                Look::Broken => {
                    self.ended = true;
                    return Some(Err(io::ErrorKind::ConnectionReset.into()));
                }
                Look::Silent => std::future::pending::<()>().await,
                Look::Nothing => {}
            }
            let bookmark = tokio::time::sleep(self.shared.bookmark_every);
            let ends = self.ends;
            let end = async {
                match ends {
                    Some(ends) => tokio::time::sleep_until(ends).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = bell.changed() => if changed.is_err() { return None },
                () = end => return None,
                () = bookmark, if self.bookmarks => {
                    self.cursor = self.shared.lock().revision();
                    return Some(Ok(self.bookmark(false).into()));
                }
            }
        }
    }

    fn look(&mut self) -> Look {
        let shared = Arc::clone(&self.shared);
        let mut world = shared.lock();
        let strike = |world: &mut ClusterState, scope: &serve::ServedScope| {
            world.quirks.strike(Moment::Stream, Verb::Watch, &scope.resource, scope.namespace.as_deref())
        };
        match strike(&mut world, &self.scope) {
            Some(Effect::Silent) => return Look::Silent,
            Some(Effect::GoneInStream) => return Look::Last(line("ERROR", &status::too_old())),
            Some(_) => return Look::Broken,
            None => {}
        }
        if !self.first.is_empty() {
            return Look::Lines(std::mem::take(&mut self.first));
        }
        if !world.is_served(&self.scope.resource) {
            return Look::Last(String::new());
        }
        // As observed on a real server: the refusal of an old version comes inside the stream, after a 200.
        if self.cursor < world.oldest() {
            return Look::Last(line("ERROR", &status::too_old()));
        }
        let mut lines = String::new();
        for change in world.changes(&self.scope.resource, self.cursor) {
            lines.push_str(&self.line(change));
        }
        self.cursor = world.revision();
        if self.bookmarks && world.bookmarks() > self.bookmarks_sent {
            self.bookmarks_sent = world.bookmarks();
            lines.push_str(&self.bookmark(false));
        }
        if lines.is_empty() { Look::Nothing } else { Look::Lines(lines) }
    }

    /// A change as this watch sees it: an object that leaves the selection counts as deleted.
    fn line(&self, change: &WatchChange) -> String {
        if self.scope.namespace.as_ref().is_some_and(|namespace| *namespace != change.place.namespace) {
            return String::new();
        }
        let before = change.old.as_ref().is_some_and(|old| self.selection.takes(old));
        let now = !change.removed && self.selection.takes(&change.new);
        let what = match (before, now) {
            (false, false) => return String::new(),
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        line(what, &self.scope.versioned(&change.new))
    }

    pub(super) fn bookmark(&self, initial: bool) -> String {
        let mut object = json!({
            "kind": self.scope.kind, "apiVersion": self.scope.api_version,
            "metadata": { "resourceVersion": self.cursor.to_string(), "creationTimestamp": null }
        });
        if initial {
            object["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        line("BOOKMARK", &object)
    }
}

pub(super) fn line(what: &str, object: &Value) -> String {
    format!("{{\"type\":\"{what}\",\"object\":{object}}}\n")
}
