//! Whole cycles: read, ask, plan, write, look again.

use landfall::demo::registry::DemoImage;
use landfall::model::Tag;

use crate::measure::{count, figure, landfall, within};
use crate::world::{Asked, COMMIT, World, only, repository};

/// Ninety apps of one repository get a new version at once.
pub(crate) async fn many() -> anyhow::Result<()> {
    let (mut cold, mut warm, mut running) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..6 {
        let world = World::new().await?;
        world.commit(world.registry.host(), 90, 1, COMMIT)?;
        world.push(90, "1.0.0")?;
        let config = world.config("state", "none")?;
        let config = config.to_string_lossy();
        // Warm: the mirror and the cache are there, and nothing was new.
        let _first = landfall(world.folder.path(), &["apply", "--config", &config]).await?;
        anyhow::ensure!(world.commits()? == 1, "there was nothing to do");
        world.push(90, "1.1.0")?;
        let _before = world.asked();
        let (run, _) = landfall(world.folder.path(), &["apply", "--config", &config]).await?;
        one_commit_one_push(&world, 2)?;
        // Cold: a new machine.
        world.push(90, "1.2.0")?;
        let new = world.config("new-machine", "none")?;
        let _before = world.asked();
        let (first, _) = landfall(world.folder.path(), &["apply", "--config", &new.to_string_lossy()]).await?;
        one_commit_one_push(&world, 3)?;
        // Running: the daemon's next cycle.
        let mut bot = world.bot(&world.config("daemon", "none")?).await?;
        let _idle = only(bot.apply().await)?;
        world.push(90, "1.3.0")?;
        let _before = world.asked();
        let (cycle, report) = within(bot.apply()).await;
        anyhow::ensure!(only(report)?.actions.len() == 1, "one action");
        one_commit_one_push(&world, 4)?;
        if number > 0 {
            cold.push(first);
            warm.push(run);
            running.push(cycle);
        }
    }
    figure("90 apps bumped: landfall apply, nothing there before", "1 s", &cold);
    figure("90 apps bumped: landfall apply, warm mirror and cache", "1 s", &warm);
    figure("90 apps bumped: a cycle of the running daemon", "1 s", &running);
    Ok(())
}

fn one_commit_one_push(world: &World, commits: usize) -> anyhow::Result<()> {
    let asked = world.asked();
    anyhow::ensure!(asked.pushes == 1, "one push: {asked:?}");
    let made = world.commits()?;
    anyhow::ensure!(made == commits, "{made} commits instead of {commits}");
    let changed = world.git(&["show", "--format=", "--name-only", "main"])?;
    anyhow::ensure!(changed.lines().count() == 90, "90 files changed: {changed}");
    Ok(())
}

/// A thousand pins on two hundred images, and nothing to do.
pub(crate) async fn idle() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.commit(world.registry.host(), 200, 5, COMMIT)?;
    world.push(200, "1.0.0")?;
    let mut bot = world.bot(&world.config("state", "none")?).await?;
    let first = only(bot.apply().await)?;
    anyhow::ensure!(first.up_to_date == 1000 && first.actions.is_empty(), "{} up to date", first.up_to_date);
    let mut runs = Vec::new();
    for _ in 0..10 {
        let (before, _) = (world.registry.requests(), world.asked());
        let (run, report) = within(bot.apply()).await;
        let report = only(report)?;
        anyhow::ensure!(report.up_to_date == 1000 && report.actions.is_empty(), "nothing to do");
        let requests = world.registry.requests() - before;
        anyhow::ensure!(requests == 200, "{requests} registry requests");
        let conditional = world.registry.log().iter().rev().take(200).filter(|seen| seen.status == 304).count();
        anyhow::ensure!(conditional == 200, "{conditional} of them conditional");
        let asked = world.asked();
        anyhow::ensure!(asked == Asked { listings: 1, fetches: 0, pushes: 0 }, "one ls-remote: {asked:?}");
        runs.push(run);
    }
    figure("idle cycle, 1,000 pins on 200 images", "", &runs);
    count("... registry requests, each answered with 304", 200);
    count("... ls-remote", 1);
    Ok(())
}

/// From a tag's push to its commit on the remote, verified.
pub(crate) async fn release() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.commit(world.registry.host(), 10, 3, COMMIT)?;
    world.push(10, "1.0.0")?;
    let mut bot = world.bot(&world.config("state", "none")?).await?;
    let _idle = only(bot.apply().await)?;
    let mut runs = Vec::new();
    for number in 1..12 {
        let _before = world.asked();
        let image = DemoImage::new("2026-01-01T00:00:00Z".parse()?);
        let (run, report) = within(async {
            let _digest = world.registry.push_image(&repository(0), &Tag::parse(&format!("1.0.{number}"))?, &image)?;
            only(bot.apply().await)
        })
        .await;
        let report = report?;
        anyhow::ensure!(report.actions.len() == 3, "one commit for each environment: {}", report.actions.len());
        let asked = world.asked();
        // The first listing finds what is there, the second one that the push has arrived; nothing has to be fetched.
        anyhow::ensure!(asked == Asked { listings: 2, fetches: 0, pushes: 1 }, "{asked:?}");
        if number > 1 {
            runs.push(run);
        }
    }
    figure("a tag is pushed: its three commits are on the remote", "", &runs);
    Ok(())
}

/// Pull requests kept in the repository itself.
pub(crate) async fn pull_requests() -> anyhow::Result<()> {
    let policies = COMMIT.replace("write: commit", "write: pull-request");
    let world = World::new().await?;
    world.commit(world.registry.host(), 20, 1, &policies)?;
    world.push(20, "1.0.0")?;
    let mut bot = world.bot(&world.config("state", "local")?).await?;
    let _idle = only(bot.apply().await)?;
    let (mut runs, mut idle) = (Vec::new(), Vec::new());
    for number in 1..8 {
        world.push(20, &format!("1.0.{number}"))?;
        let _before = world.asked();
        let (run, report) = within(bot.apply()).await;
        let made = only(report)?.actions.len();
        let asked = world.asked();
        // One push of all branches, one of all records.
        anyhow::ensure!(made == 20 && asked == Asked { listings: 2, fetches: 0, pushes: 2 }, "{made}: {asked:?}");
        let (quiet, report) = within(bot.apply()).await;
        anyhow::ensure!(only(report)?.actions.is_empty(), "nothing to do");
        let asked = world.asked();
        anyhow::ensure!(asked == Asked { listings: 1, fetches: 0, pushes: 0 }, "one ls-remote: {asked:?}");
        if number > 1 {
            runs.push(run);
            idle.push(quiet);
        }
    }
    figure("20 local pull requests made or moved", "", &runs);
    figure("idle cycle with 20 local pull requests open", "", &idle);
    Ok(())
}
