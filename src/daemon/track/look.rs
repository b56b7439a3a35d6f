//! From looks to rows: what is kept in between, and how much has to be made anew.
//!
//! Design: a look takes in what is new since the last one. Where Git or who watches what may be otherwise, or some time has
//! passed (verdicts know deadlines and ages), every image is judged; else only those that a change concerns, so that a look
//! costs what changed and not what there is. Every few minutes all is read from nothing, whatever was kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::cluster::Cluster;
use crate::landing::{Touched, watch};

use super::events::Events;
use super::judge::{self, Anew, Known, Past};
use super::seen::{Eye, News, Seen};
use super::view::View;
use super::watches::Watches;
use super::{Row, ladder};

/// For how long verdicts are good where nothing changes.
const GOOD: SignedDuration = SignedDuration::from_secs(15);

/// For how long what is known of a cluster is only added to.
const AFRESH: SignedDuration = SignedDuration::from_mins(10);

/// A repository after its last cycle, and the number of that: one that is known is not read again.
pub(super) type Published = (u64, Arc<View>);

/// What is kept from look to look.
#[derive(Debug, Default)]
pub(super) struct Looks {
    eyes: Vec<Eye>,
    known: BTreeMap<String, (u64, Known, Vec<Row>)>,
    past: Past,
    /// When all images were last judged.
    judged: Option<Timestamp>,
    /// When all objects were last read from nothing.
    opened: Option<Timestamp>,
}

impl Looks {
    /// The rows of all repositories, judged anew where `all` is asked for; `None` where nothing is new.
    pub(super) fn rows(
        &mut self,
        (clusters, events): (&[Cluster], &Events),
        views: &[Published],
        watches: &mut Watches,
        all: bool,
        now: Timestamp,
    ) -> Option<Vec<Row>> {
        if passed(self.opened, now, AFRESH) {
            self.eyes.iter_mut().for_each(Eye::close);
            self.opened = Some(now);
        }
        self.eyes.resize_with(clusters.len(), Eye::default);
        let news = self.eyes.iter_mut().zip(clusters);
        let news: Vec<News> = news.map(|(eye, it)| eye.take(it.snapshot(), events.of(it.name()))).collect();
        // One cluster in which all may be otherwise is reason enough to judge all.
        let touched: Option<Vec<&Touched>> = news.iter().map(News::touched).collect();
        let touched = touched.filter(|_| !all && !passed(self.judged, now, GOOD));
        let fresh = |(number, view): &Published| self.known.get(&view.name).is_none_or(|(known, ..)| known != number);
        let any_fresh = views.iter().any(fresh);
        if !any_fresh && touched.as_ref().is_some_and(|touched| touched.iter().all(|it| it.is_empty())) {
            return None;
        }
        if touched.is_none() {
            self.judged = Some(now);
        }
        let eyes = self.eyes.iter().zip(clusters);
        let seen = eyes.map(|(eye, it)| eye.seen((it.name(), it.environments()), now));
        let seen: Vec<Seen<'_>> = seen.collect::<Option<_>>()?;
        let indexes = (touched.is_none() || any_fresh).then(|| seen.iter().map(Seen::index).collect());
        let indexes: Vec<watch::Index<'_>> = indexes.unwrap_or_default();
        let mut rows = Vec::new();
        self.known.retain(|name, _| views.iter().any(|(_, view)| view.name == *name));
        for (number, view) in views {
            let (known_as, known, before_git) = self.known.entry(view.name.clone()).or_default();
            let anew = match touched.as_deref().filter(|_| known_as == number) {
                Some(touched) => Anew::Of(touched),
                None => Anew::All(&indexes),
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
    let undecided = view.branches.iter().flat_map(|branch| ladder::undecided(&view.report, branch));
    undecided.chain(ladder::rows(&view.report, &view.heads)).chain(ladder::whole(view)).collect()
}

/// Whether so long has passed since; a clock that goes back has passed it.
fn passed(since: Option<Timestamp>, now: Timestamp, time: SignedDuration) -> bool {
    since.is_none_or(|since| now < since || now.duration_since(since) >= time)
}
