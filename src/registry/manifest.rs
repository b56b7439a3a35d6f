//! Digests and manifests: what a tag refers to now.
//!
//! Everything that has a digest is checked against it before it is parsed. Four media types are always accepted: with
//! fewer, registries answer 404 for an index, which looks like a missing tag; `*/*` alone is refused by some.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE,
    ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex, OciImageManifest,
};
use serde::Deserialize;

use super::error::Cause;
use super::exchange::{Ask, RegistryResponse, Session, said};
use super::helm::MAX_ARCHIVE;
use super::host::Failure;
use crate::http::Body;
use crate::model::{Digest, Manifest, Tag};

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Maximum size of a manifest that registries must accept (OCI distribution specification, "Pushing Manifests").
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;
/// Maximum size of an image configuration; real ones have a few kilobytes.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;
/// Earlier creation times come from reproducible builds and mean nothing.
const TRUSTWORTHY_SINCE: i64 = 631_152_000; // 1990-01-01
/// The annotations that are kept: their namespace, number and size.
const ANNOTATIONS: &str = "org.opencontainers.image.";
const MAX_ANNOTATIONS: usize = 64;
const MAX_ANNOTATION: usize = 4096;
/// The layer with the archive of a chart (Helm, "Use OCI-based registries").
const CHART_CONTENT: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// Maximum number of platforms kept for one index.
const MAX_PLATFORMS: usize = 256;

/// The digest that a tag refers to, by HEAD, or by GET if HEAD does not provide it.
pub(super) async fn resolve(session: &Session<'_>, tag: &Tag) -> Result<Digest, Failure> {
    let answer = ask(session, Method::HEAD, tag.as_str()).await?;
    match answer.status {
        StatusCode::OK => {
            if let Some(digest) = declared(&answer.headers)? {
                return Ok(digest);
            }
        }
        StatusCode::NOT_FOUND => return Err(absent(&answer)),
        // HEAD is not supported: 400, 405.
        _ => {}
    }
    let answer = ask(session, Method::GET, tag.as_str()).await?;
    let digest = verified(&answer)?;
    Kind::of(answer)?;
    Ok(digest)
}

/// What a tag refers to: digest, platforms, creation time, annotations.
pub(super) async fn manifest(session: &Session<'_>, tag: &Tag) -> Result<Manifest, Failure> {
    let answer = ask(session, Method::GET, tag.as_str()).await?;
    let mut found = Manifest {
        digest: verified(&answer)?,
        images: Vec::new(),
        platforms: Vec::new(),
        created: None,
        artifact: None,
        annotations: BTreeMap::new(),
    };
    match Kind::of(answer)? {
        Kind::Image(image) => {
            keep(&mut found.annotations, image.annotations.as_ref());
            found.artifact = artifact(&image);
            if let Some(config) = config(session, &image.config).await? {
                found.platforms.extend(config.platform());
                describe(&mut found, &config);
            }
        }
        Kind::Index(index) => {
            keep(&mut found.annotations, index.annotations.as_ref());
            found.platforms = platforms(&index);
            let listed = index.manifests.iter().filter_map(|entry| Digest::parse(&entry.digest).ok());
            found.images = listed.take(MAX_PLATFORMS).collect();
            describe_by_children(session, &mut found, &index).await?;
            let says = |entry: &ImageIndexEntry| entry.platform.is_some();
            if found.artifact.is_none() && found.platforms.is_empty() && index.manifests.iter().all(says) {
                found.artifact = Some("an index without a platform to run on".to_owned());
            }
        }
    }
    if found.created.is_none() {
        let written = found.annotations.get("org.opencontainers.image.created");
        found.created = written.and_then(|text| trustworthy(text));
    }
    Ok(found)
}

/// The archive of a chart; inside, why it cannot be read.
///
/// # Errors
/// If the registry does not answer about the tag.
pub(super) async fn chart(session: &Session<'_>, tag: &Tag) -> Result<Result<Body, String>, Failure> {
    let answer = ask(session, Method::GET, tag.as_str()).await?;
    verified(&answer)?;
    let Kind::Image(image) = Kind::of(answer)? else { return Ok(Err("it is an index, not a chart".to_owned())) };
    let Some(layer) = image.layers.iter().find(|layer| layer.media_type == CHART_CONTENT) else {
        return Ok(Err("it has no archive of a chart".to_owned()));
    };
    if u64::try_from(layer.size).is_ok_and(|size| size > MAX_ARCHIVE) {
        return Ok(Err(format!("its archive has more than {} MiB", MAX_ARCHIVE >> 20)));
    }
    let expected = descriptor_digest(&layer.digest)?;
    let url = session.url(&format!("blobs/{expected}"))?;
    let answer = session.send(&Ask::get(url, "*/*", MAX_ARCHIVE.min(session.limits.max_body))).await;
    Ok(match answer {
        Ok(answer) if answer.status == StatusCode::OK => {
            matches(&answer.body, &expected)?;
            Ok(answer.body)
        }
        Ok(answer) => Err(format!("it answered {} for its archive", said(&answer))),
        Err(mut failure) => Err(std::mem::take(failure.cause.text_mut())),
    })
}

