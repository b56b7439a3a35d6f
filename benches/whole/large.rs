//! A repository whose history is large: the first plan beside a shallow clone, where the server leaves out large files and where
//! it does not.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;

use crate::measure::{command, count, figure, landfall, process};
use crate::sized;
use crate::world::{COMMIT, World};

const IMAGES: usize = 50;
const MEBIBYTE: usize = 1 << 20;

pub(crate) async fn large() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.commit(world.registry.host(), IMAGES, 1, COMMIT)?;
    world.push(IMAGES, "1.0.0")?;
    world.push(IMAGES, "1.1.0")?;
    let versions = sized(400, 8);
    history(&world, versions)?;
    count("the repository, MiB", size(&world.bare())? / MEBIBYTE as u64);
    let url = world.git.url("deploys.git");
    let folder = world.folder.path();
    let (mut shallow, mut all) = (Vec::new(), Vec::new());
    for number in 0..sized(3, 1) {
        let (run, _) =
            process(folder, "git", ["clone", "--quiet", "--bare", "--depth", "1", &url, &format!("shallow-{number}")])
                .await?;
        shallow.push(run);
    }
    figure("git clone --depth 1", "", &shallow);
    for (filters, what) in
        [("true", "a first plan, large files left out"), ("false", "... by a server that knows no filters")]
    {
        let _set = world.git(&["config", "uploadpack.allowFilter", filters])?;
        all.clear();
        for number in 0..sized(3, 1) {
            let state = format!("state-{filters}-{number}");
            let config = world.config(&state, "none")?;
            let (run, out) = landfall(folder, &["plan", "-o", "json", "--config", &config.to_string_lossy()]).await?;
            anyhow::ensure!(out.matches("\"to\"").count() == IMAGES, "{out:.2000}");
            all.push(run);
            if number == 0 {
                count(&format!("{what}: the mirror, MiB"), size(&folder.join(&state))? / MEBIBYTE as u64);
            }
        }
        figure(what, "", &all);
    }
    Ok(())
}

/// Gives the branch this many commits, each with another version of a file of a mebibyte that does not compress.
fn history(world: &World, versions: usize) -> anyhow::Result<()> {
    let bare = world.bare();
    let mut importing = command("git");
    importing.arg("--git-dir").arg(&bare).args(["fast-import", "--quiet"]).stdin(Stdio::piped());
    let mut child = importing.spawn()?;
    let mut pipe = std::io::BufWriter::new(child.stdin.take().context("no pipe")?);
    let mut state = 88_172_645_463_325_252_u64;
    for version in 0..versions {
        writeln!(pipe, "commit refs/heads/main\ncommitter Ada <ada@example.com> {} +0000", 1_790_000_001 + version)?;
        writeln!(pipe, "data 1\nx")?;
        if version == 0 {
            writeln!(pipe, "from refs/heads/main^0")?;
        }
        writeln!(pipe, "M 100644 inline charts/bundle.bin\ndata {MEBIBYTE}")?;
        for _ in 0..MEBIBYTE / 8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            pipe.write_all(&state.to_le_bytes())?;
        }
        writeln!(pipe)?;
    }
    drop(pipe);
    anyhow::ensure!(child.wait()?.success(), "git fast-import failed");
    Ok(())
}

/// The bytes of all files below a folder.
fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        sum += if kind.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}
