//! Ten thousand overlays: from a folder, from Git's objects, and after one of them changed.

use landfall::config::{self, Environment};
use landfall::daemon::{self, Repository};
use landfall::git::{Blob, GitCredentials, Mirror, RemoteSettings, RemoteUrl, TreeEntry, TreePath};
use landfall::model::CommitId;
use landfall::overlay::{FileChange, PinIndex, is_candidate};

use crate::measure::{Run, figure, landfall, within};
use crate::world::{COMMIT, World, overlays};

const IMAGES: usize = 2_000;
const OVERLAYS: usize = 5;

/// `landfall scan DIR`.
pub(crate) async fn folder() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bytes = 0;
    for (path, text) in overlays("registry.example.com", IMAGES, OVERLAYS) {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(folder.path()))?;
        bytes += text.len();
        std::fs::write(path, text)?;
    }
    let mut runs = Vec::new();
    for number in 0..8 {
        let (run, out) = landfall(folder.path(), &["scan", ".", "-o", "json"]).await?;
        let answer: serde_json::Value = serde_json::from_str(&out)?;
        anyhow::ensure!(answer["pins"].as_array().map(Vec::len) == Some(IMAGES * OVERLAYS), "pins were missed");
        if number > 0 {
            runs.push(run);
        }
    }
    figure(&format!("landfall scan of 10,000 overlays, {bytes} bytes"), "2 s", &runs);
    Ok(())
}

/// The same overlays from a mirror, as the daemon reads them.
pub(crate) async fn mirror() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.commit("registry.example.com", IMAGES, OVERLAYS, COMMIT)?;
    // As a server has it after a while: packed.
    let _packed = world.git(&["gc", "--quiet"])?;
    let config = world.config("state", "none")?;
    first_read(&world).await?;

    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for number in 0..6 {
        let mut repository = repository(&world, &config).await?;
        let (run, read) = within(repository.refresh()).await;
        read?;
        if number > 0 {
            cold.push(run);
        }
    }
    figure("10,000 overlays read after a restart (ls-remote, no fetch)", "2 s", &cold);
    let mut repository = repository(&world, &config).await?;
    repository.refresh().await?;
    for number in 0..6 {
        change_one(&world, number)?;
        let (run, read) = within(repository.refresh()).await;
        read?;
        if number > 0 {
            warm.push(run);
        }
    }
    figure("... and after one file changed (ls-remote, fetch)", "", &warm);
    parts(&world).await
}

/// The first read ever: the whole history comes over HTTP.
async fn first_read(world: &World) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for number in 0..4 {
        let config = world.config(&format!("first-{number}"), "none")?;
        let mut repository = repository(world, &config).await?;
        let (run, read) = within(repository.refresh()).await;
        read?;
        if number > 0 {
            runs.push(run);
        }
    }
    figure("10,000 overlays cloned and read for the first time", "", &runs);
    Ok(())
}

/// What of it is ours, without the git program: objects, scan, pins.
async fn parts(world: &World) -> anyhow::Result<()> {
    let url = RemoteUrl::parse(&world.bare().to_string_lossy())?;
    let timeout = std::time::Duration::from_secs(60);
    let remote =
        RemoteSettings { url, credentials: GitCredentials::None, ca_file: None, client_certificate: None, timeout };
    let mirror = Mirror::open(&world.folder.path().join("mirror"), remote).await?;
    let main = "refs/heads/main".to_owned();
    let tip = |mirror: &Mirror| -> anyhow::Result<CommitId> {
        mirror.tip(&main)?.ok_or_else(|| anyhow::anyhow!("the branch is gone"))
    };
    mirror.fetch(std::slice::from_ref(&main)).await?;
    let mut at = tip(&mirror)?;
    let (mut index, mut cold) = (PinIndex::new(), Vec::new());
    for number in 0..6 {
        index = PinIndex::new();
        let (run, read) = within(async { read(&mirror, None, &at, &mut index) }).await;
        read?;
        if number > 0 {
            cold.push(run);
        }
    }
    figure("scan of 10,000 overlays from the mirror, cold", "2 s", &cold);
    let (mut warm, mut pins) = (Vec::new(), Vec::new());
    for number in 10..20 {
        change_one(world, number)?;
        mirror.fetch(std::slice::from_ref(&main)).await?;
        let now = tip(&mirror)?;
        let (run, read) = within(async { read(&mirror, Some(&at), &now, &mut index) }).await;
        read?;
        at = now;
        let (listing, found) = within(async { index.pins(&|_| false) }).await;
        anyhow::ensure!(found.pins.len() == IMAGES * OVERLAYS, "{} pins", found.pins.len());
        anyhow::ensure!(
            found.pins.iter().any(|pin| pin.version.to_string().contains(&format!("1.0.{number}"))),
            "stale"
        );
        warm.push(Run { wall: run.wall + listing.wall, ..run });
        pins.push(listing);
    }
    figure("scan again after one file changed, all pins listed", "50 ms", &warm);
    figure("... of it: all pins listed", "", &pins);
    Ok(())
}

/// What the daemon does between two tips.
fn read(mirror: &Mirror, from: Option<&CommitId>, to: &CommitId, index: &mut PinIndex) -> anyhow::Result<()> {
    let mut wanted = Vec::new();
    for change in mirror.changes(from, to)? {
        if let (TreePath::Usable(path), Some(TreeEntry::File { id, .. })) = (change.path, change.now)
            && is_candidate(&path)
        {
            wanted.push((path, id));
        }
    }
    let ids: Vec<_> = wanted.iter().map(|(_, id)| *id).collect();
    let bodies = mirror.read_blobs(&ids)?;
    let changes = wanted.into_iter().zip(bodies).filter_map(|((path, _), blob)| match blob {
        Blob::Body(bytes) => Some(FileChange::File { path, bytes }),
        Blob::TooLarge(_) => None,
    });
    index.update(changes.collect());
    Ok(())
}

async fn repository(world: &World, config: &std::path::Path) -> anyhow::Result<Repository> {
    let loaded = config::load(config).map_err(|error| anyhow::anyhow!("{error}"))?;
    let settings = loaded.settings.repositories.first().ok_or_else(|| anyhow::anyhow!("no repository"))?;
    let state = world.folder.path().join(config.file_stem().unwrap_or_default());
    Ok(daemon::repository(settings, &state, &Environment::process()).await?)
}

/// A person changes one overlay.
fn change_one(world: &World, number: usize) -> anyhow::Result<()> {
    let path = "apps/app-0000/overlays/env-0/kustomization.yaml";
    let text = world.git(&["show", &format!("main:{path}")])?;
    let line = text.lines().find(|line| line.contains("newTag")).unwrap_or_default();
    let text = text.replace(line, &format!("    newTag: 1.0.{number}"));
    let file = world.folder.path().join("edited.yaml");
    std::fs::write(&file, text)?;
    let blob = world.git(&["hash-object", "-w", &file.to_string_lossy()])?;
    let _removed = std::fs::remove_file(world.bare().join("index"));
    let _read = world.git(&["read-tree", "main"])?;
    let _added = world.git(&["update-index", "--add", "--cacheinfo", &format!("100644,{},{path}", blob.trim())])?;
    let tree = world.git(&["write-tree"])?;
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
    let tree = tree.trim();
    let commit = world.git(&[&who[..], &["commit-tree", tree, "-p", "main", "-m", "by hand"]].concat())?;
    let _moved = world.git(&["update-ref", "refs/heads/main", commit.trim()])?;
    Ok(())
}