pub(super) async fn ask(session: &Session<'_>, method: Method, reference: &str) -> Result<RegistryResponse, Failure> {
    let url = session.url(&format!("manifests/{reference}"))?;
    let limit = MAX_MANIFEST.min(session.limits.max_body);
    session.send(&Ask { method, ..Ask::get(url, ACCEPT, limit) }).await
}

fn absent(answer: &RegistryResponse) -> Failure {
    Cause::Absent(format!("{}: no such tag or repository", said(answer))).into()
}

/// The digest in the answer's header.
fn declared(headers: &HeaderMap) -> Result<Option<Digest>, Failure> {
    let Some(value) = headers.get("docker-content-digest") else { return Ok(None) };
    let digest = value.to_str().ok().and_then(|text| Digest::parse(text.trim()).ok());
    digest.map(Some).ok_or_else(|| Failure::protocol("its Docker-Content-Digest header is not a digest"))
}

/// The digest of a manifest's bytes, which must equal the one declared by the registry, if it declares one.
fn verified(answer: &RegistryResponse) -> Result<Digest, Failure> {
    match answer.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(absent(answer)),
        _ => return Err(Failure::protocol(format!("it answered {}", said(answer)))),
    }
    let Some(declared) = declared(&answer.headers)? else { return computed("sha256", &answer.body) };
    matches(&answer.body, &declared)?;
    Ok(declared)
}

pub(super) fn matches(body: &[u8], expected: &Digest) -> Result<(), Failure> {
    let algorithm = if expected.as_str().starts_with("sha512:") { "sha512" } else { "sha256" };
    let is = computed(algorithm, body)?;
    if is == *expected {
        return Ok(());
    }
    let text = format!("the content's digest is {}, not {} as declared", is.short(), expected.short());
    Err(Failure::protocol(text))
}

fn computed(algorithm: &str, body: &[u8]) -> Result<Digest, Failure> {
    let hash = if algorithm == "sha512" { digest(&SHA512, body) } else { digest(&SHA256, body) };
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Digest::parse(&format!("{algorithm}:{hex}")).map_err(|_| Failure::protocol("a digest cannot be built"))
}

/// The two kinds of manifests.
enum Kind {
    Image(Box<OciImageManifest>),
    Index(OciImageIndex),
}

impl Kind {
    /// Parses a manifest, consuming its bytes, by its own `mediaType`, the answer's `Content-Type`, or its shape.
    fn of(answer: RegistryResponse) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Outline {
            schema_version: u8,
            media_type: Option<String>,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let RegistryResponse { headers, body, .. } = answer;
        let bad = || Failure::protocol("the manifest is not in the OCI or Docker v2 format");
        let outline: Outline = serde_json::from_slice(&body).map_err(|_| bad())?;
        if outline.schema_version != 2 {
            return Err(Failure::protocol(
                "the manifest is in a format older than Docker v2 (schema 1), which has no digest",
            ));
        }
        let header = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let header = header.map(|text| text.split(';').next().unwrap_or(text).trim().to_owned());
        let index = match outline.media_type.or(header).as_deref() {
            Some(OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE) => true,
            Some(OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE) => false,
            _ => outline.manifests.is_some(),
        };
        let parsed = if index {
            serde_json::from_slice(&body).map(Self::Index)
        } else {
            serde_json::from_slice(&body).map(Self::Image)
        };
        parsed.map_err(|_| bad())
    }
}

