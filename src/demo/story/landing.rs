//! The second part of the story: what is in Git, and what becomes of it in a cluster.
//!
//! Five things that happen to everybody: an image lands, one cannot be pulled, one is refused, one is changed by hand,
//! one is paused. The team's receiver is notified of each, and of its end, like a real one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::SignedDuration;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Detail, Story};
use crate::config::{Environment, Settings};
use crate::daemon::{self, Rows, Tracker};
use crate::demo::clock::StoryClock;
use crate::demo::reconciler::Suspended;
use crate::demo::world::CLUSTER;
use crate::model::{NoticeKind, State, Tracked};

/// How long the story waits for something that must happen, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The time a cluster takes to fetch, apply and roll out.
const A_MOMENT: SignedDuration = SignedDuration::from_secs(40);
/// Longer than a manual change is tolerated.
const MINUTES: SignedDuration = SignedDuration::from_mins(6);
/// Shorter than the interruption that ends a version's soak.
const A_WHILE: SignedDuration = SignedDuration::from_mins(8);
/// Longer than a pause may last before a reminder.
const A_DAY: SignedDuration = SignedDuration::from_hours(25);

/// An alert that must arrive: environment, app, kind.
type Expected = (&'static str, &'static str, NoticeKind);

/// Tells it, starting with everything from Git running in the cluster.
pub(super) async fn tell(
    story: Story<'_>,
    clock: &StoryClock,
    settings: &Settings,
    environment: &Environment,
) -> anyhow::Result<()> {
    let mut watch = StoryWatch::start(story, clock, settings, environment).await?;
    watch.begins().await?;
    watch.lands().await?;
    watch.cannot_be_pulled("2.2.1", "2.2.2").await?;
    watch.is_refused().await?;
    watch.is_changed_by_hand().await?;
    watch.is_paused().await?;
    watch.promotes().await?;
    watch.ends().await
}

pub(super) struct StoryWatch<'a> {
    pub(super) story: Story<'a>,
    pub(super) clock: &'a StoryClock,
    pub(super) tracker: Arc<Tracker>,
    tracking: JoinHandle<()>,
    stop: DropGuard,
}

impl<'a> StoryWatch<'a> {
    /// Everything that is in Git runs in the cluster, and Landfall watches.
    pub(super) async fn start(
        story: Story<'a>,
        clock: &'a StoryClock,
        settings: &Settings,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let sinks = daemon::sinks(settings, environment)?;
        let lookup = Arc::clone(story.bot.lookup());
        let tracker = daemon::tracker(settings, environment, clock.reader(), lookup, sinks)?;
        story.world.cluster.reconcile(story.clock.now()).await?;
        let stop = CancellationToken::new();
        let tracking = tokio::spawn(Arc::clone(&tracker).run(stop.clone()));
        let mut watch = Self { story, clock, tracker, tracking, stop: stop.drop_guard() };
        watch.story.bot.view(&watch.tracker).await;
        let known = |rows: &Rows| rows.rows.iter().filter(|row| is_landed(row)).count() == 9;
        watch.until("everything to have landed", known).await?;
        Ok(watch)
    }
}

