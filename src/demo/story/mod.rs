//! The events of the demo, scene by scene. Every decision is the bot's own; the story only pushes tags and plays
//! people.

use std::time::Duration;

use anyhow::Context as _;
use jiff::SignedDuration;

use crate::config;
use crate::daemon::{self, Bot, Clock, CycleOutcome, Rows};
use crate::forge::LocalForge;
use crate::model::{PullRequest, PullState};

use super::clock::StoryClock;
use super::receiver::Received;
use super::world::DemoWorld;

mod landing;
mod promotion;
mod short;

/// How the story is presented.
pub struct Teller<'a> {
    /// Prints a heading: what somebody does.
    pub scene: &'a (dyn Fn(&str) + Sync),
    /// Prints a line of text.
    pub line: &'a (dyn Fn(&str) + Sync),
    /// Prints what the bot did in one cycle.
    pub report: &'a (dyn Fn(&CycleOutcome) + Sync),
    /// Prints a notice that a receiver of alerts got.
    pub alert: &'a (dyn Fn(&Received, Detail) + Sync),
    /// Prints how far everything has come.
    pub status: &'a (dyn Fn(&Rows, Detail) + Sync),
    /// How long a reader has for each scene.
    pub pause: Duration,
}

/// How much of an alert or a status is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The title of an alert, the matrix of a status.
    Title,
    /// With causes and next steps.
    Whole,
}

impl std::fmt::Debug for Teller<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teller").field("pause", &self.pause).finish_non_exhaustive()
    }
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tale {
    /// Four scenes: a bump, a missing image, a revert that holds, a promotion by proof.
    Short,
    /// Everything.
    Full,
}

impl Tale {
    /// Slightly more than it skips in total.
    #[must_use]
    pub(super) fn skips(self) -> SignedDuration {
        match self {
            Self::Short => SignedDuration::from_mins(25 * 60 + 15),
            Self::Full => SignedDuration::from_mins(50 * 60 + 30),
        }
    }

    /// The pull request that is left open for api.
    #[must_use]
    pub fn left_open(self) -> u64 {
        match self {
            Self::Short => 2,
            Self::Full => 3,
        }
    }
}

/// Tells a story in a world.
///
/// # Errors
/// If the world does not behave: a server has stopped, or a scene could not be played.
pub async fn tell(
    world: &DemoWorld,
    clock: &StoryClock,
    environment: &config::Environment,
    teller: &Teller<'_>,
    tale: Tale,
) -> anyhow::Result<()> {
    let loaded = config::load(&world.config).map_err(|error| anyhow::anyhow!("{error}"))?;
    let reader = clock.reader();
    let bot = daemon::bot(&loaded.settings, environment, reader.clone()).await?;
    let mut story = Story { world, clock: &reader, teller, bot };
    story.first_cycle().await?;
    if tale == Tale::Short {
        return short::tell(story, clock, &loaded.settings, environment).await;
    }
    story.a_release().await?;
    story.another_release().await?;
    story.not_every_tag().await?;
    story.people().await?;
    story.a_lost_tag().await?;
    story.the_merge().await?;
    story.in_git().await?;
    landing::tell(story, clock, &loaded.settings, environment).await
}

struct Story<'a> {
    world: &'a DemoWorld,
    clock: &'a Clock,
    teller: &'a Teller<'a>,
    bot: Bot,
}