/// The platforms of an index in order, without duplicates; entries for attestations (`unknown/unknown`) do not count.
fn platforms(index: &OciImageIndex) -> Vec<String> {
    let mut found = Vec::new();
    for entry in &index.manifests {
        let Some(name) = platform(entry) else { continue };
        if found.len() < MAX_PLATFORMS && !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

fn platform(entry: &ImageIndexEntry) -> Option<String> {
    let platform = entry.platform.as_ref()?;
    name_platform(&platform.os.to_string(), &platform.architecture.to_string(), platform.variant.as_deref())
}

fn name_platform(os: &str, architecture: &str, variant: Option<&str>) -> Option<String> {
    let word = |text: &str| {
        !text.is_empty() && text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if os == "unknown" || !word(os) || !word(architecture) {
        return None;
    }
    match variant {
        Some(variant) if word(variant) => Some(format!("{os}/{architecture}/{variant}")),
        _ => Some(format!("{os}/{architecture}")),
    }
}

/// The entries for images, the one that represents the whole index first: `linux/amd64`, or the first with a platform.
fn images(index: &OciImageIndex) -> Vec<&ImageIndexEntry> {
    let mut images: Vec<_> = index
        .manifests
        .iter()
        .filter(|entry| matches!(entry.media_type.as_str(), OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE))
        .collect();
    images.sort_by_key(|entry| match platform(entry) {
        Some(platform) if platform == "linux/amd64" => 0,
        Some(_) => 1,
        None => 2,
    });
    images
}

/// How many images of an index are asked for until one is there.
const MAX_CHILDREN: usize = 4;

/// Describes an index by one of its images. Mirrors may have an index without all of them; one of which they have none cannot
/// be pulled. Where not all were asked for, it stays undescribed.
async fn describe_by_children(
    session: &Session<'_>,
    found: &mut Manifest,
    index: &OciImageIndex,
) -> Result<(), Failure> {
    let images = images(index);
    let Some(first) = images.first() else {
        found.artifact = Some("an index without an image".to_owned());
        return Ok(());
    };
    for child in images.iter().take(MAX_CHILDREN) {
        if describe_by_child(session, found, child).await? == Child::Described {
            return Ok(());
        }
    }
    // Of a mirror that has only the platforms its users run, the one that is there may be among the others.
    let may_run = |entry: &&ImageIndexEntry| entry.platform.is_none() || platform(entry).is_some();
    if images.iter().skip(MAX_CHILDREN).any(may_run) {
        return Ok(());
    }
    Err(Cause::Absent(format!("it is an index, and none of its images is there, such as {}", first.digest)).into())
}

#[derive(PartialEq, Eq)]
enum Child {
    Described,
    Absent,
}

async fn describe_by_child(
    session: &Session<'_>,
    found: &mut Manifest,
    child: &ImageIndexEntry,
) -> Result<Child, Failure> {
    let expected = descriptor_digest(&child.digest)?;
    let answer = ask(session, Method::GET, expected.as_str()).await?;
    if answer.status == StatusCode::NOT_FOUND {
        tracing::debug!(repository = session.repository, child = child.digest, "the index names an absent manifest");
        return Ok(Child::Absent);
    }
    verified(&answer)?;
    matches(&answer.body, &expected)?;
    let Kind::Image(image) = Kind::of(answer)? else { return Ok(Child::Described) };
    found.artifact = artifact(&image);
    keep(&mut found.annotations, image.annotations.as_ref());
    if let Some(config) = config(session, &image.config).await? {
        describe(found, &config);
    }
    Ok(Child::Described)
}

/// The type of a manifest that is not an image: its own artifact type, or the media type of its configuration.
fn artifact(image: &OciImageManifest) -> Option<String> {
    let config = image.config.media_type.as_str();
    if is_image_config(config) {
        return None;
    }
    let kind = image.artifact_type.as_deref().filter(|kind| !kind.is_empty()).unwrap_or(config);
    let plain: String = kind.chars().filter(|c| c.is_ascii_graphic() && *c != '`').take(100).collect();
    Some(plain)
}

fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, IMAGE_CONFIG_MEDIA_TYPE | IMAGE_DOCKER_CONFIG_MEDIA_TYPE)
}

pub(super) fn descriptor_digest(text: &str) -> Result<Digest, Failure> {
    Digest::parse(text).map_err(|_| Failure::protocol("the manifest names something that is not a digest"))
}

/// The parts of an image configuration that are used. More lenient than oci-client's type, which refuses images without
/// a rootfs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    created: Option<String>,
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    config: Option<Runtime>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Runtime {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl Config {
    fn platform(&self) -> Option<String> {
        name_platform(self.os.as_deref()?, self.architecture.as_deref()?, self.variant.as_deref())
    }
}

/// The image configuration; `None` for artifacts that are not images (charts, signatures), and if it is missing.
async fn config(session: &Session<'_>, descriptor: &OciDescriptor) -> Result<Option<Config>, Failure> {
    if !is_image_config(&descriptor.media_type) {
        return Ok(None);
    }
    let expected = descriptor_digest(&descriptor.digest)?;
    let url = session.url(&format!("blobs/{expected}"))?;
    let ask = Ask::get(url, "*/*", MAX_CONFIG.min(session.limits.max_body));
    let answer = session.send(&ask).await?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => {
            tracing::debug!(repository = session.repository, %expected, "the manifest names an absent configuration");
            return Ok(None);
        }
        _ => return Err(Failure::protocol(format!("it answered {} for the image configuration", said(&answer)))),
    }
    matches(&answer.body, &expected)?;
    serde_json::from_slice(&answer.body)
        .map(Some)
        .map_err(|_| Failure::protocol("the image configuration cannot be read"))
}

fn describe(found: &mut Manifest, config: &Config) {
    found.created = config.created.as_deref().and_then(trustworthy);
    keep(&mut found.annotations, config.config.as_ref().and_then(|runtime| runtime.labels.as_ref()));
}

fn trustworthy(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().filter(|time| time.as_second() >= TRUSTWORTHY_SINCE)
}

/// Adds annotations of the known namespace; existing ones (of the outer document) are kept.
fn keep(annotations: &mut BTreeMap<String, String>, more: Option<&BTreeMap<String, String>>) {
    for (key, value) in more.into_iter().flatten() {
        let wanted = key.starts_with(ANNOTATIONS) && key.len() <= 256 && value.len() <= MAX_ANNOTATION;
        if wanted && annotations.len() < MAX_ANNOTATIONS && !annotations.contains_key(key) {
            annotations.insert(key.clone(), value.clone());
        }
    }
}
