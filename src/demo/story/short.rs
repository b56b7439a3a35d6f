//! The story in four scenes: a bump that lands everywhere, an image that is missing, a revert that holds, and a promotion
//! by proof.

use super::Story;
use super::landing::StoryWatch;
use super::promotion::A_DAY_AND_AN_HOUR;
use crate::config::{Environment, Settings};
use crate::demo::clock::StoryClock;
use crate::model::NoticeKind;

/// Tells it.
pub(super) async fn tell(
    story: Story<'_>,
    clock: &StoryClock,
    settings: &Settings,
    environment: &Environment,
) -> anyhow::Result<()> {
    let mut watch = StoryWatch::start(story, clock, settings, environment).await?;
    watch.a_bump().await?;
    watch.cannot_be_pulled("2.1.0", "2.1.1").await?;
    watch.a_revert().await?;
    watch.a_promotion().await?;
    watch.ends().await
}

impl StoryWatch<'_> {
    async fn a_bump(&mut self) -> anyhow::Result<()> {
        self.story.scene("CI pushes web 1.3.0.").await;
        self.push("web", "1.3.0").await?;
        self.moves("web", &["dev", "staging"], "1.3.0").await?;
        self.goes_on().await?;
        self.told(&[("dev", "web", NoticeKind::Landed), ("staging", "web", NoticeKind::Landed)]).await?;
        self.story.line(
            "  Landed means: Argo CD has the commit, the live Deployment the tag, and its pods are up on that image.",
        );
        let pull = self.story.open("web").await?;
        let (merged, _) = self.story.local()?.merge(pull.number, self.story.clock.now()).await?;
        self.story.line(&format!("  Ada merges #{}: {}", merged.number, merged.title));
        self.lands_in_prod("1.3.0").await
    }

    async fn a_revert(&mut self) -> anyhow::Result<()> {
        self.story.scene("web 1.3.0 leaks memory: Ada reverts it in staging, by hand, in Git.").await;
        let path = "apps/web/overlays/staging/kustomization.yaml";
        let now = self.story.clock.now();
        self.story.world.edit(path, "1.3.0", "1.2.3", "staging: web back to 1.2.3, 1.3.0 leaks memory", now).await?;
        self.cycle("web").await?;
        self.story.line("  A person's decision holds: 1.3.0 does not come back. The next version may.");
        self.moves("web", &["staging"], "1.2.3").await?;
        self.goes_on().await?;
        self.told(&[("staging", "web", NoticeKind::Landed)]).await
    }

    async fn a_promotion(&mut self) -> anyhow::Result<()> {
        self.waits_for_proof("1.4.0").await?;
        self.story.scene("A day and an hour later. The pull request lists the proof, and Ada merges it.").await;
        self.passes(A_DAY_AND_AN_HOUR).await?;
        self.proved("1.4.0").await
    }
}