impl StoryWatch<'_> {
    async fn begins(&mut self) -> anyhow::Result<()> {
        let story = &mut self.story;
        story
            .scene(&format!(
                "Did it land? Argo CD and Flux run all of it in cluster {CLUSTER}. Landfall only reads there."
            ))
            .await;
        story.line("  Alerts (✗ ⚠) and their end (✔) are shown as the team's webhook gets them.");
        self.status(Detail::Title, |_| true).await;
        Ok(())
    }

    async fn lands(&mut self) -> anyhow::Result<()> {
        self.story.scene("CI pushes web 1.4.0.").await;
        self.push("web", "1.4.0").await?;
        self.moves("web", &["dev", "staging"], "1.4.0").await?;
        self.goes_on().await?;
        self.told(&[("dev", "web", NoticeKind::Landed), ("staging", "web", NoticeKind::Landed)]).await?;
        self.story.line(
            "  Landed means: Argo CD has the commit, the live Deployment the tag, and its pods are up on that image.",
        );
        Ok(())
    }

    pub(super) async fn cannot_be_pulled(&mut self, bad: &str, good: &str) -> anyhow::Result<()> {
        let heading = format!("CI pushes api {bad}. A clean-up job deletes the tag before any node has pulled it.");
        self.story.scene(&heading).await;
        self.push("api", bad).await?;
        self.moves("api", &["dev", "staging"], bad).await?;
        self.story.world.delete("api", bad)?;
        self.goes_on().await?;
        self.told(&[("dev", "api", NoticeKind::Raised), ("staging", "api", NoticeKind::Raised)]).await?;
        self.story.line(
            "  The commit is in Git, and the old pods go on serving: without a look at the cluster nobody would know.",
        );
        self.story.scene(&format!("CI builds it again, as api {good}.")).await;
        self.push("api", good).await?;
        self.told(&[("dev", "api", NoticeKind::Resolved), ("staging", "api", NoticeKind::Resolved)]).await?;
        self.moves("api", &["dev", "staging"], good).await?;
        self.goes_on().await?;
        self.told(&[("dev", "api", NoticeKind::Landed), ("staging", "api", NoticeKind::Landed)]).await
    }

    async fn is_refused(&mut self) -> anyhow::Result<()> {
        let story = &mut self.story;
        story
            .scene(
                "Ada merges web 1.4.0 into prod. The cluster's policy wants signed images there, and this one is not.",
            )
            .await;
        story.world.cluster.refuse("prod", &unsigned(story.world.registry.host()));
        let pull = story.open("web").await?;
        let (merged, _) = story.local()?.merge(pull.number, story.clock.now()).await?;
        story.line(&format!("  merged #{}: {}", merged.number, merged.title));
        self.view().await;
        self.moves("web", &["prod"], "1.4.0").await?;
        self.goes_on().await?;
        self.told(&[("prod", "web", NoticeKind::Raised)]).await?;
        self.story.scene("Ada has the image signed, and syncs again: argocd app sync web-prod").await;
        self.story.world.cluster.admit("prod");
        self.story.world.cluster.argocd_sync("web-prod");
        self.goes_on().await?;
        self.told(&[("prod", "web", NoticeKind::Resolved), ("prod", "web", NoticeKind::Landed)]).await
    }

    async fn is_changed_by_hand(&mut self) -> anyhow::Result<()> {
        let story = &mut self.story;
        story
            .scene(
                "Grace, on call, rolls back by hand: kubectl -n prod set image deployment/prod-web web=…/acme/web:1.3.1",
            )
            .await;
        let image = format!("{}/acme/web:1.3.1", story.world.registry.host());
        story.world.cluster.kubectl_set_image("prod", "prod-web", "web", &image)?;
        self.goes_on().await?;
        self.until("the change by hand to be seen", |rows| has(rows, "web", "prod", "1.4.0", State::Drifted)).await?;
        self.story.line("  Git knows nothing of it. Some tools revert such changes themselves, so Landfall gives them five minutes.");
        self.story.scene("Six minutes later.").await;
        self.passes(MINUTES).await?;
        self.told(&[("prod", "web", NoticeKind::Raised)]).await?;
        self.story.scene("The problem was elsewhere, and Ada reverts the change: argocd app sync web-prod").await;
        self.story.world.cluster.argocd_sync("web-prod");
        self.goes_on().await?;
        self.told(&[("prod", "web", NoticeKind::Resolved)]).await
    }

    async fn is_paused(&mut self) -> anyhow::Result<()> {
        self.story
            .scene("Ada runs `flux suspend kustomization worker-dev`, and forgets it. CI pushes worker v0.9.1.")
            .await;
        self.story.world.cluster.flux_suspend("worker-dev", Suspended::Yes)?;
        self.push("worker", "v0.9.1").await?;
        self.moves("worker", &["staging"], "v0.9.1").await?;
        self.goes_on().await?;
        self.told(&[("staging", "worker", NoticeKind::Landed)]).await?;
        self.until("the pause to be seen", |rows| has(rows, "worker", "dev", "v0.9.1", State::Paused)).await?;
        self.story.line("  A pause is a person's decision, so nobody is paged. But it is visible:");
        self.status(Detail::Title, |row| row.app == "worker" && row.cluster.is_some()).await;
        self.story.scene("A day later it is still paused, and Landfall sends a reminder.").await;
        self.passes(A_DAY).await?;
        self.told(&[("dev", "worker", NoticeKind::Raised)]).await?;
        self.story.scene("Ada resumes it: flux resume kustomization worker-dev").await;
        self.story.world.cluster.flux_suspend("worker-dev", Suspended::No)?;
        self.goes_on().await?;
        self.told(&[("dev", "worker", NoticeKind::Resolved), ("dev", "worker", NoticeKind::Landed)]).await
    }

    pub(super) async fn ends(mut self) -> anyhow::Result<()> {
        self.story.scene("Where everything stands now: landfall status").await;
        // In steps, because a soak does not survive long gaps between observations.
        while !self.clock.left().is_zero() {
            self.passes(self.clock.left().min(A_WHILE)).await?;
            self.story.bot.prove(&self.tracker, PATIENCE).await;
        }
        self.view().await;
        self.until("everything to be well", |rows| rows.rows.iter().filter(|row| is_landed(row)).count() == 9).await?;
        self.status(Detail::Whole, |_| true).await;
        // Whoever opens the cache next must find it unlocked.
        drop(self.stop);
        tokio::time::timeout(PATIENCE, self.tracking).await.context("the tracking does not end")??;
        Ok(())
    }

    /// CI pushes a tag, and the bot's next cycle writes it.
    pub(super) async fn push(&mut self, app: &str, tag: &str) -> anyhow::Result<()> {
        self.story.world.push(app, tag, self.story.clock.now())?;
        for mut report in self.story.bot.apply().await {
            anyhow::ensure!(report.revision.is_some(), "the repository could not be read");
            // The holds were shown before.
            report.holds.clear();
            (self.story.teller.report)(&report);
        }
        self.view().await;
        Ok(())
    }

    pub(super) async fn view(&mut self) {
        self.story.bot.view(&self.tracker).await;
    }

    /// Lets the cluster proceed, which takes a moment.
    pub(super) async fn goes_on(&mut self) -> anyhow::Result<()> {
        self.clock.pass(A_MOMENT);
        self.story.world.cluster.reconcile(self.story.clock.now()).await?;
        self.view().await;
        Ok(())
    }

    /// Lets uneventful time pass. The controllers reconcile at the end of it, before anybody calls them stale.
    pub(super) async fn passes(&mut self, span: SignedDuration) -> anyhow::Result<()> {
        let later = self.story.clock.now().checked_add(span)?;
        self.story.world.cluster.reconcile(later).await?;
        self.clock.pass(span);
        self.view().await;
        Ok(())
    }

    /// Waits until Landfall has seen that these are on their way, as it would between any two steps of a real cluster.
    pub(super) async fn moves(&self, app: &str, environments: &[&str], tag: &str) -> anyhow::Result<()> {
        let on_its_way = |rows: &Rows| environments.iter().all(|name| has(rows, app, name, tag, State::Pending));
        self.until(&format!("{app} {tag} to be on its way"), on_its_way).await
    }

    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Rows) -> bool) -> anyhow::Result<()> {
        let mut rows = self.tracker.rows();
        let waited = tokio::time::timeout(PATIENCE, rows.wait_for(|rows| is_so(rows))).await;
        let found = matches!(waited, Ok(Ok(_)));
        drop(waited);
        if found {
            return Ok(());
        }
        let line = |row: &Tracked| {
            let (environment, state) = (row.environment.as_deref().unwrap_or("-"), row.landing.state);
            format!("{} {environment} {} {state}", row.app, row.declared.version)
        };
        let there: Vec<String> = self.tracker.rows().borrow().rows.iter().map(line).collect();
        anyhow::bail!("the story waited in vain for {what}; the rows are {}", there.join(", "))
    }

    /// Waits for these alerts and prints them in this order; if several are raised, only the first in full.
    pub(super) async fn told(&self, expected: &[Expected]) -> anyhow::Result<()> {
        let mut arrived = Vec::new();
        let mut missing = expected.to_vec();
        while !missing.is_empty() {
            let next = tokio::time::timeout(PATIENCE, self.story.world.receiver.next()).await;
            let Ok(Some(told)) = next else { anyhow::bail!("no such alert arrived: {missing:?}") };
            let key = &told.notice.incident.key;
            let is_it = |(environment, app, kind): &Expected| {
                key.environment.as_deref() == Some(*environment) && key.app == *app && told.notice.kind == *kind
            };
            let order = expected.iter().position(is_it).unwrap_or(expected.len());
            missing.retain(|one| !is_it(one));
            arrived.push((order, told));
        }
        arrived.sort_by_key(|(order, _)| *order);
        let mut detail = Detail::Whole;
        for (_, told) in &arrived {
            (self.story.teller.alert)(told, detail);
            detail = Detail::Title;
        }
        Ok(())
    }

    pub(super) async fn status(&self, detail: Detail, which: impl Fn(&Tracked) -> bool) {
        let mut rows = self.tracker.look().await.map(|rows| Rows::clone(&rows)).unwrap_or_default();
        rows.rows.retain(|row| which(row));
        (self.story.teller.status)(&rows, detail);
    }
}

fn is_landed(row: &Tracked) -> bool {
    row.cluster.is_some() && row.landing.state == State::Landed
}

/// Whether an app is in a state in an environment, with this tag.
pub(super) fn has(rows: &Rows, app: &str, environment: &str, tag: &str, state: State) -> bool {
    rows.rows.iter().any(|row| {
        row.app == app
            && row.environment.as_deref() == Some(environment)
            && row.cluster.is_some()
            && row.declared.version.tag.as_ref().is_some_and(|declared| declared.as_str() == tag)
            && row.landing.state == state
    })
}

/// The message of a policy engine's webhook.
fn unsigned(registry: &str) -> String {
    format!(
        "admission webhook \"mutate.kyverno.svc-fail\" denied the request: resource Deployment/prod/prod-web was blocked due \
         to the following policies: verify-signature: failed to verify image {registry}/acme/web:1.4.0: no signatures found"
    )
}