impl Story<'_> {
    /// Prints the heading of a scene, once the previous one has been read.
    async fn scene(&self, text: &str) {
        tokio::time::sleep(self.teller.pause).await;
        self.heading(text);
    }

    fn heading(&self, text: &str) {
        (self.teller.scene)(text);
    }

    fn line(&self, text: &str) {
        (self.teller.line)(text);
    }

    async fn cycle(&mut self) -> anyhow::Result<()> {
        for report in self.bot.apply().await {
            (self.teller.report)(&report);
            anyhow::ensure!(report.revision.is_some(), "the repository could not be read");
        }
        Ok(())
    }

    async fn first_cycle(&mut self) -> anyhow::Result<()> {
        for (app, tag) in [("web", "1.2.3"), ("api", "2.0.0"), ("worker", "v0.9.0")] {
            self.world.push(app, tag, self.clock.now())?;
        }
        self.heading("A Git repository with three apps (Kustomize, Helm values, plain YAML) in dev, staging and prod.");
        self.line("  Its policies: dev and staging take a new version as a commit, prod as a pull request.");
        self.cycle().await?;
        let asked = self.bot.registry_requests();
        self.line(&format!("  {asked} registry requests for 9 overlays: each image is queried once."));
        Ok(())
    }

    async fn a_release(&mut self) -> anyhow::Result<()> {
        self.scene("CI pushes web 1.3.0.").await;
        self.world.push("web", "1.3.0", self.clock.now())?;
        self.cycle().await
    }

    async fn another_release(&mut self) -> anyhow::Result<()> {
        self.scene("CI pushes web 1.3.1 and api 2.1.0. Nobody has merged the pull request for prod yet.").await;
        self.world.push("web", "1.3.1", self.clock.now())?;
        self.world.push("api", "2.1.0", self.clock.now())?;
        self.cycle().await?;
        self.line(
            "  One commit per environment for both apps. Pull request #1 was updated, not joined by a second one.",
        );
        Ok(())
    }

    async fn not_every_tag(&mut self) -> anyhow::Result<()> {
        self.scene("CI pushes worker tags that are not releases: latest, v0.10.0-rc.1, sha-1a2b3c4.").await;
        for tag in ["latest", "v0.10.0-rc.1", "sha-1a2b3c4"] {
            self.world.push("worker", tag, self.clock.now())?;
        }
        self.cycle().await?;
        self.line("  None of them qualifies, so nothing is written. `landfall tags` says why for each.");
        Ok(())
    }

    async fn people(&mut self) -> anyhow::Result<()> {
        self.scene("Ada rolls web back to 1.3.0 in staging, and closes api's pull request for prod.").await;
        let path = "apps/web/overlays/staging/kustomization.yaml";
        let now = self.clock.now();
        self.world.edit(path, "1.3.1", "1.3.0", "staging: web back to 1.3.0, 1.3.1 leaks memory", now).await?;
        let pull = self.open("api").await?;
        self.local()?.close(pull.number, now).await?;
        self.cycle().await?;
        self.line("  A person's decision holds: neither comes back until there is a newer version.");
        Ok(())
    }

    async fn a_lost_tag(&mut self) -> anyhow::Result<()> {
        self.scene("The registry loses api 2.1.0, which dev runs.").await;
        self.world.delete("api", "2.1.0")?;
        self.cycle().await?;
        self.line("  Never a downgrade: dev stays where it is, and the loss is reported.");
        Ok(())
    }

    async fn the_merge(&mut self) -> anyhow::Result<()> {
        self.scene("Ada merges web's pull request; CI pushes api 2.2.0.").await;
        let pull = self.open("web").await?;
        let (merged, _) = self.local()?.merge(pull.number, self.clock.now()).await?;
        self.line(&format!("  merged #{}: {}", merged.number, merged.title));
        self.world.push("api", "2.2.0", self.clock.now())?;
        self.cycle().await
    }

    async fn in_git(&mut self) -> anyhow::Result<()> {
        self.scene("What is in Git now, newest first:").await;
        for line in self.world.log().await? {
            self.line(&format!("  {line}"));
        }
        let pull = self.open("api").await?;
        self.scene(&format!("The open pull request, #{}: {}", pull.number, pull.title)).await;
        let visible = pull.body.lines().filter(|line| !line.starts_with("<!--"));
        for line in visible {
            self.line(format!("  {line}").trim_end());
        }
        Ok(())
    }

    fn local(&self) -> anyhow::Result<&LocalForge> {
        let repository = self.bot.repositories.first().context("there is no repository")?;
        repository.pulls().forge().local().context("the demo's forge is the local one")
    }

    async fn open(&self, app: &str) -> anyhow::Result<PullRequest> {
        let pulls = self.local()?.list().await?;
        let mut open = pulls.into_iter().filter(|pull| pull.state == PullState::Open);
        open.find(|pull| pull.title.contains(app)).with_context(|| format!("no pull request for {app} is open"))
    }
}
