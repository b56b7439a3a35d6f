//! Registries with many tags and many images.

use std::convert::identity;
use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Bytes;
use axum::http::Uri;
use axum::response::AppendHeaders;
use jiff::{Timestamp, ToSpan as _};
use landfall::demo::registry::DemoImage;
use landfall::model::Tag;
use serde_json::json;

use crate::measure::{count, figure, landfall, within};
use crate::seed::digest;
use crate::sized;
use crate::world::{COMMIT, World, only, repository};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The newest of 864 builds, whose creation times have to be asked for.
pub(crate) async fn newest_build() -> anyhow::Result<()> {
    let policies = COMMIT.replace("semver: \"*\"", "newestBuild: true");
    let world = World::new().await?;
    world.commit(world.registry.host(), 1, 1, &policies)?;
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse()?;
    let builds = i64::try_from(sized(864, 20))?;
    for number in 0..builds {
        let image = DemoImage::new(begin.checked_add((number * 10).minutes())?);
        let tag = if number == 0 { "1.0.0".to_owned() } else { format!("main-{number}-{:07x}", number * 7919) };
        let _digest = world.registry.push_image(&repository(0), &Tag::parse(&tag)?, &image)?;
    }
    let mut bot = world.bot(&world.config("state", "none")?).await?;
    let before = world.registry.requests();
    let (cold, report) = within(bot.plan(false)).await;
    let report = only(report)?;
    let to = report
        .actions
        .first()
        .and_then(|action| action.action.updates.first())
        .map(|update| format!("{:?}", update.to));
    anyhow::ensure!(
        to.as_ref().is_some_and(|to| to.contains(&format!("main-{}-", builds - 1))),
        "the newest was not chosen: {to:?}"
    );
    figure("the newest of 864 builds, cold", "", &[cold]);
    count("... registry requests", world.registry.requests() - before);
    let mut warm = Vec::new();
    let before = world.registry.requests();
    for _ in 0..9 {
        let (run, report) = within(bot.plan(false)).await;
        anyhow::ensure!(only(report)?.actions.len() == 1, "one action");
        warm.push(run);
    }
    figure("the newest of 864 builds, warm", "", &warm);
    count("... registry requests", (world.registry.requests() - before) / 9);
    Ok(())
}

/// One image with a million tags.
pub(crate) async fn million() -> anyhow::Result<()> {
    let host = serve(tags(1_000_000), identity).await?;
    plan("a plan over one image with 1,000,000 tags", &host, 1).await
}

/// A thousand images with a thousand and with ten thousand tags each.
pub(crate) async fn sweep() -> anyhow::Result<()> {
    let host = serve(tags(1_000), identity).await?;
    plan("a plan over 1,000 images with 1,000 tags each", &host, 1_000).await?;
    let host = serve(tags(10_000), identity).await?;
    plan("a plan over 1,000 images with 10,000 tags each", &host, 1_000).await
}

/// A thousand images with ten tags each.
pub(crate) async fn sweep_short() -> anyhow::Result<()> {
    let images = sized(1_000, 10);
    let host = serve(tags(10), identity).await?;
    plan(&format!("a plan over {images} images with 10 tags each (target 2 s)"), &host, images).await
}

/// A hundred images with ten thousand tags each.
pub(crate) async fn sweep_long() -> anyhow::Result<()> {
    let images = sized(100, 5);
    let host = serve(tags(10_000), identity).await?;
    plan(&format!("a plan over {images} images with 10,000 tags each (target 150 MB)"), &host, images).await
}

async fn plan(name: &str, host: &str, images: usize) -> anyhow::Result<()> {
    let world = World::new().await?;
    world.commit(host, images, 1, COMMIT)?;
    let url = world.git.url("deploys.git");
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for number in 0..4 {
        let state = format!("state-{number}");
        let config = world.config_with(&state, "none", host, &url)?;
        let arguments = ["plan", "-o", "json", "--config", &config.to_string_lossy()];
        let (run, out) = landfall(world.folder.path(), &arguments).await?;
        anyhow::ensure!(
            out.matches("\"newTag\"").count() == 0 && out.matches("\"to\"").count() == images,
            "{out:.2000}"
        );
        let (again, _) = landfall(world.folder.path(), &arguments).await?;
        if number > 0 {
            cold.push(run);
            warm.push(again);
        }
    }
    figure(&format!("{name}, empty cache"), "", &cold);
    figure("... with a cache", "", &warm);
    Ok(())
}

pub(crate) fn tags(count: usize) -> Bytes {
    let names: Vec<String> = (0..count).map(|n| format!("\"1.{}.{}\"", n / 1000, n % 1000)).collect();
    format!("{{\"name\":\"any\",\"tags\":[{}]}}", names.join(",")).into()
}

/// A registry in which every repository has these tags, all in one answer, and one image under all of them, with something
/// around it.
pub(crate) async fn serve(tags: Bytes, around: impl FnOnce(Router) -> Router) -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let host = listener.local_addr()?.to_string();
    let config = json!({ "created": "2026-01-01T00:00:00Z", "os": "linux", "architecture": "amd64" }).to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config.as_bytes()),
                    "size": config.len() },
    });
    let (manifest, config) = (Bytes::from(manifest.to_string()), Bytes::from(config));
    let name = digest(&manifest);
    let answer = move |uri: Uri| {
        let (kind, body) = match uri.path() {
            path if path.ends_with("/tags/list") => ("application/json", &tags),
            path if path.contains("/manifests/") => (MANIFEST, &manifest),
            _ => ("application/octet-stream", &config),
        };
        let headers = [("content-type", kind.to_owned()), ("docker-content-digest", name.clone())];
        std::future::ready((AppendHeaders(headers), body.clone()))
    };
    let router = around(Router::new().fallback(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(host)
}
