//! The last part of the story: prod gets what has proved itself in staging, a freeze holds updates, and a rolled-back
//! version stays away.

use std::time::Duration;

use anyhow::Context as _;
use jiff::SignedDuration;

use super::landing::{StoryWatch, has};
use crate::daemon::{CycleOutcome, Deciding, NewDecision, RollbackAsk, Timing};
use crate::model::{NoticeKind, State};

/// Longer than prod's soak time.
pub(super) const A_DAY_AND_AN_HOUR: SignedDuration = SignedDuration::from_hours(25);

/// How long a pass over the cluster may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What prod requires from now on.
const PROMOTION: &str = "pullRequest: { labels: [release] }\n    promoteFrom: { environment: staging, soakTime: 24h }   # what staging has proved";

impl StoryWatch<'_> {
    pub(super) async fn promotes(&mut self) -> anyhow::Result<()> {
        self.waits_for_proof("1.5.0").await?;
        self.is_frozen().await?;
        self.is_promoted().await?;
        self.is_rolled_back().await
    }

    /// A version runs in staging, and prod does not get it yet.
    pub(super) async fn waits_for_proof(&mut self, tag: &str) -> anyhow::Result<()> {
        self.story
            .scene(&format!("Prod should only get what has run well in staging for a day: Ada writes promoteFrom into its policy. CI pushes web {tag}."))
            .await;
        let (world, now) = (self.story.world, self.story.clock.now());
        let (from, message) = ("pullRequest: { labels: [release] }", "prod takes what has proved itself in staging");
        world.edit(".landfall/policies.yaml", from, PROMOTION, message, now).await?;
        self.story.bot.prove(&self.tracker, PATIENCE).await;
        self.push("web", tag).await?;
        self.moves("web", &["dev", "staging"], tag).await?;
        self.goes_on().await?;
        self.told(&[("dev", "web", NoticeKind::Landed), ("staging", "web", NoticeKind::Landed)]).await?;
        self.cycle("web").await
    }

    async fn is_frozen(&mut self) -> anyhow::Result<()> {
        self.story
            .scene("Grace: landfall freeze prod --reason \"the audit\". A day and an hour later it has proved itself in staging.")
            .await;
        self.decide("Grace", "the audit", NewDecision::Freeze { environment: Some("prod".to_owned()), until: None })
            .await?;
        self.passes(A_DAY_AND_AN_HOUR).await?;
        self.cycle("web").await
    }

    async fn is_promoted(&mut self) -> anyhow::Result<()> {
        self.story.scene("Grace: landfall unfreeze prod. The pull request lists the proof, and Ada merges it.").await;
        let what = NewDecision::Unfreeze { environment: Some("prod".to_owned()) };
        self.decide("Grace", "the audit is over", what).await?;
        self.proved("1.5.0").await
    }

    /// It has proved itself: the pull request says so, and is merged.
    pub(super) async fn proved(&mut self, tag: &str) -> anyhow::Result<()> {
        self.cycle("web").await?;
        let pull = self.story.open("web").await?;
        for line in pull.body.lines().filter(|line| line.contains("staging")) {
            self.story.line(&format!("  {line}"));
        }
        let (merged, _) = self.story.local()?.merge(pull.number, self.story.clock.now()).await?;
        self.story.line(&format!("  merged #{}: {}", merged.number, merged.title));
        self.lands_in_prod(tag).await
    }

    async fn is_rolled_back(&mut self) -> anyhow::Result<()> {
        self.story.scene("It leaks memory under prod's load. Grace: landfall rollback web --environment prod").await;
        let ask = RollbackAsk {
            app: "web".to_owned(),
            environment: "prod".to_owned(),
            image: None,
            to: None,
            by: "Grace".to_owned(),
            reason: Some("it leaks memory".to_owned()),
        };
        let timing = self.timing();
        let lookup = std::sync::Arc::clone(self.story.bot.lookup());
        let repository = self.story.bot.repositories.first_mut().context("there is no repository")?;
        let mut report = CycleOutcome::new(repository.name());
        report.actions = repository.roll_back(&ask, &lookup, timing).await?.actions;
        report.revision = repository.reader().tip();
        (self.story.teller.report)(&report);
        let pull = self.story.open("web").await?;
        let (merged, _) = self.story.local()?.merge(pull.number, self.story.clock.now()).await?;
        self.story.line(&format!("  merged #{}: {}", merged.number, merged.title));
        self.lands_in_prod("1.4.0").await?;
        self.cycle("web").await?;
        self.story.line(
            "  Staging still runs 1.5.0, day after day. A person's decision is stronger: it stays away from prod.",
        );
        Ok(())
    }

    /// Runs the bot's next cycle with what the cluster reports; shows only the holds of one app.
    pub(super) async fn cycle(&mut self, app: &str) -> anyhow::Result<()> {
        self.story.bot.prove(&self.tracker, PATIENCE).await;
        for mut report in self.story.bot.apply().await {
            anyhow::ensure!(report.revision.is_some(), "the repository could not be read");
            report.holds.retain(|hold| hold.update.app == app);
            (self.story.teller.report)(&report);
        }
        self.view().await;
        Ok(())
    }

    pub(super) async fn lands_in_prod(&mut self, tag: &str) -> anyhow::Result<()> {
        self.view().await;
        self.goes_on().await?;
        self.until("prod to run it", |rows| has(rows, "web", "prod", tag, State::Landed)).await?;
        self.told(&[("prod", "web", NoticeKind::Landed)]).await
    }

    async fn decide(&mut self, by: &str, reason: &str, what: NewDecision) -> anyhow::Result<()> {
        let timing = self.timing();
        let lookup = std::sync::Arc::clone(self.story.bot.lookup());
        let deciding = Deciding { by: by.to_owned(), reason: Some(reason.to_owned()), what };
        let repository = self.story.bot.repositories.first_mut().context("there is no repository")?;
        let decided = repository.decide(&deciding, &lookup, timing).await?;
        self.story.line(&format!("  written to Git as {}", decided.commit.short()));
        Ok(())
    }

    fn timing(&self) -> Timing {
        let now = self.story.clock.now();
        Timing { now, since: now, pause: Duration::from_millis(500) }
    }
}
