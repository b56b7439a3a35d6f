//! What a registry that does not answer costs those that do.

use std::convert::identity;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Instant;

use crate::cold::Asked;
use crate::measure::{LANDFALL, Run, count, figure, process};
use crate::registries::{serve, tags};
use crate::world::{COMMIT, World, overlays, settings};

/// Images at each registry.
const IMAGES: usize = 40;
const RUNS: usize = 7;

/// Five registries with forty images each. One takes connections and never answers: how long the images of the other four
/// take to their push, beside the same five with nothing dark.
pub(crate) async fn dark() -> anyhow::Result<()> {
    let silent = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let dark = silent.local_addr()?.to_string();
    tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            taken.push(stream);
        }
    });
    let mut bright = Vec::new();
    for _ in 0..5 {
        bright.push(serve(tags(200), identity).await?);
    }
    let one_dark = [&bright[..4], &[dark]].concat();
    let (mut well, mut first, mut next) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..RUNS {
        let state = tempfile::tempdir()?;
        let whole = pushed(&bright, state.path(), 5).await?;
        let state = tempfile::tempdir()?;
        let unknown = pushed(&one_dark, state.path(), 4).await?;
        // Another repository, and what is known of the registries.
        let known = pushed(&one_dark, state.path(), 4).await?;
        if number > 0 {
            well.push(whole);
            first.push(unknown);
            next.push(known);
        }
    }
    figure("160 images of four registries to their push, a fifth answers", "", &well);
    figure("... the fifth is dark", "", &first);
    figure("... the fifth is still dark in the next process", "", &next);
    for (name, runs) in [("with one dark", &first), ("in the next process", &next)] {
        count(&format!("... ratio {name} (target 1.5)"), format!("{:.2}", middle(runs) / middle(&well)));
    }
    Ok(())
}

/// `landfall apply` on a new repository: how long until its first push is asked for, which must be that of as many
/// registries' images.
async fn pushed(hosts: &[String], state: &Path, answering: usize) -> anyhow::Result<Run> {
    let asked = Asked::default();
    let world = World::behind(|router| asked.watch(router)).await?;
    let files = hosts.iter().enumerate().flat_map(|(number, host)| {
        let here = overlays(host, IMAGES, 1);
        here.map(move |(path, text)| (path.replace("apps/app-", &format!("apps/r{number}-")), text))
    });
    world.commit_files(files, COMMIT)?;
    let mut config = settings(&state.to_string_lossy(), "none", &hosts[0], &world.git.url("deploys.git"));
    for host in &hosts[1..] {
        write!(config, "  - host: {host}\n    plainHttp: true\n")?;
    }
    std::fs::write(world.folder.path().join("landfall.yaml"), config)?;
    let begin = Instant::now();
    // With one registry dark it ends with what is unknown, which is no fault here.
    let script = "\"$0\" apply --timeout 5s --config landfall.yaml >&2; true";
    let (run, _) = process(world.folder.path(), "sh", ["-c", script, LANDFALL]).await?;
    let moved = world.git(&["show", "--format=", "--name-only", "main"])?.lines().count();
    anyhow::ensure!(moved == IMAGES * answering, "{moved} files moved");
    Ok(Run { wall: asked.first("/git-receive-pack")?.duration_since(begin), ..run })
}

fn middle(runs: &[Run]) -> f64 {
    let mut walls: Vec<f64> = runs.iter().map(|run| run.wall.as_secs_f64()).collect();
    walls.sort_by(f64::total_cmp);
    walls.get(walls.len() / 2).copied().unwrap_or_default()
}
