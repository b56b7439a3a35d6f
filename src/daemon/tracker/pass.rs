//! From looks to rows: what is kept in between, and how much has to be made anew.
//!
//! Design: a look takes in what is new since the last one. Where Git or who watches what may be otherwise, or some time has
//! passed (verdicts know deadlines and ages), every image is judged; else only those that a change concerns, so that a look
//! costs what changed and not what there is. Every few minutes all is read from nothing, whatever was kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::cluster::Cluster;
use crate::landing::DirtyKeys;
use crate::landing::watchers::WatcherIndex;

use super::cluster_view::{ClusterDelta, ClusterInPass, ClusterView};
use super::events::Events;
use super::judge::{self, Dirty, Known, Past};
use super::view::View;
use super::watch_memory::WatchMemory;
use super::{Row, pre_merge};

/// For how long verdicts are good where nothing changes.
const GOOD: SignedDuration = SignedDuration::from_secs(15);

/// For how long what is known of a cluster is only added to.
const AFRESH: SignedDuration = SignedDuration::from_mins(10);

/// A repository after its last cycle, and the number of that: one that is known is not read again.
pub(super) type Published = (u64, Arc<View>);

/// What is kept from look to look.
#[derive(Debug, Default)]
pub(super) struct Passes {
    cluster_views: Vec<ClusterView>,
    known: BTreeMap<String, (u64, Known, Vec<Row>)>,
    past: Past,
    /// When all images were last judged.
    judged: Option<Timestamp>,
    /// When all objects were last read from nothing.
    opened: Option<Timestamp>,
}

impl Passes {
    /// The rows of all repositories, judged anew where `all` is asked for; `None` where nothing is new.
    pub(super) fn rows(
        &mut self,
        (clusters, events): (&[Cluster], &Events),
        views: &[Published],
        watches: &mut WatchMemory,
        all: bool,
        now: Timestamp,
    ) -> Option<Vec<Row>> {
        if passed(self.opened, now, AFRESH) {
            self.cluster_views.iter_mut().for_each(ClusterView::close);
            self.opened = Some(now);
        }
        self.cluster_views.resize_with(clusters.len(), ClusterView::default);
        let news = self.cluster_views.iter_mut().zip(clusters);
        let news: Vec<ClusterDelta> = news.map(|(view, it)| view.take(it.snapshot(), events.of(it.name()))).collect();
        // One cluster in which all may be otherwise is reason enough to judge all.
        let touched: Option<Vec<&DirtyKeys>> = news.iter().map(ClusterDelta::touched).collect();
        let touched = touched.filter(|_| !all && !passed(self.judged, now, GOOD));
        let fresh = |(number, view): &Published| self.known.get(&view.name).is_none_or(|(known, ..)| known != number);
        let any_fresh = views.iter().any(fresh);
        if !any_fresh && touched.as_ref().is_some_and(|touched| touched.iter().all(|it| it.is_empty())) {
            return None;
        }
        if touched.is_none() {
            self.judged = Some(now);
        }
        let cluster_views = self.cluster_views.iter().zip(clusters);
        let seen = cluster_views.map(|(view, it)| view.seen((it.name(), it.environments()), now));
        let seen: Vec<ClusterInPass<'_>> = seen.collect::<Option<_>>()?;
        let indexes = (touched.is_none() || any_fresh).then(|| seen.iter().map(ClusterInPass::index).collect());
        let indexes: Vec<WatcherIndex<'_>> = indexes.unwrap_or_default();
        let mut rows = Vec::new();
        self.known.retain(|name, _| views.iter().any(|(_, view)| view.name == *name));
        for (number, view) in views {
            let (known_as, known, before_git) = self.known.entry(view.name.clone()).or_default();
            let anew = match touched.as_deref().filter(|_| known_as == number) {
                Some(touched) => Dirty::Of(touched),
                None => Dirty::All(&indexes),
            };
            if known_as != number {
                (*known_as, *before_git) = (*number, self::before_git(view));
            }
            rows.extend(judge::rows(view, &seen, &anew, known, (&mut self.past, watches), now));
            rows.extend(before_git.iter().cloned());
        }
        Some(rows)
    }
}

/// What the cycle itself says: of updates that are not in Git yet, and of what could not be decided.
fn before_git(view: &View) -> Vec<Row> {
    let undecided = view.branches.iter().flat_map(|branch| pre_merge::undecided(&view.outcome, branch));
    undecided.chain(pre_merge::rows(&view.outcome, &view.heads)).chain(pre_merge::whole(view)).collect()
}

/// Whether so long has passed since; a clock that goes back has passed it.
fn passed(since: Option<Timestamp>, now: Timestamp, time: SignedDuration) -> bool {
    since.is_none_or(|since| now < since || now.duration_since(since) >= time)
}
