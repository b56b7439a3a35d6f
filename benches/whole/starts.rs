//! Start-up, size, and `landfall tags`.

use crate::measure::{LANDFALL, count, figure, landfall};
use crate::world::{COMMIT, World};

/// From the start of the process to its end, which is after its first output.
pub(crate) async fn start() -> anyhow::Result<()> {
    let size = std::fs::metadata(LANDFALL)?.len();
    count("the binary, MiB", format!("{:.1}", size as f64 / f64::from(1 << 20)));
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("tags"), "1.0.0\n1.1.0\n2.0.0-rc.1\nlatest\n")?;
    runs("landfall --help", "100 ms", folder.path(), &["--help"], 20).await?;
    let tags = ["tags", "--tags-file", "tags", "--semver", "*"];
    runs("landfall tags over four tags", "100 ms", folder.path(), &tags, 20).await?;

    let world = World::new().await?;
    world.commit(world.registry.host(), 3, 3, COMMIT)?;
    world.push(3, "1.0.0")?;
    world.push(3, "1.1.0")?;
    let config = world.config("state", "none")?;
    let arguments = ["plan", "--config", &config.to_string_lossy()];
    runs("landfall plan of 9 overlays, warm, Git and registry over HTTP", "100 ms", world.folder.path(), &arguments, 20)
        .await
}

/// A million tags from a file.
pub(crate) async fn tags() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut text = String::new();
    for number in 0..1_000_000_u32 {
        // Not in order, as registries give them.
        let number = number.wrapping_mul(7_919) % 1_000_000;
        text.push_str(&format!("{}.{}.{}\n", number / 10_000, number / 100 % 100, number % 100));
    }
    std::fs::write(folder.path().join("tags"), text)?;
    let groups = ["--numerical", "asc", "--filter", r"^\d+\.(?<n>\d+)\.", "--extract", "$n"];
    for (what, policy) in [
        ("--semver", &["--semver", "*"][..]),
        ("--alphabetical", &["--alphabetical", "asc"]),
        ("--numerical with --filter and --extract", &groups),
    ] {
        let arguments = [&["tags", "--tags-file", "tags"], policy].concat();
        runs(&format!("1,000,000 tags: {what}"), "2 s", folder.path(), &arguments, 6).await?;
    }
    Ok(())
}

async fn runs(
    name: &str,
    target: &str,
    folder: &std::path::Path,
    arguments: &[&str],
    number: usize,
) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for _ in 0..number {
        runs.push(landfall(folder, arguments).await?.0);
    }
    figure(name, target, &runs[1..]);
    Ok(())
}
