//! Fills a real registry and makes the files of a GitOps repository, for comparisons with other programs.

use std::path::Path;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::{Client, RequestBuilder, Url};
use serde_json::json;

use crate::world::{COMMIT, overlays, repository, settings};

/// `seed HOST FOLDER IMAGES TAGS`: pushes to the registry at HOST, and writes `FOLDER/checkout` and `FOLDER/landfall.yaml`.
pub(crate) async fn seed(arguments: &[&str]) -> anyhow::Result<()> {
    let [host, folder, images, tags] = arguments else { anyhow::bail!("seed HOST FOLDER IMAGES TAGS") };
    let (folder, images, tags) = (Path::new(folder), images.parse::<usize>()?, tags.parse::<usize>()?);
    let client = client()?;
    futures::stream::iter(0..images)
        .map(|number| push(&client, host, number, tags))
        .buffer_unordered(8)
        .try_collect::<Vec<()>>()
        .await?;
    let checkout = folder.join("checkout");
    for (path, text) in overlays(host, images, 1) {
        write(&checkout.join(path), &text)?;
    }
    write(&checkout.join(".landfall/policies.yaml"), COMMIT)?;
    write(&folder.join("landfall.yaml"), &settings("state", "none", host, "deploys.git"))?;
    println!("seeded {images} images with {tags} tags each");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the client that pushes is not the one under test")]
fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().no_proxy().build()?)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(path.parent().context("no folder")?)?;
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

/// One small image under many tags: versions 1.0.0, 1.0.1, … 1.1.0, …
async fn push(client: &Client, host: &str, number: usize, tags: usize) -> anyhow::Result<()> {
    let base = format!("http://{host}/v2/{}", repository(number));
    let layer = vec![0; 1024];
    let config = json!({
        "created": "2026-03-01T12:00:00Z", "os": "linux", "architecture": "amd64", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    });
    let config = config.to_string().into_bytes();
    for blob in [&layer, &config] {
        let begun = sent(client.post(format!("{base}/blobs/uploads/"))).await?;
        let location = begun.headers().get("location").context("no location")?.to_str()?;
        let mut place = Url::parse(&base)?.join(location)?;
        place.query_pairs_mut().append_pair("digest", &digest(blob));
        sent(client.put(place).header("content-type", "application/octet-stream").body(blob.clone())).await?;
    }
    let part = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "size": bytes.len(), "digest": digest(bytes) });
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type,
        "config": part("application/vnd.oci.image.config.v1+json", &config),
        "layers": [part("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = manifest.to_string();
    for tag in 0..tags {
        let put = client.put(format!("{base}/manifests/1.{}.{}", tag / 10, tag % 10));
        sent(put.header("content-type", media_type).body(manifest.clone())).await?;
    }
    Ok(())
}

async fn sent(request: RequestBuilder) -> anyhow::Result<reqwest::Response> {
    Ok(request.send().await?.error_for_status()?)
}

/// The digest of a blob or manifest.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    format!("sha256:{}", hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
